//! What the master and its nodes say to each other of each job: numbered, kept, and said again over the next session.
//!
//! Deliberately absent: what is said.

use super::{Action, Cluster, Happening, Nonsense, loss::Loss};
use crate::{
    numbered::{Arrival, Inbox, Outbox},
    scheduler::NodeId,
};
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    job::{JobOrder, JobReport},
    node::{Held, Order},
    pid,
    relay::Piece,
};
use std::time::Instant;

/// What goes to a node and comes from it of one job.
#[derive(Default, Debug)]
pub(super) struct Stream {
    pub orders: Outbox<Order>,
    pub reports: Inbox,
}

impl Stream {
    /// It in bytes.
    pub(super) fn write(&self, w: &mut Writer) {
        w.u64(self.orders.taken()).u64(self.reports.taken());
        w.list(self.orders.iter(), |w, order| {
            w.bytes(&order.encode());
        });
    }

    /// What these bytes say.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Stream, Malformed> {
        let (taken, reports) = (r.u64()?, Inbox::after(r.u64()?));
        let kept = r.list(|r| Order::decode(r.bytes()?))?;
        let orders = Outbox::from_parts(taken, kept);
        Ok(Stream { orders, reports })
    }
}

#[cfg(test)]
impl Stream {
    /// All but what this session has brought.
    pub(super) fn facts(&self) -> (u64, Vec<&Order>, u64) {
        let kept = self.orders.iter().collect();
        (self.orders.taken(), kept, self.reports.taken())
    }
}

impl Cluster {
    /// Orders something of a job, now and whenever the node has not got it; but what is relayed only now: where the session
    /// ends, it is over.
    pub(super) fn order(
        &mut self,
        id: pid::Job,
        node: NodeId,
        order: JobOrder,
        file: Option<Vec<u8>>,
    ) {
        if is_relayed(&order) {
            return self.actions.push_back(relayed(id, node, order));
        }
        let Some(owned) = self.jobs.get_mut(&id) else {
            return;
        };
        owned.push(id, node, order, file);
        if let Some(member) = self.nodes.get_mut(&node) {
            member.jobs.insert(id);
        }
        let stream = owned.streams.get_mut(&node);
        if let Some((_, order)) = stream.and_then(|stream| stream.orders.poll()) {
            let order = order.clone();
            self.actions.push_back(Action::Order(node, order));
        }
    }

    /// A node reports of a job. Fails if that makes no sense: then the node is not to be trusted.
    pub(super) fn take(
        &mut self,
        node: NodeId,
        id: pid::Job,
        sequence: u64,
        (report, file): (JobReport, Option<Vec<u8>>),
        now: Instant,
    ) -> Result<(), Nonsense> {
        let Some(owned) = self.jobs.get_mut(&id) else {
            return Ok(()); // It has ended meanwhile; the node is told so.
        };
        let Some(stream) = owned.streams.get_mut(&node) else {
            return Err(Nonsense::new("nothing of that job was ever there"));
        };
        if let JobReport::Relayed { .. } = report {
            let told = owned.job.handle(Happening::Report(node, report, None));
            self.follow(id, now);
            return told;
        }
        match stream.reports.handle(sequence) {
            Arrival::Again => return Ok(()),
            Arrival::Gap => return Err(Nonsense::new("one before it is missing")),
            Arrival::Next => {}
        }
        if let Some(reports) = stream.reports.poll_taken(TAKEN_UNTOLD_MAX) {
            let taken = Order::Taken { job: id, reports };
            self.actions.push_back(Action::Order(node, taken));
        }
        if report == JobReport::Opened
            && let Some(member) = self.nodes.get_mut(&node)
        {
            member.is_failing = false;
        }
        let happening = Happening::Report(node, report, file);
        owned.hear_waits(&happening, now);
        self.tell(id, happening)?;
        self.follow(id, now);
        Ok(())
    }

    /// A node has so many of a job's orders. False if there were not so many.
    pub(super) fn handle_taken(&mut self, node: NodeId, id: pid::Job, orders: u64) -> bool {
        let owned = self.jobs.get_mut(&id);
        let stream = owned.and_then(|owned| owned.streams.get_mut(&node));
        stream.is_none_or(|stream| stream.orders.handle_taken(orders))
    }

