//! The monitor's attention to signals: taken at certain moments, made into deeds at once.
//!
//! What each of them means is for `interrupts` to say.
//!
//! # When they are taken
//! Always before something is done that they may have a say in: before a turn, which says of every end whether it came
//! of a signal; before a process is started, whose parent may have died of one; and after that, because one that came
//! meanwhile may have missed the newborn.

use crate::{
    household::Household,
    interrupts::{Interrupts, Meaning},
};
use deploy_sys::signal::Signals;
use std::time::Instant;

/// Signals, and what is remembered of them.
#[derive(Debug)]
pub(crate) struct Attention {
    signals: Signals,
    pub(crate) interrupts: Interrupts,
    /// Whether there may be something to reap.
    pub(crate) is_to_reap: bool,
}

impl Attention {
    /// To these signals.
    pub(crate) fn new(signals: Signals) -> Attention {
        Attention {
            signals,
            interrupts: Interrupts::default(),
            is_to_reap: false,
        }
    }
}

impl Household {
    /// Does what the signals ask for that have come. Returns those that every process has got which lived then.
    pub(crate) fn heed_signals(&mut self, now: Instant) -> Vec<i32> {
        let mut persons = Vec::new();
        while let Some(caught) = self.attention.signals.take() {
            match self.attention.interrupts.handle(caught, now) {
                Meaning::Asked(signal) => persons.push(signal),
                Meaning::PassOn(signal) => {
                    persons.push(signal);
                    for number in self.children.keys() {
                        self.signal(*number, signal);
                    }
                }
                Meaning::KillAll => {
                    self.is_ending = true;
                    self.roster.handle_persons_kill();
                    self.act();
                }
                Meaning::Reap => self.attention.is_to_reap = true,
            }
        }
        if self.is_ending || !persons.is_empty() {
            self.dismiss_spare();
        }
        for signal in &persons {
            self.roster.handle_persons_signal(*signal);
        }
        persons
    }

    /// Whether a process has died of a person's signal, reaped or not.
    pub(crate) fn is_interrupted(&self, number: u32) -> bool {
        if !self.roster.has_persons_signals() {
            return false; // Without asking the kernel, as usual.
        }
        let end = self
            .children
            .get(&number)
            .and_then(|child| child.end().ok().flatten());
        end.is_some_and(|end| self.roster.is_interrupted(end))
    }
}
