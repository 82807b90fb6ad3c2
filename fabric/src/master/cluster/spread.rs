//! Which node takes a program from whom, so that the master gives it to one and not to all.
//!
//! A plain machine beside the cluster, like it without sockets and clock. Deliberately absent: the programs, and any certainty.
//! What stands here was true at some time: whoever is sent to a node in vain says so, and is sent to another.
//!
//! # The chain
//! A node passes on what it has while the rest is still coming. So each is best served by one that serves nobody else: the
//! first takes the program from the master, the second from the first, and the last has it hardly later than the
//! first. Where a chain would become too long it branches.

use super::Cluster;
use crate::scheduler::NodeId;
use deploy_wire::{client::Digest, node::Order, pass};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

/// Who has which programs, or is on the way to have them.
#[derive(Debug, Default)]
pub struct Spread {
    programs: BTreeMap<Digest, BTreeMap<NodeId, Holder>>,
    /// The same programs, in the order in which they were first fetched.
    order: VecDeque<Digest>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holder {
    /// It has all of it.
    Whole,
    /// It takes it from this node, or from the master.
    Taking(Option<NodeId>),
}

/// A program that a node asks for.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Which.
    pub digest: Digest,
    /// How many bytes of its frame are there.
    pub offset: u64,
    /// How many other nodes were tried in vain.
    pub tries: u8,
    /// The latest of them.
    pub failed: Option<SocketAddr>,
}

impl Spread {
    /// This node asks for a program. Returns which other is to give it; nothing, if the master is to.
    fn handle_fetch(
        &mut self,
        node: NodeId,
        digest: Digest,
        failed: Option<NodeId>,
        is_able: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        if !self.programs.contains_key(&digest) {
            self.order.push_back(digest);
            if self.order.len() > PROGRAMS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.programs.remove(&oldest);
            }
        }
        let holders = self.programs.entry(digest).or_default();
        if let Some(failed) = failed {
            holders.remove(&failed);
        }
        holders.remove(&node);
        let source = best(holders, node, is_able);
        holders.insert(node, Holder::Taking(source));
        source
    }

    /// A node has a program now, or could not get it.
    pub(super) fn handle_holds(&mut self, node: NodeId, digest: Digest, is_here: bool) {
        let Some(holders) = self.programs.get_mut(&digest) else {
            return;
        };
        match is_here {
            true => holders.insert(node, Holder::Whole),
            false => holders.remove(&node),
        };
    }

    /// A node is no more.
    pub(super) fn handle_lost(&mut self, node: NodeId) {
        for holders in self.programs.values_mut() {
            holders.remove(&node);
        }
    }
}

/// The one that serves the fewest, and of those the one that is least far from the master.
fn best(
    holders: &BTreeMap<NodeId, Holder>,
    node: NodeId,
    is_able: impl Fn(NodeId) -> bool,
) -> Option<NodeId> {
    let mut served: BTreeMap<NodeId, usize> = BTreeMap::new();
    for holder in holders.values() {
        if let Holder::Taking(Some(source)) = holder {
            *served.entry(*source).or_default() += 1;
        }
    }
    let able = holders.keys().filter(|holder| is_able(**holder));
    let ranked = able.filter_map(|holder| {
        let depth = depth(holders, *holder, node)?;
        let served = served.get(holder).copied().unwrap_or(0);
        Some((served, depth, *holder))
    });
    ranked.min().map(|(_, _, holder)| holder)
}

/// How many nodes there are between one and the master, or one that has all; nothing, if that are too many, or if it would
/// get from `node` what it gives to it.
fn depth(holders: &BTreeMap<NodeId, Holder>, of: NodeId, node: NodeId) -> Option<usize> {
    let mut at = of;
    for depth in 0..DEPTH_MAX {
        match holders.get(&at) {
            Some(Holder::Taking(Some(source))) if *source == node => return None,
            Some(Holder::Taking(Some(source))) => at = *source,
            _ => return Some(depth),
        }
    }
    None
}