    /// Tells a node which of its reports it need not keep.
    pub(super) fn tell_taken(&mut self, node: NodeId) {
        let Some(member) = self.nodes.get(&node) else {
            return;
        };
        for id in &member.jobs {
            let owned = self.jobs.get_mut(id);
            let stream = owned.and_then(|owned| owned.streams.get_mut(&node));
            if let Some(reports) = stream.and_then(|stream| stream.reports.poll_taken(1)) {
                let taken = Order::Taken { job: *id, reports };
                self.actions.push_back(Action::Order(node, taken));
            }
        }
    }

    /// Which jobs go on, on a node that has kept these, and how many of their reports are here.
    pub(super) fn match_streams(
        &mut self,
        node: NodeId,
        held: &[Held],
    ) -> Result<Vec<(pid::Job, u64)>, String> {
        let member = self.nodes.get(&node);
        let jobs = member.into_iter().flat_map(|member| &member.jobs);
        let mut going_on = Vec::new();
        for id in jobs {
            let Some(owned) = self.jobs.get_mut(id) else {
                continue;
            };
            let Some(stream) = owned.streams.get_mut(&node) else {
                continue;
            };
            // One that has never heard of it has none of its orders.
            let nothing = Held {
                job: *id,
                orders: 0,
                reports: 0,
            };
            let there = held.iter().find(|held| held.job == *id);
            let there = there.copied().unwrap_or(nothing);
            let is_whole = there.reports <= stream.reports.taken()
                && there.orders >= stream.orders.taken()
                && stream.orders.handle_taken(there.orders);
            if !is_whole {
                return Err(format!(
                    "what this node and the master know of job {id} does not fit together: its jobs end"
                ));
            }
            stream.reports.rewind(); // What it was told may not have come.
            going_on.push((*id, stream.reports.taken()));
        }
        Ok(going_on)
    }

    /// Says again what a node has not got.
    pub(super) fn say_again(&mut self, node: NodeId) {
        let Some(member) = self.nodes.get(&node) else {
            return;
        };
        for id in &member.jobs {
            let owned = self.jobs.get_mut(id);
            let Some(stream) = owned.and_then(|owned| owned.streams.get_mut(&node)) else {
                continue;
            };
            stream.orders.rewind();
            while let Some((_, order)) = stream.orders.poll() {
                let parted = match order {
                    Order::Job { order, .. } => parted(order),
                    _ => None,
                };
                self.actions.push_back(Action::Order(node, order.clone()));
                // Ahead of what follows: it may be the end of who is at the other end.
                let parted = parted.map(|order| relayed(*id, node, order));
                self.actions.extend(parted);
            }
        }
    }

    /// What ran of a job on a node was killed.
    pub(super) fn lose_stream(&mut self, node: NodeId, id: pid::Job, loss: &Loss, now: Instant) {
        if let Some(owned) = self.jobs.get_mut(&id) {
            owned.streams.remove(&node);
            self.with_job(Some(id), Happening::NodeLost(node, loss.by()), now);
        }
    }

    /// A job is over everywhere.
    pub(super) fn forget(&mut self, id: pid::Job) {
        let Some(owned) = self.jobs.remove(&id) else {
            return;
        };
        for node in owned.streams.into_keys() {
            if let Some(member) = self.nodes.get_mut(&node) {
                member.jobs.remove(&id);
            }
            let forget = Order::Forget { job: id };
            self.actions.push_back(Action::Order(node, forget));
        }
        for client in self.clients.values_mut() {
            client.job = client.job.filter(|job| *job != id);
        }
    }
}

/// Whether this is something of a relayed connection, which is not kept.
pub(super) fn is_relayed(order: &JobOrder) -> bool {
    matches!(order, JobOrder::Relayed { .. })
}

/// It leaves now or never, and so has no number.
fn relayed(job: pid::Job, node: NodeId, order: JobOrder) -> Action {
    let order = Order::Job {
        job,
        sequence: 0,
        order,
        image: None,
        file: None,
        files: None,
    };
    Action::Order(node, order)
}

/// What follows when a relayed connection is given out late: it broke already.
fn parted(order: &JobOrder) -> Option<JobOrder> {
    let JobOrder::Relay(relay) = order else {
        return None;
    };
    Some(JobOrder::Relayed {
        channel: relay.channel,
        piece: Piece::Broken,
    })
}

/// Reports that a node keeps although they have come; and with each beat it is told of all.
const TAKEN_UNTOLD_MAX: u64 = 64;
