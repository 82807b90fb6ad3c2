//! How the reactor is woken: by whoever has something for it to look at, unless it is about to look anyway.
//!
//! Deliberately absent: the reactor, and what it looks at.

use crate::fatal;
use deploy_sys::{fork, poller::Poller};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::*},
};

pub(crate) struct ReactorWaker {
    /// Where it sleeps.
    poller: Arc<Poller>,
    /// Whether it is awake, and will look at all that before it sleeps.
    is_awake: AtomicBool,
}

impl ReactorWaker {
    /// Of a reactor that sleeps at this poller.
    pub(crate) fn new(poller: Arc<Poller>) -> ReactorWaker {
        ReactorWaker {
            poller,
            is_awake: AtomicBool::new(false),
        }
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
            fatal::closed_ours();
        }
    }
}
