//! What fits where: a plain machine that grants room on nodes, and queues those who may wait.
//!
//! Deliberately absent: processes, jobs, sessions and clocks. It counts and nothing else.
//!
//! # Where
//! Of the nodes that fit, those with the fewest accelerators; of these the one with the least free memory and the one
//! with the fewest free processors; and of the two the one of which the smaller part is left afterwards, by the larger of
//! both shares. So small requests fill small gaps, and large gaps stay for large requests. The node that the request is
//! near is taken instead where no more would be left of it. Each step costs the logarithm of the number of nodes.
//!
//! # Who waits
//! Those who ask for a certain node, for a label, or for any node at all, stand in a line for each of these. Within a line
//! room is granted strictly in the order of asking, whatever job it is for: one that does not fit yet is waited for, and so
//! a large request does not starve behind small ones. Lines do not hold up each other: but a node is kept for the first of
//! each line, where nobody gets room who joined another line later.
//!
//! Who does not wait takes what is free, whoever waits for it. And who waits for more than any node has, because the one
//! that had so much was lost, lets others pass until it comes back.

mod index;
mod lines;
mod place;
mod terms;
#[cfg(test)]
mod tests;

use deploy_wire::{
    control::NodeResources,
    resources::{Cpu, Mem, Resources},
};
use place::{Place, Shelf};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};
pub use terms::{Ask, NodeId, NodeSpec, NodeState, Ticket, Verdict};

/// Grants room on nodes.
///
/// ```
/// # use fabric::scheduler::{Ask, NodeSpec, Scheduler, Ticket, Verdict};
/// # use deploy_wire::resources::{Cpu, Mem, Resources};
/// let mut scheduler = Scheduler::new();
/// let capacity = Resources { mem: Mem::GIB, cpu: Cpu::CORE, gpu: 0 };
/// let node = scheduler.handle_node(NodeSpec { name: "a".into(), capacity, labels: vec!["disk=ssd".into()] });
/// let ask = |ticket| Ask { ticket: Ticket(ticket), resources: capacity, node: None, near: None, wait: true, apart: vec![] };
/// assert_eq!(scheduler.handle_ask(ask(1)), Verdict::Granted(node));
/// assert_eq!(scheduler.handle_ask(ask(2)), Verdict::AfterOthers);
/// scheduler.handle_release(Ticket(1));
/// assert_eq!(scheduler.poll_granted(), Some((Ticket(2), node)));
/// ```
#[derive(Debug)]
pub struct Scheduler {
    nodes: BTreeMap<NodeId, Node>,
    nodes_made: u32,
    places: Vec<Place>,
    /// Places that are nobody's and may be used again.
    vacant: Vec<PlaceId>,
    /// Those that are somebody's, by their words.
    words: HashMap<Option<String>, PlaceId>,
    grants: HashMap<Ticket, (NodeId, Resources)>,
    waiting: HashMap<Ticket, (PlaceId, u64)>,
    /// How many have joined a line.
    turns_made: u64,
    /// Where something has changed for the first of the line.
    due: BTreeSet<PlaceId>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct PlaceId(usize);

#[derive(Debug)]
struct Node {
    state: NodeState,
    used: Resources,
    tickets: HashSet<Ticket>,
    places: Vec<PlaceId>,
    /// The line whose first is sure to get it.
    kept_for: Option<PlaceId>,
}

impl Default for Scheduler {
    fn default() -> Scheduler {
        Scheduler::new()
    }
}

impl Scheduler {
    /// Without nodes.
    pub fn new() -> Scheduler {
        Scheduler {
            nodes: BTreeMap::new(),
            nodes_made: 0,
            places: Vec::new(),
            vacant: Vec::new(),
            words: HashMap::new(),
            grants: HashMap::new(),
            waiting: HashMap::new(),
            turns_made: 0,
            due: BTreeSet::new(),
        }
    }

    /// A node has come. Those who wait may be granted room by it.
    pub fn handle_node(&mut self, spec: NodeSpec) -> NodeId {
        let id = NodeId(self.nodes_made);
        self.handle_node_as(id, spec);
        id
    }

