//! The monitor's attention to signals: taken at certain moments, and remembered where a person sent them.
//!
//! Deliberately absent: what each of them means (`interrupts.rs`), and what is done about it (`household/heed.rs`).

use crate::{
    interrupts::{Interrupts, Meaning},
    signals::SignalSet,
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

    /// The next one that has come, as what is to be done about it.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Meaning> {
        let caught = self.signals.take()?;
        Some(self.interrupts.handle(caught, now))
    }

    /// A person has sent this one to the processes.
    pub(crate) fn handle_persons(&mut self, signal: i32) {
        self.persons.insert(signal);
    }

    /// Whether a person has sent any.
    pub(crate) fn has_persons(&self) -> bool {
        !self.persons.is_empty()
    }

    /// Whether a process that ended so has died of a person's signal.
    pub(crate) fn is_persons(&self, end: End) -> bool {
        matches!(end, End::Signal(signal) if self.persons.contains(signal))
    }
}
