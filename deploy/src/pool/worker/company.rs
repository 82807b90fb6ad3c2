//! Answers that leave together.
//!
//! Each answer that leaves wakes the process that called, and each call that it sends for it wakes this one, on processors
//! that all have work. So an answer waits for others while there is enough to do here: until half of what was ahead is
//! done, or for some milliseconds. A call that takes longer than was thought keeps them from their callers for no more than
//! twice that: then the reactor sends them.
//!
//! Deliberately absent: how they leave.

use crate::pool::message::{Answer, Reply};
use std::time::{Duration, Instant};

/// Answers that leave together.
#[derive(Default)]
pub(super) struct Company {
    answers: Vec<Answer>,
    /// When the first of them was there.
    pub(super) since: Option<Instant>,
    /// Whether the last of them took no time to speak of.
    pub(super) is_quick: bool,
    /// When the reactor will look whether they still wait.
    pub(super) alarm: Option<Instant>,
}

impl Company {
    pub(super) fn handle_answer(&mut self, answer: Answer, took: Duration, now: Instant) {
        self.is_quick = took <= QUICK;
        self.since.get_or_insert(now);
        self.answers.push(answer);
    }

    /// Whether they leave now, where the last took so long and so many calls are ahead.
    pub(super) fn is_enough(&self, took: Duration, ahead: usize, now: Instant) -> bool {
        let waited = self.since.map_or(Duration::ZERO, |since| now - since);
        let is_half = self.answers.len() >= ahead;
        let is_due = !self.is_quick && (is_half || waited + took > ANSWER_WAITS);
        is_due || self.answers.len() >= COMPANY
    }

    pub(super) fn take(&mut self) -> Option<Reply> {
        self.since = None;
        let answers = std::mem::take(&mut self.answers);
        (!answers.is_empty()).then_some(Reply::Answers(answers))
    }

    /// These could not leave.
    pub(super) fn take_back(&mut self, reply: Reply) {
        if let Reply::Answers(answers) = reply {
            self.answers = answers;
        }
    }

    pub(super) fn wants_alarm(&self) -> bool {
        self.alarm.is_none() && !self.answers.is_empty()
    }
}

/// How many answers leave together at most, and how short the calls are whose answers always wait for that: the next one
/// is done before anybody could be woken.
const COMPANY: usize = 16;
const QUICK: Duration = Duration::from_micros(10);

/// How long the first of them waits if all goes as it is thought, and at most.
const ANSWER_WAITS: Duration = Duration::from_millis(4);
pub(crate) const ANSWER_WAITS_MAX: Duration = Duration::from_millis(8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::message::Outcome;

    /// How many answers leave together, of calls that take so long, where so many calls were ahead.
    fn check(took: Duration, ahead: usize, expect: usize) {
        let mut company = Company::default();
        let mut now = Instant::now();
        for done in 1..=ahead {
            now += took;
            let answer = Answer {
                id: 0,
                nanoseconds: 0,
                outcome: Outcome::Uncoded(String::new()),
            };
            company.handle_answer(answer, took, now);
            if company.is_enough(took, ahead - done, now) {
                assert_eq!(done, expect, "{took:?}, {ahead} ahead");
                return;
            }
        }
        assert_eq!(ahead, expect, "{took:?}: all");
    }

    #[test]
    fn answers_wait_until_half_is_done_or_for_some_milliseconds() {
        let (micro, milli) = (Duration::from_micros, Duration::from_millis);
        check(micro(5), 64, COMPANY);
        check(micro(5), 3, 3);
        check(micro(50), 64, COMPANY);
        check(micro(50), 8, 4);
        check(milli(1), 10, 5);
        check(milli(1), 64, 5);
        check(milli(1), 2, 1);
        check(milli(3), 4, 2);
        check(milli(5), 4, 1);
    }
}
