//! The end of a process that has workers: it lets them go, and waits until they have ended.
//!
//! Deliberately absent: what it does beside (`drain.rs`).

use super::{Crew, state::State};
use crate::{
    link::{Link, Look},
    pool::hand::Hand,
    process,
};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

impl Crew {
    /// The process ends, and lets its workers go.
    pub(crate) fn retire(self: &Arc<Crew>) -> Vec<Leaver> {
        let patience = Instant::now() + BIRTHS_PATIENCE;
        loop {
            if let Ok(mut state) = self.state.try_lock() {
                state.is_over = true;
                state.hear_births(self);
                if state.births.is_empty() || Instant::now() > patience {
                    return state.let_go();
                }
            } else if Instant::now() > patience {
                return Vec::new(); // Somebody else holds it in the middle of something. They die with this process.
            }
            thread::sleep(BIRTHS_LOOK);
        }
    }
}

impl State {
    /// Lets all workers go.
    fn let_go(&mut self) -> Vec<Leaver> {
        self.hands.values_mut().for_each(Hand::let_go);
        let leavers = self.hands.iter().map(|(worker, hand)| Leaver {
            link: hand.link().clone(),
            is_busy: self.plan.is_busy(*worker),
        });
        leavers.collect()
    }
}

/// A worker that was let go.
pub(crate) struct Leaver {
    link: Arc<Link>,
    /// Whether it had calls.
    is_busy: bool,
}

impl Leaver {
    /// Blocks until it has ended, or then.
    fn has_ended(&self, deadline: Instant) -> bool {
        let look = || Look::of(self.link.has_fate().then_some(()));
        self.link.wait_until(Some(deadline), None, look).is_some()
    }

    fn kill(&self) {
        process::current().control.kill_unheard(self.link.peer);
    }
}

/// Blocks until these have ended. Those that are in the midst of a call are killed soon; the others go by themselves, and
/// only have to be given a processor.
pub(crate) fn await_ends(leavers: &[Leaver]) {
    let soon = Instant::now() + CALLS_PATIENCE;
    let busy = leavers.iter().filter(|leaver| leaver.is_busy);
    for leaver in busy {
        if !leaver.has_ended(soon) {
            leaver.kill();
        }
    }
    let patience = Instant::now() + ENDS_PATIENCE;
    for leaver in leavers {
        if !leaver.has_ended(patience) {
            leaver.kill();
        }
    }
}

/// How long a process that ends waits for workers that are being born.
const BIRTHS_PATIENCE: Duration = Duration::from_millis(500);
const BIRTHS_LOOK: Duration = Duration::from_micros(200);

/// How long a process that ends waits for the calls that its workers are in the midst of: their results are nobody's.
const CALLS_PATIENCE: Duration = Duration::from_millis(100);

/// How long it waits for the ends of the others, and of those that it killed. They die with it if they have not.
const ENDS_PATIENCE: Duration = Duration::from_secs(2);
