//! How long the jobs of a node may go on when its master is not heard.
//!
//! The master calls a node lost 12 s after it heard an answer. So a node counts from when it *said* the latest thing that it
//! knows to have been heard: whatever is slow on the way, and in whichever direction it is lost, its jobs are dead first.
//!
//! A plain machine. Deliberately absent: killing them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Nobody's, until the master has welcomed the node.
#[derive(Default, Debug)]
pub(super) struct Lease {
    from: Option<Instant>,
    /// The answers of which the node does not know whether they were heard, and when it gave them.
    answers: VecDeque<(u64, Instant)>,
}

impl Lease {
    /// The master has heard what was said then.
    pub(super) fn begin(&mut self, said: Instant) {
        self.from = Some(said);
        self.answers.clear();
    }

    /// The beat of this number is answered now.
    pub(super) fn handle_answer(&mut self, sequence: u64, now: Instant) {
        self.answers.push_back((sequence, now));
        if self.answers.len() > ANSWERS_MAX {
            self.answers.pop_front();
        }
    }

    /// The master has heard the answer to this beat.
    pub(super) fn handle_heard(&mut self, sequence: u64) {
        let said = |(answer, at): &(u64, Instant)| (*answer <= sequence).then_some(*at);
        while let Some(said) = self.answers.front().and_then(said) {
            self.from = Some(said);
            self.answers.pop_front();
        }
    }

    /// When the jobs must be dead, if nothing more is heard.
    pub(super) fn end(&self) -> Option<Instant> {
        self.from.map(|from| from + LEASE)
    }

    /// They are.
    pub(super) fn handle_killed(&mut self) {
        *self = Lease::default();
    }
}

/// A second less than the master waits. What was heard is known with the next beat, a second later: so this is some 10 s
/// from when a node is cut off.
pub(crate) const LEASE: Duration = Duration::from_secs(11);
/// As many beats as there are in a lease, some times over.
const ANSWERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_what_was_said_and_heard() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lease = Lease::default();
        assert_eq!(lease.end(), None);
        lease.begin(at(0));
        for beat in 1..=5 {
            lease.handle_answer(beat, at(beat));
        }
        // None of the answers was heard, as far as it knows: beats that only come do not count.
        assert_eq!(lease.end(), Some(at(11)));
        lease.handle_heard(3);
        assert_eq!(lease.end(), Some(at(14)));
        lease.handle_heard(2);
        assert_eq!(lease.end(), Some(at(14)));
        lease.handle_killed();
        assert_eq!(lease.end(), None);
    }
}
