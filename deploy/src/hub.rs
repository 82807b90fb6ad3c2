//! What all connections of a process share: what their windows may hold, whether to spin, and the lists of those that wait
//! for company or for the reactor.
//!
//! Deliberately absent: what a connection is. Here `L` is put on a list and taken off; what it asks for by that is its own
//! (`link/asking.rs`), and the reactor's.

use crate::{reactor_waker::ReactorWaker, share::Sharing, spin::Spin, windows::Windows};
use deploy_sys::poller::Poller;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::*},
    },
    time::Instant,
};

pub(crate) struct Hub<L> {
    pub(crate) windows: Windows,
    /// When connections over socket pairs go over to memory.
    pub(crate) sharing: Sharing,
    /// Whether waiting threads spin before they sleep, as far as that pays.
    pub(crate) spin: Spin,
    /// Connections with values that wait for company, and how many.
    dirty: Mutex<Vec<Arc<L>>>,
    dirty_count: AtomicUsize,
    /// Connections that the reactor is to look at.
    attention: Mutex<Vec<Arc<L>>>,
    /// When to ring which bells.
    alarms: Mutex<Vec<(Instant, Arc<L>)>>,
    pub(crate) reactor: Arc<ReactorWaker>,
    pub(crate) poller: Arc<Poller>,
}

impl<L> Hub<L> {
    /// For a process with this much memory, whose reactor waits at `poller`.
    pub(crate) fn new(mem_bytes: u64, spin: Spin, sharing: Sharing, poller: Arc<Poller>) -> Hub<L> {
        Hub {
            windows: Windows::new(mem_bytes),
            sharing,
            spin,
            dirty: Mutex::new(Vec::new()),
            dirty_count: AtomicUsize::new(0),
            attention: Mutex::new(Vec::new()),
            alarms: Mutex::new(Vec::new()),
            reactor: Arc::new(ReactorWaker::new(poller.clone())),
            poller,
        }
    }

    /// Values wait on this connection.
    pub(crate) fn add_dirty(&self, link: &Arc<L>) {
        let mut dirty = lock(&self.dirty);
        dirty.push(link.clone());
        self.dirty_count.store(dirty.len(), SeqCst);
    }

    /// The connections with values that wait.
    #[inline]
    pub(crate) fn take_dirty(&self) -> Vec<Arc<L>> {
        if self.dirty_count.load(SeqCst) == 0 {
            return Vec::new(); // Most often.
        }
        let mut dirty = lock(&self.dirty);
        self.dirty_count.store(0, SeqCst);
        std::mem::take(&mut *dirty)
    }

    /// Has the reactor look at this connection soon.
    pub(crate) fn add_attention(&self, link: &Arc<L>) {
        lock(&self.attention).push(link.clone());
        self.reactor.wake();
    }

    /// The connections to look at.
    pub(crate) fn take_attention(&self) -> Vec<Arc<L>> {
        std::mem::take(&mut *lock(&self.attention))
    }

    /// Has the reactor ring this connection's bell at that time.
    pub(crate) fn set_alarm(&self, at: Instant, link: Arc<L>) {
        lock(&self.alarms).push((at, link));
        self.reactor.wake();
    }

    /// The alarms that were set.
    pub(crate) fn take_alarms(&self) -> Vec<(Instant, Arc<L>)> {
        std::mem::take(&mut *lock(&self.alarms))
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
