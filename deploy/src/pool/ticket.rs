//! What a caller holds of its call, and where the answer is left for it.
//!
//! Deliberately absent: who runs it (`plan.rs`), and what the bytes mean (`call.rs`).

use super::{Limits, broadcast::Sent, error::DistributionError, message::Bytes};
use crate::waits;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::*},
    },
    task::Waker,
};

/// A call as it goes to a worker.
#[derive(Debug)]
pub(crate) struct Job {
    /// Where the function lies in the program.
    pub(crate) function: i64,
    /// What people call it.
    pub(crate) name: &'static str,
    /// What it is called with.
    pub(crate) given: Bytes,
    /// The broadcast values that it names.
    pub(crate) named: Vec<Arc<Sent>>,
    pub(crate) limits: Limits,
}

/// What came of a call.
pub(crate) type Answer = Result<Bytes, DistributionError>;

/// A call that was made.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) job: Job,
    /// The number of the wait for its answer.
    pub(crate) number: u64,
    is_done: AtomicBool,
    /// Whether a task was woken for it.
    has_woken: AtomicBool,
    slot: Mutex<Slot>,
}

#[derive(Default, Debug)]
struct Slot {
    answer: Option<Answer>,
    task: Option<Waker>,
}

impl Ticket {
    pub(crate) fn new(job: Job) -> Ticket {
        let number = waits::next_number();
        waits::have_watched();
        Ticket {
            job,
            number,
            is_done: AtomicBool::new(false),
            has_woken: AtomicBool::new(false),
            slot: Mutex::default(),
        }
    }

    /// Whether the answer is there, or was.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Acquire)
    }

    /// Whether a task was woken when the answer came.
    pub(crate) fn has_woken(&self) -> bool {
        self.has_woken.load(Acquire)
    }

    /// The answer, if it is there. It is taken once.
    pub(crate) fn take(&self) -> Option<Answer> {
        match self.is_done() {
            true => self.slot().answer.take(),
            false => None,
        }
    }

    /// Has this task woken when the answer is there; not if it is there already.
    pub(crate) fn listen(&self, task: &Waker) {
        let mut slot = self.slot();
        let is_known = slot
            .task
            .as_ref()
            .is_some_and(|known| known.will_wake(task));
        let before = match is_known {
            true => None,
            false => slot.task.replace(task.clone()),
        };
        drop(slot);
        drop(before); // With no lock held: it may be the last of a task that makes calls.
    }

    /// Here is the answer. Returns who waits for it, to be woken with no lock held.
    #[must_use = "whoever waits is woken"]
    pub(crate) fn answer(&self, answer: Answer) -> Option<Waker> {
        let mut slot = self.slot();
        slot.answer = Some(answer);
        let woken = slot.task.take();
        self.has_woken.store(woken.is_some(), Release);
        self.is_done.store(true, Release);
        waits::over(self.number);
        woken
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
