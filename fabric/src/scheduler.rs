//! What fits where: a plain machine that grants room on nodes, and queues those who may wait.
//!
//! Deliberately absent: processes, jobs, sessions and clocks. It counts and nothing else.
//!
//! # What is promised
//! A request is granted the node where it leaves least, by the larger share of memory and cores; among equals the one
//! it is near. Those who wait are granted room in the order of asking, whatever job they belong to: one that does not
//! fit yet is waited for, so that large requests do not starve behind small ones. Who does not wait takes what is free.

use deploy_wire::{
    control::NodeResources,
    resources::{Cpu, Mem, Resources},
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Grants room on nodes.
#[derive(Debug, Default)]
pub struct Scheduler {
    nodes: BTreeMap<NodeId, Node>,
    nodes_made: u32,
    grants: HashMap<Ticket, (NodeId, Resources)>,
    queue: VecDeque<Ask>,
}

/// A node, from when it came until it is lost; one that comes back is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u32);

/// Names one request for room, and what was granted to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// A request for room.
#[derive(Clone, PartialEq, Debug)]
pub struct Ask {
    /// Its name.
    pub ticket: Ticket,
    /// How much.
    pub resources: Resources,
    /// The only node it may be on, by its name.
    pub node: Option<String>,
    /// Where it would be best, among equals.
    pub near: Option<NodeId>,
    /// Whether to queue for it.
    pub wait: bool,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// The room is taken, until it is released.
    Granted(NodeId),
    /// It will be, in its turn: see [`Scheduler::poll_granted`].
    AfterOthers,
    /// There is none now.
    OutOfResources {
        /// What each node has free.
        free: Vec<NodeResources>,
    },
    /// There never will be.
    NeverFits {
        /// What each node has in all.
        capacity: Vec<NodeResources>,
    },
}

/// A node, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeState {
    /// What it is called.
    pub name: String,
    /// What it has.
    pub capacity: Resources,
    /// What of that is free.
    pub free: Resources,
    /// How many grants there are.
    pub grants: u32,
    /// Whether it may be dead.
    pub is_suspected: bool,
    /// Whether somebody wants nothing more placed there.
    pub is_draining: bool,
}

#[derive(Debug)]
struct Node {
    state: NodeState,
}

impl Scheduler {
    /// Without nodes.
    pub fn new() -> Scheduler {
        Scheduler::default()
    }

    /// A node has come.
    pub fn handle_node(&mut self, name: String, capacity: Resources) -> NodeId {
        let id = NodeId(self.nodes_made);
        self.nodes_made += 1;
        let state = NodeState {
            name,
            capacity,
            free: capacity,
            grants: 0,
            is_suspected: false,
            is_draining: false,
        };
        self.nodes.insert(id, Node { state });
        id
    }

    /// A node is lost, or has left. Returns what was granted there, which is released by this.
    pub fn handle_lost(&mut self, node: NodeId) -> Vec<Ticket> {
        self.nodes.remove(&node);
        let there =
            |(ticket, (at, _)): (&Ticket, &(NodeId, Resources))| (*at == node).then_some(*ticket);
        let tickets: Vec<Ticket> = self.grants.iter().filter_map(there).collect();
        self.grants.retain(|_, (at, _)| *at != node);
        tickets
    }

