//! Nodes that cannot take the job in, as for want of room on their disks: what was to begin there begins elsewhere if it fits
//! elsewhere, and nothing more of the job is placed there.
//!
//! Until a warden is opened nothing of the job has run on its node, and nobody has heard of those who are to begin there: so
//! what each of them was asked for with is remembered until then, and no longer.
//!
//! Deliberately absent: what is wrong there; and other jobs, each of which tries for itself.

use super::{
    Deed, Job, Stage,
    room::{Spawn, Want},
};
use crate::scheduler::NodeId;
use std::collections::BTreeMap;

impl Job {
    /// The nodes that could not take it in, and why, in the words for who asks for a process.
    pub fn apart(&self) -> &BTreeMap<NodeId, String> {
        &self.apart
    }

    /// The process of this number is to begin on a node; the initial one was asked for by nobody.
    pub(super) fn remember(&mut self, node: NodeId, number: u32, spawn: Option<&Spawn>) {
        if let Some(early) = self.early(node)
            && let Some(spawn) = spawn
        {
            early.insert(number, spawn.clone());
        }
    }

    /// The process of this number will never begin on a node.
    pub(super) fn forget_early(&mut self, node: NodeId, number: u32) {
        if let Some(early) = self.early(node) {
            early.remove(&number);
        }
    }

    fn early(&mut self, node: NodeId) -> Option<&mut BTreeMap<u32, Spawn>> {
        self.wardens.get_mut(&node)?.early.as_mut()
    }

    /// A node has taken the job in, as it says, or as it proves by what runs there.
    pub(super) fn handle_opened(&mut self, node: NodeId) {
        if let Some(warden) = self.wardens.get_mut(&node) {
            warden.early = None;
        }
    }

    /// No warden can work on this node. If none ever did, who was to begin there asks for room elsewhere.
    pub(super) fn go_elsewhere(&mut self, node: NodeId, why: &str, told: &str) {
        let warden = self.wardens.get_mut(&node);
        let Some(mut early) = warden.and_then(|warden| warden.early.take()) else {
            return;
        };
        // A person's own machine is where that person wants it, and no other is.
        if node == NodeId::HERE || self.is_closing || self.apart.len() == APART_MAX {
            return;
        }
        self.apart.insert(node, told.to_string());
        let why = why.to_string();
        self.deeds.push_back(Deed::Shun { node, why });
        for number in self.numbers_in(Stage::Beginning) {
            if self.node_of(number) != node {
                continue;
            }
            let process = &self.processes[number];
            let want = match process.asked {
                None => Some(Want::Initial(process.resources)),
                Some(_) => early.remove(&number).map(Want::Spawn),
            };
            self.never_begins(number);
            match want {
                // Who asked has ended meanwhile.
                Some(Want::Spawn(spawn)) if !self.is_alive(spawn.from) => {}
                Some(want) => self.ask(want),
                None => {}
            }
        }
    }
}

/// A job that so many nodes cannot take in has something about it that none of them can: it is not sent to all of a large cluster.
const APART_MAX: usize = 16;
