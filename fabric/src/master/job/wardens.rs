//! The wardens of a job: one on each node where something of it is or was, opened with what all its processes share.
//!
//! Deliberately absent: what they report (`report.rs`), and when to close them.

use super::{Deed, Job, Place, room::Spawn};
use crate::scheduler::NodeId;
use deploy_wire::{
    client::CREDIT_BYTES_FIRST,
    job::{JobOrder, OpenJob},
};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Warden {
    pub place: Place,
    /// What was asked for of those that are to begin here, by their numbers; nothing, once it is opened.
    pub early: Option<BTreeMap<u32, Spawn>>,
    pub is_closed: bool,
}

impl Job {
    /// Has a warden on this node, from now on.
    pub(super) fn open(&mut self, place: Place) {
        let node = place.node;
        // A person's machine proves no data connection, and is told no more than it has to know.
        let key = match node {
            NodeId::HERE => [0; 32],
            _ => self.key,
        };
        let open = OpenJob {
            job: self.id,
            key,
            node: place.name.clone(),
            args: self.request.args.clone(),
            env: self.environment(),
            stdout_is_terminal: self.request.stdout_is_terminal,
            stderr_is_terminal: self.request.stderr_is_terminal,
        };
        if self.has_warden(node) {
            return;
        }
        let warden = Warden {
            place,
            early: Some(BTreeMap::new()),
            is_closed: false,
        };
        self.wardens.insert(node, warden);
        self.order_warden(node, JobOrder::Open(Box::new(open)));
        let bytes = CREDIT_BYTES_FIRST;
        self.order_warden(node, JobOrder::Credit { bytes });
        for stream in self.unread.clone() {
            self.order_warden(node, JobOrder::Unread { stream });
        }
    }

    /// What the person gave, and what every program counts on.
    fn environment(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut environment = self.request.env.clone();
        for (name, value) in [("PATH", PATH), ("LANG", "C.UTF-8")] {
            let name = name.as_bytes();
            if !environment.iter().any(|(other, _)| other == name) {
                environment.push((name.to_vec(), value.as_bytes().to_vec()));
            }
        }
        environment
    }

    /// Orders the warden of a process, unless that is closed.
    pub(super) fn order(&mut self, number: u32, order: JobOrder) {
        self.order_warden(self.node_of(number), order);
    }

    /// Orders the warden on a node, unless that is closed.
    pub(super) fn order_warden(&mut self, node: NodeId, order: JobOrder) {
        if self.has_warden(node) {
            let file = None;
            self.deeds.push_back(Deed::Order { node, order, file });
        }
    }

    /// Whether a warden works on this node now.
    pub fn has_warden(&self, node: NodeId) -> bool {
        let warden = self.wardens.get(&node);
        warden.is_some_and(|warden| !warden.is_closed)
    }
}

/// Where programs are looked for, as on any Linux.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