    /// A node that an earlier scheduler knew under this name, which nobody else has here.
    pub fn handle_node_as(&mut self, id: NodeId, spec: NodeSpec) {
        self.pass_over(id.0 + 1);
        let mut words = vec![None, Some(spec.name.clone())];
        words.extend(spec.labels.into_iter().map(Some));
        words.sort();
        words.dedup();
        let places: Vec<PlaceId> = words.into_iter().map(|word| self.place_of(word)).collect();
        let state = NodeState {
            name: spec.name,
            capacity: spec.capacity,
            free: spec.capacity,
            grants: 0,
            is_suspected: false,
            is_draining: false,
        };
        let node = Node {
            state,
            used: NOTHING,
            tickets: HashSet::new(),
            places,
            kept_for: None,
        };
        for place in &node.places {
            let place = &mut self.places[place.0];
            place.all.insert(id, spec.capacity);
            place.open.insert(id, spec.capacity);
        }
        self.nodes.insert(id, node);
        self.recall_stranded(id);
    }

    /// An earlier scheduler has known so many nodes: none gets the name of one of them.
    pub fn pass_over(&mut self, nodes: u32) {
        self.nodes_made = self.nodes_made.max(nodes);
    }

    /// How many nodes there ever were.
    pub fn nodes_made(&self) -> u32 {
        self.nodes_made
    }

    /// An earlier scheduler has granted this on a node that is there.
    pub fn handle_held(&mut self, ticket: Ticket, id: NodeId, resources: Resources) {
        if self.nodes.contains_key(&id) {
            self.grant(ticket, resources, id);
        }
    }

    /// A node has more or less than it had, or other labels. What was granted stays granted.
    pub fn handle_node_changed(&mut self, id: NodeId, spec: NodeSpec) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        let NodeState {
            is_suspected,
            is_draining,
            ..
        } = node.state;
        let tickets = self.take_away(id);
        self.handle_node_as(id, spec);
        for (ticket, resources) in tickets {
            self.grant(ticket, resources, id);
        }
        self.handle_suspected(id, is_suspected);
        self.handle_drain(id, is_draining);
    }

    /// A node is lost, or has left. Returns what was granted there, which is released by this.
    pub fn handle_lost(&mut self, id: NodeId) -> Vec<Ticket> {
        let released = self.take_away(id).into_iter();
        released.map(|(ticket, _)| ticket).collect()
    }

    fn take_away(&mut self, id: NodeId) -> Vec<(Ticket, Resources)> {
        if !self.nodes.contains_key(&id) {
            return Vec::new();
        }
        self.set_due(id);
        let node = self.nodes.remove(&id).expect("it is there");
        for place in &node.places {
            let place = &mut self.places[place.0];
            place.all.remove(id, node.state.capacity);
            if node.is_open() {
                place.open.remove(id, node.state.free);
            }
        }
        if let Some(place) = node.kept_for {
            self.places[place.0].kept = None;
            self.due.insert(place);
        }
        for place in node.places {
            self.drop_if_empty(place);
        }
        let mut tickets: Vec<Ticket> = node.tickets.into_iter().collect();
        tickets.sort_unstable();
        let grant = |ticket| {
            let (_, resources) = self.grants.remove(&ticket).expect("both know of it");
            (ticket, resources)
        };
        tickets.into_iter().map(grant).collect()
    }

    /// A node may be dead, or is not after all: nothing is placed there meanwhile.
    pub fn handle_suspected(&mut self, id: NodeId, is_suspected: bool) {
        self.change(id, |node| node.state.is_suspected = is_suspected);
    }

    /// Somebody wants nothing more placed on a node, or wants it again.
    pub fn handle_drain(&mut self, id: NodeId, is_draining: bool) {
        self.change(id, |node| node.state.is_draining = is_draining);
    }

