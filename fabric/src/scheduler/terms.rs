//! What is said to a scheduler, and what it answers.
//!
//! Deliberately absent: what becomes of it.

use deploy_wire::{control::NodeResources, resources::Resources};

/// A node, from when it came until it is lost; one that comes back is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// None of the scheduler's: the machine of the person whose job it is, where that takes part in it.
    pub const HERE: NodeId = NodeId(u32::MAX);

    /// As it is written down.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The node that was written down so.
    pub fn from_number(number: u32) -> NodeId {
        NodeId(number)
    }
}

/// Names one request for room, and what was granted to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// A node that has come.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSpec {
    /// What it is called. No other node has this name.
    pub name: String,
    /// What it has.
    pub capacity: Resources,
    /// What else it goes by, such as `disk=ssd`.
    pub labels: Vec<String>,
}

/// A request for room.
#[derive(Clone, PartialEq, Debug)]
pub struct Ask {
    /// Its name, which no other request has had.
    pub ticket: Ticket,
    /// How much.
    pub resources: Resources,
    /// The nodes it may be on: the one of this name, or those with this label.
    pub node: Option<String>,
    /// Where it would be best, among equals.
    pub near: Option<NodeId>,
    /// Whether to queue for it.
    pub wait: bool,
    /// Where it may not be all the same.
    pub apart: Vec<NodeId>,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// The room is taken, until it is released.
    Granted(NodeId),
    /// It will be, in its turn: see [`poll_granted`](super::Scheduler::poll_granted).
    AfterOthers,
    /// There is none now.
    OutOfResources {
        /// What is free where most is.
        free: Vec<NodeResources>,
        /// How many other nodes there are, with less.
        others: u32,
    },
    /// There is none but on nodes such as this one, where it may not be.
    Apart(NodeId),
    /// None of the nodes that there are could ever hold it.
    NeverFits {
        /// What the largest nodes have in all.
        capacity: Vec<NodeResources>,
        /// How many other nodes there are, with less.
        others: u32,
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
