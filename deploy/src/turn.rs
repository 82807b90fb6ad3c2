//! Whose turn it is to wait for a connection's socket.
//!
//! A thread that waits for a value, for room, or for an acknowledgement does the connection's reading itself: no I/O
//! thread stands between two processes that talk. Of the threads that wait for the same connection one is the *owner*
//! and sleeps on the socket; the others sleep on a bell, which the owner rings after whatever it read, and when it
//! leaves. While an owner sleeps, nobody else reads: what it waits for cannot be taken from under it.
//!
//! A connection that was waited for stays out of the reactor's poller (being in it costs every message a wake-up of
//! the reactor): it is *leased*. The reactor takes it back when nobody used it for a tick.
//!
//! Here is what all of them look at to know whose turn it is. Deliberately absent: the socket, and what is done with it
//! (`link/waiting.rs`, `link/sleeping.rs`, `link/lease.rs`).

use crate::waits::{self, Waiting};
use deploy_sys::threads;
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*, fence},
    },
    task::Waker,
    time::Duration,
};

pub(crate) struct Turn {
    /// Whether an owner sleeps on the socket. Written under `bell_lock`.
    owner: AtomicBool,
    /// Under it, what the owner waits for, if that is to be remembered.
    bell_lock: Mutex<Option<OwnersWait>>,
    bell: Condvar,
    /// How often the bell rang.
    rings: AtomicU64,
    /// How many threads listen for the bell, or are about to.
    listeners: AtomicU32,
    /// Tasks that wait, each in its seat; the bell wakes them all, once.
    tasks: Mutex<Vec<Task>>,
    /// Whether the reactor leaves the socket to those who wait for it. Written under `lease_lock`, together with what
    /// the reactor's poller knows: otherwise a thread that was held up between the two could leave a socket to nobody.
    leased: AtomicBool,
    lease_lock: Mutex<()>,
    /// Whether it was waited for since the reactor looked last.
    used: AtomicBool,
    /// How often it had been read when the reactor looked last.
    reads: AtomicU64,
    /// Whether the reactor is to look at it: asked here, noticed there.
    attention: AtomicBool,
}

/// Held, nobody becomes or ceases to be the owner, and no bell rings.
pub(crate) type Held<'a> = MutexGuard<'a, Option<OwnersWait>>;

/// What an owner waits for.
#[derive(Clone, Copy)]
pub(crate) struct OwnersWait {
    pub(crate) number: u64,
    pub(crate) thread: u32,
    pub(crate) waiting: Waiting,
}

/// A task that waits.
struct Task {
    seat: u64,
    waker: Waker,
    /// What it waits for, and the number of that wait; nothing, where nobody would call it waiting.
    waiting: Option<(u64, Waiting)>,
}

impl Turn {
    pub(crate) fn new() -> Turn {
        Turn {
            owner: AtomicBool::new(false),
            bell_lock: Mutex::new(None),
            bell: Condvar::new(),
            rings: AtomicU64::new(0),
            listeners: AtomicU32::new(0),
            tasks: Mutex::new(Vec::new()),
            leased: AtomicBool::new(true),
            lease_lock: Mutex::new(()),
            used: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            attention: AtomicBool::new(false),
        }
    }

    /// Whoever listens looks again. Called with no turn held, after what changed has changed.
    pub(crate) fn ring(&self) {
        fence(SeqCst);
        if self.has_listeners() {
            let held = self.hold();
            self.rings.fetch_add(1, SeqCst);
            self.bell.notify_all();
            drop(held);
            self.wake_tasks();
        }
    }

    /// Wakes every task that waits: each looks again, and comes back if it found nothing.
    fn wake_tasks(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = std::mem::take(&mut *tasks);
        self.listeners.fetch_sub(woken.len() as u32, SeqCst);
        drop(tasks);
        woken.into_iter().for_each(Task::wake);
    }

    /// Has the bell wake the task in this seat too, once.
    pub(crate) fn listen_as_task(&self, seat: u64, task: &Waker, waiting: Option<Waiting>) {
        let waiting = waiting.map(|waiting| (waits::next_number(), waiting));
        let is_waiting = waiting.is_some();
        let task = Task {
            seat,
            waker: task.clone(),
            waiting,
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match tasks.iter_mut().find(|other| other.seat == seat) {
            Some(waiting) => Some(std::mem::replace(waiting, task)),
            None => {
                tasks.push(task);
                self.listeners.fetch_add(1, SeqCst);
                fence(SeqCst);
                None
            }
        };
        drop(tasks);
        if let Some(before) = before {
            before.leave(); // With no lock held: it may be the last of a task that holds a channel.
        }
        if is_waiting {
            waits::have_watched();
        }
    }

    /// The bell no longer wakes the task in this seat.
    pub(crate) fn forget_task(&self, seat: u64) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let place = tasks.iter().position(|other| other.seat == seat);
        let forgotten = place.map(|place| tasks.swap_remove(place));
        if forgotten.is_some() {
            self.listeners.fetch_sub(1, SeqCst);
        }
        drop(tasks);
        if let Some(forgotten) = forgotten {
            forgotten.leave(); // As above.
        }
    }

