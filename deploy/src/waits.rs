//! What the threads and tasks of this process wait for, remembered for whoever wonders why nothing goes on.
//!
//! A wait is remembered from when its thread is about to sleep: what is found at once, or by spinning, costs nothing
//! here. Each has a number, and later ones have higher numbers, so that no clock is asked.
//!
//! Deliberately absent: who looks at them, and when (`lookout.rs`); the waits of tasks and of owners, which lie with
//! their connections (`turn.rs`), and those of pools (`pool/crew.rs`), of which only the numbers come from here.

use crate::reactor_waker::ReactorWaker;
use deploy_sys::threads;
use deploy_wire::{
    pid::Pid,
    wait::{Awaited, Wait},
};
use std::{
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    time::Duration,
};

/// A line of the program.
pub(crate) type Line = &'static Location<'static>;

/// What is waited for, and by which line of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) what: Awaited,
    /// The type of the channel's values; empty where there is none.
    pub(crate) type_name: &'static str,
    /// Nothing, where the line is none of the program's own.
    pub(crate) at: Option<Line>,
}

impl Waiting {
    /// As the monitor is told of it.
    pub(crate) fn told(&self, peer: Pid, time: Duration) -> Wait {
        let own = |at: &&Location<'_>| {
            !at.file().starts_with("/rustc/") && !at.file().contains("/rustlib/src/")
        };
        Wait {
            what: self.what,
            peer,
            type_name: self.type_name.to_string(),
            place: (self.at.filter(own)).map(|at| format!("{}:{}", at.file(), at.line())),
            ms: time.as_millis() as u64,
        }
    }
}

/// A wait that is remembered until this is dropped.
pub(crate) struct Remembered(u64);

/// One that is remembered now.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    /// The thread that sleeps for it; nothing, where a task waits.
    pub(crate) thread: Option<u32>,
    pub(crate) peer: Pid,
    pub(crate) waiting: Waiting,
}

/// The calling thread is about to sleep for this.
pub(crate) fn sleeps(peer: Pid, waiting: Waiting) -> Remembered {
    remember(Some(threads::own()), peer, waiting)
}

/// A task waits for this.
pub(crate) fn waits(peer: Pid, waiting: Waiting) -> Remembered {
    remember(None, peer, waiting)
}

fn remember(thread: Option<u32>, peer: Pid, waiting: Waiting) -> Remembered {
    let number = next_number();
    entries_lock().push(Entry {
        number,
        thread,
        peer,
        waiting,
    });
    have_watched();
    Remembered(number)
}

impl Drop for Remembered {
    fn drop(&mut self) {
        let mut entries = entries_lock();
        if let Some(place) = entries.iter().position(|entry| entry.number == self.0) {
            entries.swap_remove(place);
        }
        drop(entries);
        over(self.0);
    }
}

/// The number of a wait that is remembered elsewhere. To be followed by [`have_watched`] when it is, and by [`over`].
pub(crate) fn next_number() -> u64 {
    NUMBERS.fetch_add(1, SeqCst)
}

/// Something is waited for: has the reactor look soon, unless it will.
pub(crate) fn have_watched() {
    if !WATCHED.load(SeqCst) && !WATCHED.swap(true, SeqCst) {
        wake();
    }
}

/// This wait is over: if the monitor was told of it, it is told so.
pub(crate) fn over(number: u64) {
    if number < TOLD_BELOW.load(SeqCst) && !CHANGED.swap(true, SeqCst) {
        wake();
    }
}

/// How many waits there were.
pub(crate) fn numbers() -> u64 {
    NUMBERS.load(SeqCst)
}

/// Those of threads that are no owners, and of tasks that wait for an end.
pub(crate) fn entries() -> Vec<Entry> {
    entries_lock().clone()
}

/// Whether the reactor is to look soon.
pub(crate) fn is_watched() -> bool {
    WATCHED.load(SeqCst)
}

/// Nobody looks for a long time, unless there were more waits than these: then it is looked soon.
pub(crate) fn stop_watching(numbers_seen: u64) {
    WATCHED.store(false, SeqCst);
    if numbers() != numbers_seen {
        have_watched();
    }
}

/// From now on, if one of the waits below this number ends, there is a change.
pub(crate) fn expect_changes(below: u64) {
    TOLD_BELOW.store(below, SeqCst);
}

/// Whether there was one since this was asked last.
pub(crate) fn take_change() -> bool {
    CHANGED.load(SeqCst) && CHANGED.swap(false, SeqCst)
}

/// From now on it is this reactor that looks.
pub(crate) fn be_watched_by(reactor: Arc<ReactorWaker>) {
    assert!(REACTOR.set(reactor).is_ok(), "a process has one reactor");
}

fn wake() {
    if let Some(reactor) = REACTOR.get() {
        reactor.wake();
    }
}

fn entries_lock() -> MutexGuard<'static, Vec<Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom to wake; nobody, where no reactor looks.
static REACTOR: OnceLock<Arc<ReactorWaker>> = OnceLock::new();
static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
static NUMBERS: AtomicU64 = AtomicU64::new(0);
/// The waits below it may have been told of.
static TOLD_BELOW: AtomicU64 = AtomicU64::new(0);
static WATCHED: AtomicBool = AtomicBool::new(false);
static CHANGED: AtomicBool = AtomicBool::new(false);
