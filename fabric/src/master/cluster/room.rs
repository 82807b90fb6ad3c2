//! Room that jobs ask for: what of it is granted, waits, or is refused, and in which words.
//!
//! Deliberately absent: what fits where (`scheduler.rs`), and what a job does with its room (`job/room.rs`).

use super::{Cluster, Happening};
use crate::{
    master::place::Place,
    scheduler::{Ask, NodeId, Ticket, Verdict},
};
use deploy_wire::{control::Refusal, pid};
use std::time::Instant;

impl Cluster {
    /// Asks for room, or waits with it until it is known what is free.
    pub(super) fn ask_or_wait(&mut self, id: pid::Job, ask: u64, room: Ask) {
        match self.is_settling() {
            true => self.asked.push((id, ask, room)),
            false => self.ask(id, ask, room),
        }
    }

    pub(super) fn new_ticket(&mut self, id: pid::Job, ask: u64) -> Ticket {
        self.tickets_made += 1;
        let ticket = Ticket(self.tickets_made);
        self.tickets.insert(ticket, (id, ask));
        self.rooms.insert((id, ask), ticket);
        ticket
    }

    pub(super) fn ask(&mut self, id: pid::Job, ask: u64, mut room: Ask) {
        let near = room.near.and_then(|near| self.nodes.get(&near));
        if let (Some(LOCAL), Some(near)) = (room.node.as_deref(), near) {
            room.node = Some(near.name.clone());
        }
        let apart = self.jobs.get(&id).map(|owned| owned.job.apart().clone());
        let apart = apart.unwrap_or_default();
        room.apart = apart.keys().copied().collect();
        let asked = room.resources;
        let wanted = room.node.clone();
        let refusal = match self.scheduler.handle_ask(room) {
            Verdict::AfterOthers => return,
            Verdict::Granted(node) => return self.place(id, ask, node),
            Verdict::OutOfResources { free, others } => Refusal::OutOfResources {
                asked,
                nodes: free,
                others,
            },
            Verdict::Apart(node) => Refusal::Launch {
                why: apart[&node].clone(),
            },
            Verdict::NeverFits { capacity, others } => match wanted.as_deref() {
                Some(LOCAL) if capacity.is_empty() => Refusal::Launch {
                    why: "`local` is the machine of the process that asks, and nothing is started where `--here` runs the \
                          first one: name a node of the cluster, or a label, or none"
                        .to_string(),
                },
                Some(word) if capacity.is_empty() => Refusal::Launch {
                    why: format!(
                        "no node is called {word:?} or has that label: `cargo deploy nodes` lists them"
                    ),
                },
                _ => Refusal::NeverFits {
                    asked,
                    nodes: capacity,
                    others,
                },
            },
        };
        self.forget_ticket(id, ask);
        let _ = self.tell(id, Happening::Refused(ask, refusal)); // It has asked.
    }

    fn place(&mut self, id: pid::Job, ask: u64, node: NodeId) {
        let member = &self.nodes[&node];
        let place = Place {
            node,
            name: member.name.clone(),
            address: Some(member.hello.address),
        };
        let _ = self.tell(id, Happening::Granted(ask, place)); // It has asked.
    }

    /// Grants those who wait what has become free.
    pub(super) fn grant(&mut self, now: Instant) {
        while let Some((ticket, node)) = self.scheduler.poll_granted() {
            let (id, ask) = self.tickets[&ticket];
            self.place(id, ask, node);
            self.follow(id, now);
        }
    }

    pub(super) fn forget_ticket(&mut self, id: pid::Job, ask: u64) {
        if let Some(ticket) = self.rooms.remove(&(id, ask)) {
            self.tickets.remove(&ticket);
            self.scheduler.handle_release(ticket);
            self.asked.retain(|(_, _, room)| room.ticket != ticket);
        }
    }
}

/// The node that whoever asks is on; run alone, a program has no other.
const LOCAL: &str = "local";
