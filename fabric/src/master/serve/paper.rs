//! What waits for something to be written down, and leaves when it is.
//!
//! Deliberately absent: writing, which is the scribe's.

use super::Master;
use crate::{
    master::{
        cluster::{About, ClientId},
        gate::{Lane, Parcel},
        scribe::Work,
    },
    scheduler::NodeId,
};
use deploy_sys::tell;
use deploy_wire::{
    client::{Answer, Ask},
    node::{NodeHello, Order},
    pid::Job,
};
use mio::Token;
use std::time::Instant;

/// A job that is being written down.
#[derive(Debug)]
pub(super) struct Beginner {
    pub(super) job: Job,
    pub(super) about: About,
    /// What its client has asked for meanwhile.
    pub(super) later: Later,
}

/// What a client has asked for while its job is being written down.
#[derive(Debug, Default)]
pub(super) struct Later(Vec<Ask>);

impl Beginner {
    pub(super) fn new(job: Job, about: About) -> Beginner {
        let later = Later::default();
        Beginner { job, about, later }
    }
}

impl Later {
    /// One more. False, and forgotten, if that is too much.
    fn push(&mut self, ask: Ask) -> bool {
        let has_room = self.0.len() < LATER_MAX;
        if has_room {
            self.0.push(ask);
        }
        has_room
    }

    /// All of it, in order.
    pub(super) fn into_asks(self) -> Vec<Ask> {
        self.0
    }
}

impl Master {
    /// What there is to write goes to the scribe.
    pub(super) fn hand_over(&mut self) {
        if let Some(nodes) = self.cluster.poll_nodes() {
            self.desk.write(Work::Nodes(nodes));
        }
        for job in self.desk.long_journals() {
            // Where it is in the midst of something, it is asked again after the next turn.
            if let Some(state) = self.cluster.condense(job) {
                self.desk.condense(job, &state);
            }
        }
        if let Some(batch) = self.desk.poll_batch() {
            self.scribe.give(batch);
        }
    }

    /// What has waited for what is written now goes on its way.
    pub(super) fn hear_scribe(&mut self, now: Instant) {
        while let Some(done) = self.scribe.poll_done() {
            self.gate.handle_written(done.number);
            let (begun, notes) = self.desk.handle_done(done);
            for note in notes {
                tell!("{note}");
            }
            for (job, written) in begun {
                let mut beginners = self.beginners.iter();
                let client = beginners.find(|(_, beginner)| beginner.job == job);
                let client = client.map(|(client, _)| *client);
                match client.and_then(|client| self.beginners.remove_entry(&client)) {
                    Some((client, beginner)) => self.begin_job(client, beginner, written, now),
                    None => self.desk.discard(job), // Its client is gone.
                }
            }
        }
        self.release();
    }

    /// What a client asks whose job is being written down comes after that; but not its beats. Who asks for too much
    /// meanwhile is sent away, and its job does not begin.
    pub(super) fn postpone(&mut self, token: Token, client: ClientId, ask: Ask) -> Option<Ask> {
        match self.beginners.get_mut(&client) {
            Some(beginner) if ask != Ask::Beat => {
                if !beginner.later.push(ask) {
                    let why = format!(
                        "more than {LATER_MAX} messages came while the job was being written down: wait until it has started"
                    );
                    self.part(token, why);
                }
                None
            }
            _ => Some(ask),
        }
    }

    /// A node says who it is. It is let in at once, also where a disk stands still: what is not written of the jobs that it
    /// has is acknowledged later.
    pub(super) fn greet(&mut self, token: Token, hello: NodeHello, now: Instant) {
        let Some(party) = self.parties.get_mut(&token) else {
            return;
        };
        let name = party.name().to_string();
        let is_written = |job: &Job| self.gate.is_written(self.desk.batch_of(*job));
        let held = hello.held.iter().map(|held| held.job);
        let unwritten: Vec<Job> = held.filter(|job| !is_written(job)).collect();
        match self.cluster.handle_hello(name, hello, &unwritten, now) {
            Ok(id) => {
                party.set_node(id);
                // Its session before this one may not have been found to be dead.
                let earlier = self.nodes.insert(id, token);
                earlier.map(|earlier| self.parties.remove(&earlier));
            }
            Err(why) => party.leave(Order::Refused { why }.encode()),
        }
        self.talkative.insert(token);
        self.act();
    }

    /// Orders a node something: what is of a job when what led to it is written, and anything else at once.
    pub(super) fn order(&mut self, node: NodeId, order: &Order) {
        let Some(token) = self.nodes.get(&node).copied() else {
            return;
        };
        match order {
            Order::Job {
                job, order: what, ..
            } if what.is_bulk() => {
                self.send_after(Lane::Job(*job), token, Parcel::Bulk(order.encode().into()));
            }
            Order::Job { job, .. } | Order::Taken { job, .. } | Order::Forget { job } => {
                self.send_after(
                    Lane::Job(*job),
                    token,
                    Parcel::Message(order.encode().into()),
                );
            }
            _ => {
                if let Some(party) = self.find(token) {
                    match order {
                        Order::Beat { .. } => party.beat(order.encode()),
                        _ => party.queue(order.encode()),
                    }
                }
            }
        }
    }

    /// Tells a client something, when what led to it is written; but what only shows how things are at once.
    pub(super) fn answer(&mut self, client: ClientId, answer: &Answer) {
        let token = Token(client.0 as usize);
        match answer {
            Answer::Hello { .. }
            | Answer::Beat
            | Answer::Nodes(_)
            | Answer::Jobs(_)
            | Answer::Lives(_) => {
                if let Some(party) = self.find(token) {
                    party.queue(answer.encode());
                }
            }
            _ => {
                let lane = self.lane_of(client);
                let parcel = match answer.is_bulk() {
                    true => Parcel::Bulk(answer.encode().into()),
                    false => Parcel::Message(answer.encode().into()),
                };
                self.send_after(lane, token, parcel);
            }
        }
    }

    pub(super) fn lane_of(&self, client: ClientId) -> Lane {
        let job = self.cluster.job_of(client);
        job.map_or(Lane::Client(client), Lane::Job)
    }

    /// A party is told something when all that has led to it is written.
    pub(super) fn send_after(&mut self, lane: Lane, to: Token, parcel: Parcel) {
        let batch = match lane {
            Lane::Job(job) => self.desk.batch_of(job),
            Lane::Client(_) => self.desk.latest_batch(),
        };
        self.gate.push(lane, batch, to, parcel);
        self.release();
    }

    fn release(&mut self) {
        while let Some((token, parcel)) = self.gate.poll() {
            if let Some(party) = self.find(token) {
                match parcel {
                    Parcel::Message(message) => party.queue(message),
                    Parcel::Bulk(message) => party.queue_bulk(message),
                    Parcel::Last(message) => party.leave(message),
                }
            }
        }
    }
}

/// A client waits until its job has started before it says more. As a message is 64 MiB at most, others fill no more than
/// 256 MiB of the master's memory while its disk stands still.
const LATER_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_disk_is_bounded() {
        let mut later = Later::default();
        let ask = |bytes| Ask::Credit { bytes };
        let pushed = (0..).take_while(|number| later.push(ask(*number))).count();
        assert_eq!(pushed, LATER_MAX);
        let asks: Vec<Ask> = (0..LATER_MAX as u64).map(ask).collect();
        assert_eq!(later.into_asks(), asks);
    }
}
