//! What is done about signals, at certain moments.
//!
//! Deliberately absent: what each of them means (`interrupts.rs`).
//!
//! # When they are taken
//! Always before something is done that they may have a say in: before a turn, which says of every end whether it came
//! of a signal; before a process is started, whose parent may have died of one; and after that, because one that came
//! meanwhile may have missed the newborn.

use super::Household;
use crate::{head::Head, interrupts::Meaning};
use std::time::Instant;

impl Household {
    /// Does what the signals ask for that have come. Returns those that every process has got which lived then.
    pub(crate) fn heed_signals(&mut self, head: &mut dyn Head, now: Instant) -> Vec<i32> {
        let mut persons = Vec::new();
        while let Some(meaning) = self.attention.poll(now) {
            match meaning {
                Meaning::Asked(signal) => persons.push(signal),
                Meaning::PassOn(signal) => {
                    persons.push(signal);
                    for number in self.children.keys() {
                        self.signal(*number, signal);
                    }
                }
                Meaning::KillAll => {
                    self.is_ending = true;
                    head.handle_persons_kill();
                }
                Meaning::Reap => self.attention.is_to_reap = true,
            }
        }
        if self.is_ending || !persons.is_empty() {
            self.spare.dismiss();
        }
        for signal in &persons {
            self.attention.handle_persons(*signal);
            head.handle_persons_signal(*signal);
        }
        persons
    }

    /// Whether a process has died of a person's signal, reaped or not.
    pub(super) fn is_interrupted(&self, number: u32) -> bool {
        if !self.attention.has_persons() {
            return false; // Without asking the kernel, as usual.
        }
        let end = self
            .children
            .get(&number)
            .and_then(|child| child.end().ok().flatten());
        end.is_some_and(|end| self.attention.is_persons(end))
    }
}
