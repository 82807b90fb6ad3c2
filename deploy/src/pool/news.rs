//! That somebody, a worker or the monitor, has something to say.
//!
//! Deliberately absent: what that is, and who looks at it (`crew.rs`).

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Wake,
};

/// Whoever looks when there is news.
pub(crate) trait Reader: Send + Sync {
    /// Looks at once, or has somebody look who is looking already.
    fn look(self: Arc<Self>);
}

/// One source of news. As a waker it marks that there is some, and has its reader look.
pub(crate) struct News {
    reader: Weak<dyn Reader>,
    is_new: AtomicBool,
}

impl News {
    /// For this reader, who has not looked yet.
    pub(crate) fn new(reader: Weak<dyn Reader>) -> Arc<News> {
        Arc::new(News {
            reader,
            is_new: AtomicBool::new(true),
        })
    }

    /// Whether there was any since this was asked last.
    pub(crate) fn take(&self) -> bool {
        self.is_new.swap(false, SeqCst)
    }

    /// There may be some, which the reader will find when it looks.
    pub(crate) fn mark(&self) {
        self.is_new.store(true, SeqCst);
    }
}

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark();
        if let Some(reader) = self.reader.upgrade() {
            reader.look();
        }
    }
}
