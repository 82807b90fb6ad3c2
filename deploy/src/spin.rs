//! Whether a thread that waits looks again and again before it sleeps.
//!
//! Deliberately absent: what it looks for (`link/waiting.rs`).

use deploy_sys::process;
use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
    time::Duration,
};

/// Whether spinning pays in this process, learned from how it went.
pub(crate) struct Spin {
    possible: bool,
    /// How many waits to let pass before the next try, and how many passed.
    pause: AtomicU32,
    passed: AtomicU32,
    /// How often it was won, and how often the thread had been made to give way when that was looked at last.
    wins: AtomicU32,
    gave_way: AtomicU64,
    /// How many looks in a row found that it had given way most of the time.
    suspicions: AtomicU32,
}

impl Spin {
    /// `possible` says whether there is more than one processor to run on.
    pub(crate) fn new(possible: bool) -> Spin {
        Spin {
            possible,
            pause: AtomicU32::new(0),
            passed: AtomicU32::new(0),
            wins: AtomicU32::new(0),
            gave_way: AtomicU64::new(0),
            suspicions: AtomicU32::new(0),
        }
    }

    /// From now on waiting threads sleep at once.
    pub(crate) fn stop(&self) {
        self.pause.store(u32::MAX, Relaxed);
    }

    pub(crate) fn pays(&self) -> bool {
        self.possible && self.passed.fetch_add(1, Relaxed) >= self.pause.load(Relaxed)
    }

    /// What was waited for came. Where it came because the peer took this thread's processor to send it, sleeping would
    /// have been quicker.
    pub(crate) fn handle_won(&self) {
        self.pause.store(0, Relaxed);
        let wins = self.wins.load(Relaxed);
        self.wins.store(wins.wrapping_add(1), Relaxed); // Of two threads at once one may not count: that is cheaper.
        if !wins.is_multiple_of(SPIN_WINS_PER_LOOK) {
            return;
        }
        let gave_way = process::times_preempted();
        let before = self.gave_way.swap(gave_way, Relaxed);
        if gave_way.saturating_sub(before) < u64::from(SPIN_WINS_PER_LOOK) / 2 {
            self.suspicions.store(0, Relaxed);
        } else if self.suspicions.fetch_add(1, Relaxed) >= SPIN_SUSPICIONS_MAX {
            self.pause.store(SPIN_PAUSE_MAX, Relaxed);
            self.passed.store(0, Relaxed);
        }
    }

    pub(crate) fn handle_lost(&self) {
        let pause = self.pause.load(Relaxed);
        self.pause
            .store(pause.min(SPIN_PAUSE_MAX / 2) * 2 + 1, Relaxed);
        self.passed.store(0, Relaxed);
    }
}

/// How many wins there are between two looks at how they came about.
const SPIN_WINS_PER_LOOK: u32 = 64;

/// How many looks in a row must find it so: two processes that begin on one processor are moved apart in the first
/// tens of milliseconds, and only because both of them spin.
const SPIN_SUSPICIONS_MAX: u32 = 96;

/// Where spinning never pays it costs one try in so many waits.
const SPIN_PAUSE_MAX: u32 = 2047;

/// How long to spin: longer than a wake-up takes, or two processes that both sleep would never find out that they
/// could both spin.
pub(crate) const SPIN: Duration = Duration::from_micros(100);