    /// What tasks wait for, with the number of each wait.
    pub(crate) fn waits(&self) -> Vec<(u64, Waiting)> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().filter_map(|task| task.waiting).collect()
    }

    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// What the owner waits for, if there is one.
    pub(crate) fn owners_wait(&self) -> Option<OwnersWait> {
        *self.hold()
    }

    /// Whether an owner sleeps on the socket, so that nobody else may read.
    pub(crate) fn has_owner(&self) -> bool {
        self.owner.load(SeqCst)
    }

    /// Whether the reactor leaves the socket to those who wait for it.
    pub(crate) fn is_leased(&self) -> bool {
        self.leased.load(SeqCst)
    }

    /// The reactor hands the socket over, or takes it back; `tell` has its poller know, if that is new. Says whether it is.
    pub(crate) fn set_leased(&self, leased: bool, tell: impl FnOnce()) -> bool {
        let _held = self
            .lease_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_new = self.leased.swap(leased, SeqCst) != leased;
        if is_new {
            tell();
        }
        is_new
    }

    /// While it stays so, has the reactor's poller know something else of a socket that is leased.
    pub(crate) fn if_leased(&self, tell: impl FnOnce()) {
        let _held = self
            .lease_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.is_leased() {
            tell();
        }
    }

    /// Whether it was waited for since the reactor looked last.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(SeqCst)
    }

    /// It is being used, and the reactor leaves the socket where it is.
    pub(crate) fn mark_used(&self) {
        self.used.store(true, Release);
    }

    /// Whether it was waited for since this was asked last.
    pub(crate) fn take_used(&self) -> bool {
        self.used.swap(false, SeqCst)
    }

    /// It was read so often: whether it was since this was asked last.
    pub(crate) fn take_reads(&self, reads: u64) -> bool {
        self.reads.swap(reads, Relaxed) != reads
    }

    /// Asks the reactor to look; the caller then wakes it (`Hub::attend`).
    pub(crate) fn want_attention(&self) -> bool {
        !self.attention.swap(true, SeqCst)
    }

    /// The reactor looks.
    pub(crate) fn take_attention(&self) {
        self.attention.store(false, SeqCst);
    }

    /// The calling thread is the owner from now on, and waits for this as far as that is to be remembered.
    pub(crate) fn begin_to_own(&self, mut held: Held<'_>, waiting: Option<Waiting>) {
        self.owner.store(true, SeqCst);
        *held = waiting.map(|waiting| OwnersWait {
            number: waits::next_number(),
            thread: threads::own(),
            waiting,
        });
        drop(held);
        if waiting.is_some() {
            waits::have_watched();
        }
    }

    /// The owner is none any more, and the next one wakes.
    pub(crate) fn cease_to_own(&self) {
        let mut held = self.hold();
        self.owner.store(false, SeqCst);
        let wait = held.take();
        drop(held);
        if let Some(wait) = wait {
            waits::over(wait.number);
        }
        self.ring();
    }

    /// How often the bell rang.
    pub(crate) fn rings(&self) -> u64 {
        self.rings.load(SeqCst)
    }

    /// Whether a thread listens for the bell, or a task.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners.load(SeqCst) > 0
    }

    /// Sleeps until the bell rings, or longer than it should for no reason.
    pub(crate) fn listen(&self, held: Held<'_>, left: Option<Duration>) {
        match left {
            None => drop(self.bell.wait(held).unwrap_or_else(PoisonError::into_inner)),
            Some(left) => {
                drop(
                    self.bell
                        .wait_timeout(held, left)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
        }
    }

    pub(crate) fn hold(&self) -> Held<'_> {
        self.bell_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn wake(self) {
        if let Some((number, _)) = self.waiting {
            waits::over(number);
        }
        self.waker.wake();
    }

    /// It waits no more, or anew.
    fn leave(self) {
        if let Some((number, _)) = self.waiting {
            waits::over(number);
        }
    }
}

/// A thread that hears the bell, from before it looks to after it slept.
pub(crate) struct Listening<'a>(&'a Turn);

impl Listening<'_> {
    pub(crate) fn new(turn: &Turn) -> Listening<'_> {
        turn.listeners.fetch_add(1, SeqCst);
        fence(SeqCst); // Whoever rings and sees no listener has changed what this one looks at next.
        Listening(turn)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, SeqCst);
    }
}
