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
//! Before it sleeps, a thread spins: an answer that comes within 50 us is not worth a sleep, which costs 60 to 120 us
//! where idle processors halt. Where spinning does not pay (no processor is free), it soon stops trying.

use crate::{
    link::{Link, Read},
    waits::{self, Waiting},
};
use deploy_sys::{stream, threads};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*, fence},
    },
    task::Waker,
    time::{Duration, Instant},
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
        if self.listeners.load(SeqCst) > 0 {
            let held = self.lock();
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
    fn listen_as_task(&self, seat: u64, task: &Waker, waiting: Option<Waiting>) {
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
    fn forget_task(&self, seat: u64) {
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
        *self.lock()
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
    fn set_leased(&self, leased: bool, tell: impl FnOnce()) -> bool {
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

    /// Sleeps until the bell rings, or longer than it should for no reason.
    fn listen(&self, held: MutexGuard<'_, Option<OwnersWait>>, left: Option<Duration>) {
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

    fn lock(&self) -> MutexGuard<'_, Option<OwnersWait>> {
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

/// As whom a thread that waits looks at its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// It looks again and again.
    Spinner,
    /// It is about to sleep, and does not read.
    Sleeper,
    /// It slept on the socket, and nobody else reads.
    Owner,
}

/// What one look at a connection brought.
#[derive(Debug)]
pub(crate) enum Look<R> {
    /// What was looked for.
    Found(R),
    /// Something else: look again.
    Something,
    /// Nothing yet: wait for the socket.
    Nothing,
    /// Nothing, and the socket is not what to wait for: it has ended, or is not there yet, or another thread is at
    /// work there. The bell will ring.
    Idle,
}

impl<R> Look<R> {
    /// What was found, or nothing yet.
    pub(crate) fn of(found: Option<R>) -> Look<R> {
        found.map_or(Look::Nothing, Look::Found)
    }

    /// What was found, if anything was.
    pub(crate) fn found(self) -> Option<R> {
        match self {
            Look::Found(found) => Some(found),
            _ => None,
        }
    }
}

impl<R> From<Read> for Look<R> {
    fn from(read: Read) -> Look<R> {
        match read {
            Read::Something => Look::Something,
            Read::Nothing => Look::Nothing,
            Read::Idle => Look::Idle,
        }
    }
}

impl Link {
    /// Blocks until `ready`, which does not read, finds what it looks for, or until the deadline. A wait without one is
    /// remembered as `waiting`.
    pub(crate) fn wait_until<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        ready: impl FnMut() -> Look<R>,
    ) -> Option<R> {
        self.wait_reading(deadline, waiting, ready, |who| self.read_as(who).into())
    }

    /// The same, where whoever waits reads by `read`, which may find what it looks for by itself.
    #[inline]
    pub(crate) fn wait_reading<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        mut ready: impl FnMut() -> Look<R>,
        read: impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        match ready() {
            Look::Found(found) => Some(found), // Most often, where many values come.
            _ => self.read_until(deadline, waiting, ready, read),
        }
    }

    #[inline(never)]
    fn read_until<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        mut ready: impl FnMut() -> Look<R>,
        mut read: impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        let mut looked_at = self.reads();
        self.wait(deadline, waiting, |who| {
            // Another thread may have read what this one looks for; while it spins, only such a thread can bring it.
            let reads = self.reads();
            if who == Who::Sleeper || reads != looked_at {
                looked_at = reads;
                match ready() {
                    Look::Nothing => {}
                    look => return look,
                }
            }
            match read(who) {
                Look::Something => match ready() {
                    Look::Nothing => Look::Something,
                    look => look,
                },
                look => look,
            }
        })
    }

    /// Reads once, unless the thread is about to sleep on the socket, which tells it of what is there to read.
    pub(crate) fn read_as(self: &Arc<Link>, who: Who) -> Read {
        match who {
            Who::Spinner => self.read(false),
            Who::Owner => self.read(true),
            Who::Sleeper if self.socket().is_none() || self.has_ended() => Read::Idle,
            Who::Sleeper => Read::Nothing,
        }
    }

    /// Blocks until `look`, which reads the socket too, finds what it looks for, or until the deadline. It is told
    /// as whom it looks.
    pub(crate) fn wait<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        mut look: impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        self.hub.flush();
        self.lease();
        if let Some(found) = self.spin(deadline, &mut look) {
            return Some(found);
        }
        self.acknowledge_if_owed();
        let waiting = waiting.filter(|_| deadline.is_none());
        match self.sleep_alone(deadline, waiting, &mut look) {
            Some(found) => Some(found),
            None => self.sleep(deadline, waiting, &mut look),
        }
    }

    /// Takes the socket from the reactor, which takes it back when it is no longer used.
    pub(crate) fn lease(self: &Arc<Link>) {
        self.turn.mark_used();
        if !self.turn.leased.load(Acquire) {
            self.turn.set_leased(true, || self.hub.deregister(self));
        }
        self.hub.attend(self);
    }

    /// A sender of batches or pieces hears the peer by itself, where nobody listens: the reactor would be woken for each
    /// acknowledgement, and stand in its way. While there is room for more it need not look yet.
    pub(crate) fn hear(self: &Arc<Link>, is_pressed: bool) {
        if self.turn.listeners.load(SeqCst) == 0 {
            self.lease();
            if is_pressed {
                self.read(false);
            }
        }
    }

    /// Gives the socket to the reactor, for a task that waits: it hears of the socket by the bell.
    pub(crate) fn hand_over(self: &Arc<Link>) {
        self.hub.flush();
        if !self.turn.has_owner() {
            self.take_back();
        }
    }

    /// Gives the socket back to the reactor, if it is there: when it comes the bell rings, and whoever waits comes again.
    pub(crate) fn take_back(self: &Arc<Link>) {
        if self.socket().is_none() {
            return;
        }
        let is_new = self.turn.set_leased(false, || self.hub.register(self));
        if is_new && self.has_ring() {
            self.drain(); // The poller hears of nothing that lies in a ring already.
        }
    }

    /// The reactor has nothing more to do with the socket, whoever still holds it.
    pub(crate) fn let_go(&self) {
        self.turn.set_leased(true, || self.hub.deregister(self));
    }

    /// Looks again and again for a short while, where that has paid lately.
    fn spin<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        if self.turn.has_owner() || !self.hub.spin.pays() {
            return None;
        }
        let start = Instant::now();
        let end = start + SPIN + self.peers_work();
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        loop {
            match look(Who::Spinner) {
                Look::Found(found) => {
                    self.hub.spin.handle_won();
                    return Some(found);
                }
                Look::Something => {}
                Look::Nothing => std::hint::spin_loop(),
                Look::Idle => return None,
            }
            if Instant::now() >= end {
                self.hub.spin.handle_lost();
                return None;
            }
        }
    }

    /// Sleeps, as the owner on the socket or as a listener for the bell.
    fn sleep<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        let _remembered = waiting.map(|waiting| waits::sleeps(self.peer, waiting));
        let mut listening = Listening::new(&self.turn);
        loop {
            let rings = self.turn.rings.load(SeqCst);
            let listen = match look(Who::Sleeper) {
                Look::Found(found) => return Some(found),
                Look::Something => continue,
                Look::Nothing => false,
                Look::Idle => true,
            };
            let Some(left) = time_left(deadline) else {
                return look(Who::Spinner).found(); // However short the time was, what is there is read.
            };
            let held = self.turn.lock();
            if self.turn.rings.load(SeqCst) != rings {
                continue;
            }
            if listen || self.turn.has_owner() {
                self.turn.listen(held, left);
                continue;
            }
            drop(listening); // An owner has the socket to wake it, and needs no bell.
            let found = self.own(held, deadline, None, look);
            if found.is_some() {
                return found;
            }
            listening = Listening::new(&self.turn);
        }
    }

    /// Sleeps as the owner if there is none: most often so, and then nobody need be listened for.
    fn sleep_alone<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        let held = self.turn.lock();
        match self.turn.has_owner() {
            true => None,
            false => self.own(held, deadline, waiting, look),
        }
    }

    /// Becomes the owner, and leaves again. What it waits for is remembered meanwhile.
    fn own<R>(
        self: &Arc<Link>,
        mut held: MutexGuard<'_, Option<OwnersWait>>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        self.turn.owner.store(true, SeqCst);
        *held = waiting.map(|waiting| OwnersWait {
            number: waits::next_number(),
            thread: threads::own(),
            waiting,
        });
        drop(held);
        if waiting.is_some() {
            waits::have_watched();
        }
        drop(self.rx()); // Who is reading now is done; whoever comes later finds the owner.
        let found = self.read_as_owner(deadline, look);
        self.leave();
        found
    }

    /// Sleeps on the socket and reads, until `look` finds what it looks for, the socket ends, or the deadline.
    fn read_as_owner<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        // As the owner once more before it sleeps: another may have read what it looks for until it was.
        let mut who = Who::Sleeper;
        loop {
            match look(std::mem::replace(&mut who, Who::Owner)) {
                Look::Found(found) => return Some(found),
                Look::Idle => return None,
                Look::Something => continue,
                Look::Nothing => {}
            }
            let left = time_left(deadline)?;
            self.acknowledge_if_owed();
            let socket = self.socket().expect("an owner has a socket");
            if !self.listens() {
                who = Who::Owner;
                continue;
            }
            if left.is_none() && !self.is_blocked() && !self.expects_long() && !self.asks() {
                who = self.sleep_and_read(socket);
                continue;
            }
            stream::wait(socket, self.is_blocked(), left);
            self.takes_bells(true);
            if self.unblock() {
                who = Who::Sleeper; // It may have waited for just that, and nothing was read.
            }
        }
    }

    /// The owner leaves: the next one wakes first.
    fn leave(self: &Arc<Link>) {
        let mut held = self.turn.lock();
        self.turn.owner.store(false, SeqCst);
        let wait = held.take();
        drop(held);
        if let Some(wait) = wait {
            waits::over(wait.number);
        }
        self.turn.ring();
        self.turn.mark_used();
        self.hub.attend(self);
    }
}

