//! What all connections of a process share: the budget of their windows, the values that wait for company, and the
//! reactor's ear.

use crate::{
    link::Link,
    process::{self, CLOSED_OURS},
    share::Sharing,
    spin::Spin,
};
use deploy_sys::{
    fork,
    poller::{Interest, Poller},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::*},
    },
    time::Instant,
};

pub(crate) struct Hub {
    /// How many units all windows together may still grow by: less than none where the smallest ones are too many.
    window_units_left: AtomicI64,
    /// How many of them shared memory leaves.
    window_units_kept: i64,
    sharing: Sharing,
    /// Whether waiting threads spin before they sleep, as far as that pays.
    pub(crate) spin: Spin,
    /// Connections with values that wait for company, and how many.
    dirty: Mutex<Vec<Arc<Link>>>,
    dirty_count: AtomicUsize,
    /// Connections that the reactor is to look at.
    attention: Mutex<Vec<Arc<Link>>>,
    /// When to ring which bells.
    alarms: Mutex<Vec<(Instant, Arc<Link>)>>,
    /// Whether the reactor is awake, and will look at all that before it sleeps.
    is_awake: AtomicBool,
    pub(crate) poller: Arc<Poller>,
}

impl Hub {
    /// For a process with this much memory, whose reactor waits at `poller`.
    pub(crate) fn new(mem_bytes: u64, spin: Spin, sharing: Sharing, poller: Arc<Poller>) -> Hub {
        let window_units = window_units(mem_bytes) as i64;
        Hub {
            window_units_left: AtomicI64::new(window_units),
            window_units_kept: window_units / 2,
            sharing,
            spin,
            dirty: Mutex::new(Vec::new()),
            dirty_count: AtomicUsize::new(0),
            attention: Mutex::new(Vec::new()),
            alarms: Mutex::new(Vec::new()),
            is_awake: AtomicBool::new(false),
            poller,
        }
    }

    /// When connections over socket pairs go over to memory.
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Takes so many units for a window that grows, if they are left.
    pub(crate) fn take_window(&self, units: u64) -> bool {
        self.take(units, 0)
    }

    /// The same for memory to be shared, which leaves half of them for windows. [`Hub::release_window`] gives it back.
    pub(crate) fn take_ring(&self, units: u64) -> bool {
        self.take(units, self.window_units_kept)
    }

    fn take(&self, units: u64, kept: i64) -> bool {
        let take = |left: i64| (left - units as i64 >= kept).then(|| left - units as i64);
        self.window_units_left
            .fetch_update(SeqCst, SeqCst, take)
            .is_ok()
    }

    /// A new connection has a window of so many units, whether they are left or not: others grow by less.
    pub(crate) fn handle_window(&self, units: u64) {
        self.window_units_left.fetch_sub(units as i64, SeqCst);
    }

    /// A connection with a window of so many units is no more.
    pub(crate) fn release_window(&self, units: u64) {
        self.window_units_left.fetch_add(units as i64, SeqCst);
    }

    #[cfg(test)]
    pub(crate) fn window_units_left(&self) -> i64 {
        self.window_units_left.load(SeqCst)
    }

    /// Values wait on this connection: they leave when this process is about to block, or when the reactor is awake,
    /// which is soon if it is `urgent`, and else within a tick.
    pub(crate) fn handle_dirty(&self, link: &Arc<Link>, urgent: bool) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        dirty.push(link.clone());
        self.dirty_count.store(dirty.len(), SeqCst);
        drop(dirty);
        match urgent {
            true => self.wake(),
            false => self.attend(link),
        }
    }

    /// All values that wait leave now.
    pub(crate) fn flush(&self) {
        if self.dirty_count.load(SeqCst) == 0 {
            return;
        }
        let links = {
            let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
            self.dirty_count.store(0, SeqCst);
            std::mem::take(&mut *dirty)
        };
        for link in links {
            link.flush_dirty();
        }
    }

    /// Has the reactor look at this connection soon.
    pub(crate) fn attend(&self, link: &Arc<Link>) {
        if link.turn.want_attention() {
            self.attention
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(link.clone());
            self.wake();
        }
    }

    /// The connections to look at.
    pub(crate) fn take_attention(&self) -> Vec<Arc<Link>> {
        std::mem::take(
            &mut *self
                .attention
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Has the reactor ring this connection's bell at that time.
    pub(crate) fn set_alarm(&self, at: Instant, link: Arc<Link>) {
        self.alarms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((at, link));
        self.wake();
    }

    /// The alarms that were set.
    pub(crate) fn take_alarms(&self) -> Vec<(Instant, Arc<Link>)> {
        std::mem::take(&mut *self.alarms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The reactor says whether it looks soon, without being woken: most that asks for it is done by itself.
    pub(crate) fn set_awake(&self, is_awake: bool) {
        self.is_awake.store(is_awake, SeqCst);
    }

    /// Has the reactor look. In a forked child there is none, and its poller is the parent's.
    pub(crate) fn wake(&self) {
        if self.is_awake.load(SeqCst) || fork::happened() {
            return;
        }
        if self.poller.wake().is_err() {
            process::give_up(CLOSED_OURS);
        }
    }

    /// The reactor is told when there is room to write on a connection that it does not listen to.
    pub(crate) fn await_room(&self, link: &Link) {
        let Some(socket) = link.socket() else { return };
        // It fails as `register` does.
        let _ = self.poller.add(socket, link.token, Interest::Room);
    }

    /// The reactor listens to this connection from now on.
    pub(crate) fn register(&self, link: &Link) {
        let Some(socket) = link.socket() else { return };
        // It fails only for want of kernel memory: then those who wait still read by themselves.
        let _ = self.poller.add(socket, link.token, interest(link));
    }

    /// Whether bytes wait for the socket has changed, and the reactor listens to it.
    pub(crate) fn register_anew(&self, link: &Link) {
        let Some(socket) = link.socket() else { return };
        // It fails only if it is not registered, and whoever registers it knows the same.
        let _ = self.poller.change(socket, link.token, interest(link));
    }

    /// The reactor listens to this connection no more.
    pub(crate) fn deregister(&self, link: &Link) {
        let Some(socket) = link.socket() else { return };
        // It fails only if it was not registered.
        let _ = self.poller.remove(socket);
    }
}

fn interest(link: &Link) -> Interest {
    match link.is_blocked() {
        true => Interest::BothWays,
        false => Interest::Arrivals,
    }
}

/// How large all windows of a process with this much memory may be together: half of what they may cost, since an
/// allocator keeps about as much again, of buffers that were outgrown.
fn window_units(mem_bytes: u64) -> u64 {
    WINDOWS_BYTES_MAX.min(mem_bytes / 4) / 2
}

/// What all stalled receivers may cost a process together. Five hundred with the smallest window cost as much; where there
/// are more, each costs its smallest window and none has a larger one.
const WINDOWS_BYTES_MAX: u64 = 64 << 20;
