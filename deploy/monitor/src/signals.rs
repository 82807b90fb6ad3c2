//! Signals by their numbers, and sets of them.
//!
//! Deliberately absent: real-time signals beyond 64, which Linux does not have.

pub(crate) const SIGHUP: i32 = 1;
pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGQUIT: i32 = 3;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGUSR1: i32 = 10;
pub(crate) const SIGUSR2: i32 = 12;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGCHLD: i32 = 17;

/// Some of the signals 1 to 64; bit `n - 1` is signal `n`.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    pub(crate) fn insert(&mut self, signal: i32) {
        self.0 |= bit(signal);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, signal: i32) -> bool {
        let was_there = self.contains(signal);
        self.0 &= !bit(signal);
        was_there
    }

    pub(crate) fn contains(self, signal: i32) -> bool {
        self.0 & bit(signal) != 0
    }

    /// As a number, of which it can be made again.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> SignalSet {
        SignalSet(bits)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// None, for a number that is no signal's: others may say any.
fn bit(signal: i32) -> u64 {
    match signal {
        1..=64 => 1 << (signal - 1),
        _ => 0,
    }
}
