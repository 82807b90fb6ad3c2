//! Pools without processes: with the feature `distributed` off a call runs where it is awaited.
//!
//! The same names and types as in `call.rs` and `broadcast.rs`, with what they need taken away. Deliberately absent:
//! resources, retries and time limits, which are about processes.

use super::{
    Pool, Terms,
    arguments::{Able, Way, Ways},
    error::{DistributedResult, DistributionError},
    panics,
};
use crate::park;
use std::{
    any::type_name,
    fmt,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// A call on a pool: what a function annotated with [`on`](crate::on) or [`with`](crate::with) returns. It runs where it is
/// polled.
#[must_use = "a call begins when it is awaited"]
pub struct Call<T>(State<T>);

/// The caller.
#[derive(Clone, PartialEq)]
pub(crate) struct Serving;

impl Serving {
    pub(crate) fn size(&self) -> usize {
        1
    }
}

enum State<T> {
    Function(Box<dyn FnOnce() -> T + Send>),
    Future(Pin<Box<dyn Future<Output = T> + Send>>),
    Over,
}

impl<T> Call<T> {
    /// Blocks until the result is there.
    ///
    /// # Errors
    /// Why there is none.
    pub fn wait(self) -> DistributedResult<T> {
        park::block_on(self)
    }

    /// Who does it.
    pub(crate) fn crew(&self) -> Option<&Serving> {
        Some(&Serving)
    }

    /// It begins when it is polled.
    pub(crate) fn begin(&mut self) {}

    /// Polling is what it takes.
    pub(crate) fn is_done(&self) -> bool {
        true
    }

    /// As above.
    pub(crate) fn listen(&self, _: &Waker) {}

    /// As above.
    pub(crate) fn look(&self) {}

    /// As above.
    pub(crate) fn burst(&self) -> Option<()> {
        None
    }
}

impl<T> Future for Call<T> {
    type Output = DistributedResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<DistributedResult<T>> {
        panics::watch();
        let polled = match std::mem::replace(&mut self.0, State::Over) {
            State::Function(function) => catch_unwind(AssertUnwindSafe(function)).map(Poll::Ready),
            State::Future(mut future) => {
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
                if let Ok(Poll::Pending) = polled {
                    self.0 = State::Future(future);
                }
                polled
            }
            State::Over => panic!("deploy: a call is not polled when it is over"),
        };
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => {
                let panics::Panicked {
                    message,
                    file,
                    line,
                } = panics::caught(&*payload);
                Poll::Ready(Err(DistributionError::Panicked {
                    message,
                    file,
                    line,
                }))
            }
        }
    }
}

impl<T> Unpin for Call<T> {}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call<{}>", type_name::<T>())
    }
}

/// A call of a function that returns its result.
pub fn call<A: Able, W: Ways<A>, R, V: Way<R>, F: Fn(A) -> R + Able>(
    _: Pool,
    _: Terms,
    given: A,
    _: W,
    _: V,
    function: F,
) -> Call<R> {
    Call(State::Function(Box::new(move || function(given))))
}

/// A call of a function that returns a future of its result.
pub fn call_async<A, W: Ways<A>, R, V: Way<R>, F: Fn(A) -> U, U: Future<Output = R> + Able>(
    _: Pool,
    _: Terms,
    given: A,
    _: W,
    _: V,
    function: F,
) -> Call<R> {
    Call(State::Future(Box::pin(function(given))))
}

/// Says what a future returns, where its type is not written.
pub fn returns<R, U: Future<Output = R>>(future: U) -> U {
    future
}

impl Pool {
    /// A value for many calls, as a handle to be passed to them.
    pub fn broadcast<T: Able + Sync>(&self, value: T) -> Broadcast<T> {
        Broadcast(Arc::new(value))
    }
}

/// A value that many calls are passed: see [`Pool::broadcast`].
pub struct Broadcast<T>(Arc<T>);

impl<T> Deref for Broadcast<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Broadcast<T> {
        Broadcast(self.0.clone())
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast<{}>", type_name::<T>())
    }
}