/// A thread that hears the bell, from before it looks to after it slept.
struct Listening<'a>(&'a Turn);

impl Listening<'_> {
    fn new(turn: &Turn) -> Listening<'_> {
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

/// Where a task waits for a connection, for as long as one future, stream or select does: a task that waits for two
/// things has two, and leaves one without leaving the other. Dropped, it leaves nothing behind.
#[derive(Default)]
pub(crate) struct Seat(Option<(Arc<Link>, u64)>);

impl Seat {
    /// Has the connection's bell wake the task, once. The task looks again after this, before it waits.
    pub(crate) fn listen(&mut self, link: &Arc<Link>, task: &Waker, waiting: Option<Waiting>) {
        self.listen_for_bell(link, task, waiting);
        link.hand_over();
    }

    /// The same, but that the socket stays with who has it: what comes there is noticed when the reactor takes it back.
    pub(crate) fn listen_for_bell(
        &mut self,
        link: &Arc<Link>,
        task: &Waker,
        waiting: Option<Waiting>,
    ) {
        let (link, seat) = self
            .0
            .get_or_insert_with(|| (link.clone(), SEATS.fetch_add(1, Relaxed)));
        link.turn.listen_as_task(*seat, task, waiting);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((link, seat)) = &self.0 {
            link.turn.forget_task(*seat);
        }
    }
}

/// How many seats there were.
static SEATS: AtomicU64 = AtomicU64::new(0);

/// The time left, `Some(None)` if there is no deadline; nothing when it is over.
fn time_left(deadline: Option<Instant>) -> Option<Option<Duration>> {
    match deadline {
        None => Some(None),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            (!left.is_zero()).then_some(Some(left))
        }
    }
}

/// How long to spin: longer than a wake-up takes, or two processes that both sleep would never find out that they
/// could both spin.
pub(crate) const SPIN: Duration = Duration::from_micros(100);
