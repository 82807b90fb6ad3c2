//! A thread that waits as a task does, woken by wakers.
//!
//! Deliberately absent: spinning, which is for threads that wait for one socket (`link/waiting.rs`).

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Instant,
};

/// Blocks until `look` finds something, which it does anew when its waker was woken, or until the deadline.
pub(crate) fn until<R>(
    deadline: Option<Instant>,
    mut look: impl FnMut(&Waker) -> Option<R>,
) -> Option<R> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    loop {
        if let Some(found) = look(&waker) {
            return Some(found);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

/// Blocks until the future is ready.
pub(crate) fn block_on<R>(future: impl Future<Output = R>) -> R {
    let mut future = pin!(future);
    let look = |waker: &Waker| match future.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    };
    until(None, look).expect("a wait without deadline finds something")
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