    /// Asks for room.
    pub fn handle_ask(&mut self, ask: Ask) -> Verdict {
        let Some(id) = self.words.get(&ask.node).copied() else {
            return Verdict::NeverFits {
                capacity: Vec::new(),
                others: 0,
            };
        };
        let place = &self.places[id.0];
        if !place.can_hold(&ask) {
            if let Some([node, _]) = place.all.closest(ask.resources, |_| false) {
                return Verdict::Apart(node);
            }
            let (capacity, others) = self.list(place, &place.all);
            return Verdict::NeverFits { capacity, others };
        }
        // Those whose turn has come and who were not asked about yet are before this one, wherever they stand.
        let is_first = place.line.is_empty() && self.due.is_empty();
        if !ask.wait || is_first {
            let turn = ask.wait.then_some(self.turns_made);
            if let Some(node) = self.search(id, &ask, turn) {
                self.grant(ask.ticket, ask.resources, node);
                return Verdict::Granted(node);
            }
        }
        if ask.wait {
            self.join(id, ask);
            return Verdict::AfterOthers;
        }
        let anywhere = Ask {
            apart: Vec::new(),
            ..ask
        };
        if let Some(node) = self.search(id, &anywhere, None) {
            return Verdict::Apart(node);
        }
        let place = &self.places[id.0];
        let (free, others) = self.list(place, &place.open);
        Verdict::OutOfResources { free, others }
    }

    /// What was granted, or is queued for, is not wanted any more.
    pub fn handle_release(&mut self, ticket: Ticket) {
        if let Some((id, turn)) = self.waiting.remove(&ticket) {
            let place = &mut self.places[id.0];
            if place.line.keys().next() == Some(&turn) {
                self.unkeep(id); // Whoever is the first now asked later, perhaps than others who wait for that node.
            }
            let place = &mut self.places[id.0];
            if place.line.remove(&turn).is_none() {
                place.stranded.remove(&turn);
            }
            self.due.insert(id);
            self.drop_if_empty(id);
        }
        if let Some((id, resources)) = self.grants.remove(&ticket) {
            self.change(id, |node| {
                node.tickets.remove(&ticket);
                node.used = minus(node.used, resources);
            });
        }
    }

