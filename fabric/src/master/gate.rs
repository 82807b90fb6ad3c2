//! What is to leave the master only when something else was written down.
//!
//! A plain machine. Deliberately absent: the disk, and sessions.
//!
//! Messages wait in *lanes*, each of which keeps its order: one for each job, and one for each client that asks without having
//! a job. So a job whose output the disk takes slowly holds up no other, and beats have no lane at all.

use super::cluster::ClientId;
use deploy_trust::framing::Message;
use deploy_wire::pid::Job;
use mio::Token;
use std::collections::{BTreeMap, VecDeque};

/// All that waits.
#[derive(Default, Debug)]
pub struct Gate {
    /// All batches up to this one are written.
    written: u64,
    lanes: BTreeMap<Lane, VecDeque<Waiting>>,
    free: VecDeque<(Token, Parcel)>,
}

/// What keeps its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// What is said of one job, to whomever.
    Job(Job),
    /// What one client is answered.
    Client(ClientId),
}

/// A message for a party.
#[derive(PartialEq, Eq, Debug)]
pub enum Parcel {
    /// One like any other.
    Message(Message),
    /// One that leaves when nothing else waits.
    Bulk(Message),
    /// The last that it is told.
    Last(Message),
}

#[derive(Debug)]
struct Waiting {
    batch: u64,
    to: Token,
    parcel: Parcel,
}

impl Gate {
    /// A message is to leave when this batch is written, and what stands before it in its lane has left.
    pub fn push(&mut self, lane: Lane, batch: u64, to: Token, parcel: Parcel) {
        match self.lanes.get_mut(&lane) {
            Some(waiting) => waiting.push_back(Waiting { batch, to, parcel }),
            None if batch <= self.written => self.free.push_back((to, parcel)),
            None => {
                let waiting = VecDeque::from([Waiting { batch, to, parcel }]);
                self.lanes.insert(lane, waiting);
            }
        }
    }

    /// All batches up to this one are written.
    pub fn handle_written(&mut self, batch: u64) {
        self.written = batch;
        let free = &mut self.free;
        self.lanes.retain(|_, lane| {
            while lane.front().is_some_and(|next| next.batch <= batch) {
                free.extend(lane.pop_front().map(|next| (next.to, next.parcel)));
            }
            !lane.is_empty()
        });
    }

    /// Whether this batch is written.
    pub fn is_written(&self, batch: u64) -> bool {
        batch <= self.written
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.free.is_empty()
    }

    /// The next that may leave.
    pub fn poll(&mut self) -> Option<(Token, Parcel)> {
        self.free.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(gate: &mut Gate) -> Vec<(usize, u8)> {
        let all = std::iter::from_fn(|| gate.poll());
        let all = all.map(|(token, parcel)| match parcel {
            Parcel::Message(bytes) => (token.0, bytes[0]),
            other => panic!("{other:?}"),
        });
        all.collect()
    }

    #[test]
    fn what_follows_waits_for_what_was_written_and_for_nothing_else() {
        let mut gate = Gate::default();
        let [slow, quiet] = [1, 2].map(|bits| Lane::Job(Job::from_bits(bits)));
        let push = |gate: &mut Gate, lane, batch, to, byte| {
            gate.push(lane, batch, Token(to), Parcel::Message(vec![byte].into()));
        };
        push(&mut gate, slow, 3, 1, 10);
        push(&mut gate, quiet, 0, 1, 20);
        // It needs nothing itself, but those before it in its lane do.
        push(&mut gate, slow, 0, 1, 11);
        push(&mut gate, slow, 4, 2, 12);
        assert_eq!(free(&mut gate), [(1, 20)]);
        gate.handle_written(2);
        assert_eq!(free(&mut gate), []);
        gate.handle_written(3);
        assert_eq!(free(&mut gate), [(1, 10), (1, 11)]);
        assert!(gate.is_written(3) && !gate.is_written(4) && !gate.is_empty());
        gate.handle_written(4);
        push(&mut gate, slow, 4, 2, 13);
        assert_eq!(free(&mut gate), [(2, 12), (2, 13)]);
        assert!(gate.is_empty());
    }
}
