//! The nodes of a cluster as people see them, also those that were announced and have not come, and those that were lost a while ago:
//! whoever looks for one is told what became of it.
//!
//! Deliberately absent: jobs as people see them (`owners.rs`); and what a master that is started again could know of those that the
//! one before it lost.

use super::{Cluster, nodes::Member};
use deploy_wire::{
    client::NodeView,
    resources::{Cpu, Mem, Resources},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Nodes that were lost, the latest last.
#[derive(Default, Debug)]
pub(super) struct Lost(VecDeque<(NodeView, Instant)>);

impl Lost {
    /// This one is, from now on.
    pub fn add(&mut self, member: &Member, now: Instant) {
        self.forget(&member.name);
        let view = NodeView {
            glibc: String::new(), // No program has to run there.
            ..view(member, "lost")
        };
        self.0.push_back((view, now));
        if self.0.len() > LOST_MAX {
            self.0.pop_front();
        }
    }

    /// One of this name is there.
    pub fn forget(&mut self, name: &str) {
        self.0.retain(|(view, _)| view.name != name);
    }

    fn views(&self, now: Instant) -> impl Iterator<Item = NodeView> {
        self.0.iter().filter_map(move |(view, since)| {
            let silence = now.saturating_duration_since(*since);
            (silence < SHOWN_FOR).then(|| NodeView {
                lost_seconds: Some(silence.as_secs()),
                ..view.clone()
            })
        })
    }
}

/// It, but for the room there.
fn view(member: &Member, state: &str) -> NodeView {
    let hello = &member.hello;
    NodeView {
        name: member.name.clone(),
        address: hello.address.to_string(),
        state: state.to_string(),
        capacity: hello.capacity,
        free: Resources {
            mem: Mem::default(),
            cpu: Cpu::default(),
            gpu: 0,
        },
        processes: 0,
        isolation: hello.isolation.clone(),
        labels: hello.labels.clone(),
        glibc: hello.glibc.clone(),
        lost_seconds: None,
    }
}

impl Cluster {
    pub(super) fn node_views(&self, now: Instant) -> Vec<NodeView> {
        let mut views: Vec<NodeView> = self
            .scheduler
            .nodes()
            .filter_map(|(id, state)| {
                let member = self.nodes.get(&id)?;
                let word = match (state.is_suspected, state.is_draining) {
                    (true, _) => "suspected",
                    (false, true) => "draining",
                    (false, false) if member.is_failing => "failing",
                    (false, false) => "up",
                };
                Some(NodeView {
                    capacity: state.capacity,
                    free: state.free,
                    processes: state.grants,
                    ..view(member, word)
                })
            })
            .collect();
        views.extend(self.lost.views(now));
        for (address, most) in &self.expected {
            if !views.iter().any(|view| view.address == *address) {
                let (mem, cpu) = most.unwrap_or_default();
                let capacity = Resources { mem, cpu, gpu: 0 };
                views.push(NodeView {
                    name: address.clone(),
                    address: address.clone(),
                    state: "expected".to_string(),
                    capacity,
                    free: capacity,
                    processes: 0,
                    isolation: String::new(),
                    labels: Vec::new(),
                    glibc: String::new(),
                    lost_seconds: None,
                });
            }
        }
        views
    }
}

/// For how long a lost node is shown, and how many: whoever looks for one comes within the hour, or asks whoever looks after the
/// master.
const SHOWN_FOR: Duration = Duration::from_secs(3600);
const LOST_MAX: usize = 256;