    /// The next of those who wait whose turn has come, and its node. To be asked until there is none, after whatever
    /// has happened.
    pub fn poll_granted(&mut self) -> Option<(Ticket, NodeId)> {
        while let Some(id) = self.next_due() {
            if self.strand(id) {
                continue; // Others may be before whoever is the first now.
            }
            let Some((turn, ask)) = self.first_of(id) else {
                self.done(id);
                continue;
            };
            let Some(node) = self.search(id, &ask, Some(turn)) else {
                self.keep(id, &ask);
                self.due.remove(&id);
                continue;
            };
            self.places[id.0].line.remove(&turn);
            self.waiting.remove(&ask.ticket);
            self.unkeep(id);
            self.grant(ask.ticket, ask.resources, node);
            return Some((ask.ticket, node));
        }
        None
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeState)> {
        self.nodes.iter().map(|(id, node)| (*id, &node.state))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The best node for this. Who has a turn in a line passes over what is kept for those before it.
    fn search(&self, id: PlaceId, ask: &Ask, turn: Option<u64>) -> Option<NodeId> {
        let place = &self.places[id.0];
        let is_kept = |node: NodeId| {
            let keeper = self.nodes[&node].kept_for.filter(|keeper| *keeper != id);
            let first = keeper.and_then(|keeper| self.places[keeper.0].line.first_key_value());
            first.is_some_and(|(first, _)| turn.is_some_and(|turn| *first < turn))
        };
        let is_out = |node: NodeId| ask.apart.contains(&node) || is_kept(node);
        let closest = place.open.closest(ask.resources, is_out)?;
        let near = ask.near.filter(|near| {
            let node = self.nodes.get(near);
            node.is_some_and(|node| {
                node.is_open()
                    && node.places.contains(&id)
                    && fits(ask.resources, node.state.free)
                    && !is_out(*near)
            })
        });
        let rank = |node: &NodeId| {
            let state = &self.nodes[node].state;
            let left = part_left(ask.resources, state);
            (state.free.gpu, left, Some(*node) != ask.near, *node)
        };
        closest.into_iter().chain(near).min_by_key(rank)
    }

    fn grant(&mut self, ticket: Ticket, resources: Resources, id: NodeId) {
        self.change(id, |node| {
            node.tickets.insert(ticket);
            node.used = plus(node.used, resources);
        });
        let earlier = self.grants.insert(ticket, (id, resources));
        assert!(earlier.is_none(), "each request has a ticket of its own");
    }

    /// Changes something about a node, and where it stands by that.
    fn change(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let before = node.is_open().then_some(node.state.free);
        change(node);
        node.state.free = minus(node.state.capacity, node.used);
        node.state.grants = node.tickets.len() as u32;
        let after = node.is_open().then_some(node.state.free);
        if before == after {
            return;
        }
        for place in &node.places {
            let place = &mut self.places[place.0];
            if let Some(before) = before {
                place.open.remove(id, before);
            }
            if let Some(after) = after {
                place.open.insert(id, after);
            }
        }
        self.set_due(id);
    }

    /// Something has changed about a node for those who wait.
    fn set_due(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        for place in node.places.iter().chain(&node.kept_for) {
            if !self.places[place.0].line.is_empty() {
                self.due.insert(*place);
            }
        }
    }

    fn place_of(&mut self, word: Option<String>) -> PlaceId {
        if let Some(id) = self.words.get(&word) {
            return *id;
        }
        let id = self.vacant.pop().unwrap_or(PlaceId(self.places.len()));
        self.places
            .resize_with(self.places.len().max(id.0 + 1), Place::default);
        self.places[id.0].word = word.clone();
        self.words.insert(word, id);
        id
    }

    /// Forgets a place that no node goes by and nobody waits for.
    fn drop_if_empty(&mut self, id: PlaceId) {
        if self.places[id.0].is_empty() {
            let place = std::mem::take(&mut self.places[id.0]);
            self.words.remove(&place.word);
            self.due.remove(&id);
            self.vacant.push(id);
        }
    }

    /// The largest of these nodes, and how many others there are.
    fn list(&self, place: &Place, shelf: &Shelf) -> (Vec<NodeResources>, u32) {
        let mut largest = shelf.largest(NAMED_MAX);
        largest.sort_by_key(|(id, has)| (Reverse((has.gpu, has.mem, has.cpu)), *id));
        let named = |(id, resources): (NodeId, Resources)| NodeResources {
            name: self.nodes[&id].state.name.clone(),
            resources,
        };
        let listed: Vec<NodeResources> = largest.into_iter().map(named).collect();
        let others = place.all.len() - listed.len();
        (listed, others as u32)
    }
}

impl Node {
    fn is_open(&self) -> bool {
        !self.state.is_suspected && !self.state.is_draining
    }
}

/// How much of a node would be left free, by the larger share, in parts of 65,536.
fn part_left(asked: Resources, node: &NodeState) -> u64 {
    let share = |part: u64, of: u64| (u128::from(part) * 65_536 / u128::from(of.max(1))) as u64;
    let (left, of) = (minus(node.free, asked), node.capacity);
    let mem = share(left.mem.bytes(), of.mem.bytes());
    mem.max(share(left.cpu.millionths(), of.cpu.millionths()))
}

fn fits(asked: Resources, room: Resources) -> bool {
    asked.mem <= room.mem && asked.cpu <= room.cpu && asked.gpu <= room.gpu
}

fn plus(one: Resources, other: Resources) -> Resources {
    Resources {
        mem: one.mem + other.mem,
        cpu: one.cpu + other.cpu,
        gpu: one.gpu + other.gpu,
    }
}

/// What is left; a node that has shrunk may have less than it has given.
fn minus(one: Resources, other: Resources) -> Resources {
    Resources {
        mem: one.mem.saturating_sub(other.mem),
        cpu: one.cpu.saturating_sub(other.cpu),
        gpu: one.gpu.saturating_sub(other.gpu),
    }
}

const NOTHING: Resources = Resources {
    mem: Mem::B.saturating_sub(Mem::B),
    cpu: Cpu::from_millionths(0),
    gpu: 0,
};
/// A sentence names no more nodes than this.
const NAMED_MAX: usize = 8;