    /// A node may be dead, or is not after all: nothing is placed there meanwhile.
    pub fn handle_suspected(&mut self, node: NodeId, is_suspected: bool) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.state.is_suspected = is_suspected;
        }
    }

    /// Somebody wants nothing more placed on a node, or wants it again.
    pub fn handle_drain(&mut self, node: NodeId, is_draining: bool) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.state.is_draining = is_draining;
        }
    }

    /// Asks for room.
    pub fn handle_ask(&mut self, ask: Ask) -> Verdict {
        if !self
            .candidates(&ask)
            .any(|(_, node)| fits(ask.resources, node.capacity))
        {
            return Verdict::NeverFits {
                capacity: self.list(&ask, |node| node.capacity),
            };
        }
        if ask.wait && !self.queue.is_empty() {
            self.queue.push_back(ask);
            return Verdict::AfterOthers;
        }
        match self.place(&ask) {
            Some(node) => Verdict::Granted(node),
            None if ask.wait => {
                self.queue.push_back(ask);
                Verdict::AfterOthers
            }
            None => Verdict::OutOfResources {
                free: self.list(&ask, |node| node.free),
            },
        }
    }

    /// What was granted, or is queued for, is not wanted any more.
    pub fn handle_release(&mut self, ticket: Ticket) {
        self.queue.retain(|ask| ask.ticket != ticket);
        let Some((node, resources)) = self.grants.remove(&ticket) else {
            return;
        };
        if let Some(node) = self.nodes.get_mut(&node) {
            node.state.free = plus(node.state.free, resources);
            node.state.grants -= 1;
        }
    }

    /// The next of those who wait whose turn has come, and its node.
    pub fn poll_granted(&mut self) -> Option<(Ticket, NodeId)> {
        let ask = self.queue.front()?.clone();
        let node = self.place(&ask)?;
        self.queue.pop_front();
        Some((ask.ticket, node))
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeState)> {
        self.nodes.iter().map(|(id, node)| (*id, &node.state))
    }

    /// Takes room for this, where it leaves least.
    fn place(&mut self, ask: &Ask) -> Option<NodeId> {
        let open = self.candidates(ask).filter(|(_, node)| {
            !node.is_suspected && !node.is_draining && fits(ask.resources, node.free)
        });
        let rank = |(id, node): &(NodeId, &NodeState)| {
            let left = minus(node.free, ask.resources);
            let shares = [
                share(left.mem.bytes(), node.capacity.mem.bytes()),
                share(left.cpu.millionths(), node.capacity.cpu.millionths()),
            ];
            (shares.into_iter().max(), Some(*id) != ask.near, *id)
        };
        let (id, _) = open.min_by_key(rank)?;
        let node = self.nodes.get_mut(&id).expect("it was among them");
        node.state.free = minus(node.state.free, ask.resources);
        node.state.grants += 1;
        self.grants.insert(ask.ticket, (id, ask.resources));
        Some(id)
    }

    fn candidates<'a>(&'a self, ask: &'a Ask) -> impl Iterator<Item = (NodeId, &'a NodeState)> {
        let named = |name: &str| ask.node.as_deref().is_none_or(|wanted| wanted == name);
        self.nodes().filter(move |(_, node)| named(&node.name))
    }

    fn list(&self, ask: &Ask, what: impl Fn(&NodeState) -> Resources) -> Vec<NodeResources> {
        let view = |(_, node): (NodeId, &NodeState)| NodeResources {
            name: node.name.clone(),
            resources: what(node),
        };
        self.candidates(ask).map(view).take(NAMED_MAX).collect()
    }
}

/// In parts of 65,536.
fn share(part: u64, of: u64) -> u64 {
    (u128::from(part) * 65_536 / u128::from(of.max(1))) as u64
}

fn fits(asked: Resources, room: Resources) -> bool {
    asked.mem <= room.mem && asked.cpu <= room.cpu && asked.gpu <= room.gpu
}

fn plus(one: Resources, other: Resources) -> Resources {
    Resources {
        mem: Mem::B * (one.mem.bytes() + other.mem.bytes()),
        cpu: Cpu::from_millionths(one.cpu.millionths() + other.cpu.millionths()),
        gpu: one.gpu + other.gpu,
    }
}

fn minus(one: Resources, other: Resources) -> Resources {
    Resources {
        mem: Mem::B * (one.mem.bytes() - other.mem.bytes()),
        cpu: Cpu::from_millionths(one.cpu.millionths() - other.cpu.millionths()),
        gpu: one.gpu - other.gpu,
    }
}

/// A sentence names no more nodes than this.
const NAMED_MAX: usize = 8;