impl Cluster {
    /// Whom the node of this name is to take a program from; nothing, if the master is to give it.
    pub fn source(&mut self, name: &str, fetch: &Fetch, len: u64) -> Option<Order> {
        let mut nodes = self.nodes.iter();
        let (node, _) = nodes.find(|(_, member)| member.name == name)?;
        if fetch.tries >= TRIES_MAX {
            return None;
        }
        let failed = fetch.failed.and_then(|failed| {
            let mut nodes = self.nodes.iter();
            let found = nodes.find(|(_, member)| member.hello.address == failed);
            found.map(|(failed, _)| *failed)
        });
        let is_able = |id| {
            let member = self.nodes.get(&id);
            member.is_some_and(|member| {
                member.is_there() && Some(member.hello.address) != fetch.failed
            })
        };
        let source = self
            .spread
            .handle_fetch(*node, fetch.digest, failed, is_able)?;
        let hello = &self.nodes.get(&source)?.hello;
        Some(Order::Source {
            len,
            address: hello.address,
            pass: pass::of(&hello.secret, &fetch.digest),
        })
    }
}

/// As many as may be on their way to nodes, some times over.
const PROGRAMS_MAX: usize = 256;
/// Each costs what two nodes need to meet and what is on the way between them: some milliseconds.
const DEPTH_MAX: usize = 32;
/// Whoever was sent to so many in vain is more likely cut off from others than unlucky.
const TRIES_MAX: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{NodeSpec, Scheduler};
    use deploy_wire::resources::Resources;

    const PROGRAM: Digest = [1; 32];

    struct World(Spread, Vec<NodeId>);

    impl World {
        fn new(count: usize) -> World {
            let mut scheduler = Scheduler::new();
            let node = |index| NodeSpec {
                name: format!("n{index}"),
                capacity: Resources::default(),
                labels: Vec::new(),
            };
            let nodes = (0..count).map(|index| scheduler.handle_node(node(index)));
            World(Spread::default(), nodes.collect())
        }

        /// Whom it takes it from, by index.
        fn fetch(&mut self, node: usize, failed: Option<usize>) -> Option<usize> {
            let failed = failed.map(|failed| self.1[failed]);
            let able = |node| Some(node) != failed;
            let source = self.0.handle_fetch(self.1[node], PROGRAM, failed, able)?;
            self.1.iter().position(|node| *node == source)
        }

        fn holds(&mut self, node: usize, is_here: bool) {
            self.0.handle_holds(self.1[node], PROGRAM, is_here);
        }
    }

    #[test]
    fn they_take_it_from_one_another_and_one_from_the_master() {
        let mut world = World::new(100);
        let sources: Vec<_> = (0..100).map(|node| world.fetch(node, None)).collect();
        assert_eq!(sources[..4], [None, Some(0), Some(1), Some(2)]);
        assert!(sources[1..].iter().all(Option::is_some));
        let serves = |node| {
            sources
                .iter()
                .filter(|source| **source == Some(node))
                .count()
        };
        assert!((0..100).all(|node| serves(node) <= 2 || node < 2));
    }

    #[test]
    fn who_has_it_all_serves_first_who_serves_nobody() {
        let mut world = World::new(5);
        world.fetch(0, None);
        world.fetch(1, None);
        world.holds(0, true);
        world.holds(1, true);
        assert_eq!(world.fetch(2, None), Some(0));
        assert_eq!(world.fetch(3, None), Some(1));
        assert_eq!(world.fetch(4, None), Some(2));
    }

    #[test]
    fn nobody_takes_it_from_who_takes_it_from_him() {
        let mut world = World::new(4);
        let sources: Vec<_> = (0..4).map(|node| world.fetch(node, None)).collect();
        assert_eq!(sources, [None, Some(0), Some(1), Some(2)]);
        // The second loses the first: behind it are only those that wait for it.
        assert_eq!(world.fetch(1, Some(0)), None);
        // The last loses the third, and may have it of the second.
        assert_eq!(world.fetch(3, Some(2)), Some(1));
    }

    #[test]
    fn who_is_gone_or_has_failed_gives_nothing() {
        let mut world = World::new(4);
        world.fetch(0, None);
        world.holds(0, true);
        world.fetch(1, None);
        world.holds(1, false);
        let gone = world.1[0];
        world.0.handle_lost(gone);
        assert_eq!(world.fetch(2, None), None);
        assert_eq!(world.fetch(3, Some(2)), None);
        for other in 2..=255 {
            world.0.handle_fetch(gone, [other; 32], None, |_| true);
        }
        assert!(world.0.programs.len() <= PROGRAMS_MAX);
        assert_eq!(world.0.programs.len(), world.0.order.len());
    }
}
