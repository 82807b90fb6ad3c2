//! The monitor's attention to signals: taken at certain moments, made into deeds at once.
//!
//! What each of them means is for `interrupts` to say.
//!
//! # When they are taken
//! Always before something is done that they may have a say in: before a turn, which says of every end whether it came
//! of a signal; before a process is started, whose parent may have died of one; and after that, because one that came
//! meanwhile may have missed the newborn.

use crate::{
    head::Head,
    household::Household,
    interrupts::{Interrupts, Meaning},
    signal_set::SignalSet,
};
use deploy_sys::signal::Signals;
use deploy_wire::exit::End;
use std::time::Instant;

/// Signals, and what is remembered of them.
#[derive(Debug)]
pub(crate) struct Attention {
    signals: Signals,
    pub(crate) interrupts: Interrupts,
    /// Those that a person sent.
    persons: SignalSet,
    /// Whether there may be something to reap.
    pub(crate) is_to_reap: bool,
}

impl Attention {
    /// To these signals.
    pub(crate) fn new(signals: Signals) -> Attention {
        Attention {
            signals,
            interrupts: Interrupts::default(),
            persons: SignalSet::default(),
            is_to_reap: false,
        }
    }

    /// The loop found that some have come.
    pub(crate) fn handle_readable(&mut self) {
        self.signals.handle_readable();
    }
}

impl Household {
    /// Does what the signals ask for that have come. Returns those that every process has got which lived then.
    pub(crate) fn heed_signals(&mut self, head: &mut dyn Head, now: Instant) -> Vec<i32> {
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
                    head.handle_persons_kill();
                }
                Meaning::Reap => self.attention.is_to_reap = true,
            }
        }
        if self.is_ending || !persons.is_empty() {
            self.dismiss_spare();
        }
        for signal in &persons {
            self.attention.persons.insert(*signal);
            head.handle_persons_signal(*signal);
        }
        persons
    }

    /// Whether a process has died of a person's signal, reaped or not.
    pub(crate) fn is_interrupted(&self, number: u32) -> bool {
        if self.attention.persons.is_empty() {
            return false; // Without asking the kernel, as usual.
        }
        let end = self
            .children
            .get(&number)
            .and_then(|child| child.end().ok().flatten());
        matches!(end, Some(End::Signal(signal)) if self.attention.persons.contains(signal))
    }
}
