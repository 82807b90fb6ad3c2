//! What helper threads do for those who wait without blocking, and where they leave what came of it.
//!
//! Deliberately absent: the threads, which whoever wants one starts (`sending.rs`, `receiver/looking.rs`).

use crate::error::ChannelError;
use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::*},
    },
};

/// What a helper thread does for somebody who waits for it. Where the value's own code panics, which would unwind nobody
/// but the helper, that becomes the value's error.
pub(crate) fn help<R>(work: impl FnOnce() -> R) -> Result<R, ChannelError> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let why = text.unwrap_or("without a word");
        ChannelError::Codec(format!("its own code panicked: {why}"))
    })
}

/// Values that were received before anybody asked for them.
pub(crate) struct Slot<T> {
    values: Mutex<VecDeque<Result<T, ChannelError>>>,
    full: AtomicBool,
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot {
            values: Mutex::new(VecDeque::new()),
            full: AtomicBool::new(false),
        }
    }
}

impl<T> Slot<T> {
    pub(crate) fn put(&self, value: Result<T, ChannelError>) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.push_back(value);
        self.full.store(true, SeqCst);
    }

    /// The value comes before all others again.
    pub(crate) fn put_back(&self, value: Result<T, ChannelError>) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.push_front(value);
        self.full.store(true, SeqCst);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Acquire)
    }

    #[inline]
    pub(crate) fn take(&self) -> Option<Result<T, ChannelError>> {
        match self.is_full() {
            true => self.take_first(),
            false => None, // Most often, and looked at for each value.
        }
    }

    #[cold]
    fn take_first(&self) -> Option<Result<T, ChannelError>> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.pop_front();
        self.full.store(!values.is_empty(), SeqCst);
        value
    }
}
