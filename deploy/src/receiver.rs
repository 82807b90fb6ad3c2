//! The end of a channel that receives.

mod looking;
mod received;
mod waiting;

pub(crate) use {looking::Found, received::Received};

use crate::{
    aside::Slot,
    error::{ChannelError, RecvTimeoutError, TryRecvError},
    link::{Link, Seat},
    long::{self, Claim},
    pid::Pid,
    process,
};
use deploy_sys::fork;
use deploy_wire::frame::Stop;
use looking::Short;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::type_name,
    fmt,
    marker::PhantomData,
    panic::Location,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

/// Receives the values of type `T` that another process sends.
///
/// There is one `Receiver` from each process at a time; what was sent before it was made is received by it. The n-th
/// `Sender` of a process to this one belongs to the n-th `Receiver` made here for that process.
///
/// It can be shared between threads, each value going to one of them, and a thread that blocks in it stops no other
/// channel. Dropped, it has the peer's `send` return [`ChannelError::Closed`].
///
/// ```no_run
/// # use deploy::*;
/// fn sum(child: Pid) -> Result<u64, ChannelError> {
///     let receiver = Receiver::<u64>::new(child);
///     let mut sum = 0;
///     loop {
///         match receiver.recv() {
///             Ok(number) => sum += number,
///             Err(ChannelError::Closed) => return Ok(sum),
///             Err(error) => return Err(error), // `Exited` says how the process ended.
///         }
///     }
/// }
/// ```
pub struct Receiver<T: Serialize + DeserializeOwned + Send + 'static> {
    pub(crate) link: Arc<Link>,
    pub(crate) generation: u32,
    /// Whether the stream of values is over.
    pub(crate) over: bool,
    /// Whether the sender's type is known to be `T`.
    matched: AtomicBool,
    /// The name of the sender's type, if it is another.
    mismatch: OnceLock<String>,
    /// Where the stream's task waits.
    pub(crate) seat: Seat,
    /// Values that come before all others: long ones that a helper thread received, for a caller that would not wait, and
    /// those that were selected and not taken.
    pub(crate) slot: Arc<Slot<T>>,
    values: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// A channel from the process `pid`. Returns at once: the connection is made behind it.
    ///
    /// # Panics
    /// If there is a `Receiver` from `pid` already, if `pid` is this process, or if `init` was not called.
    #[track_caller]
    pub fn new(pid: Pid) -> Receiver<T> {
        Receiver::on(process::link_to(pid.0))
    }

    /// A channel over this connection.
    #[track_caller]
    pub(crate) fn on(link: Arc<Link>) -> Receiver<T> {
        link.forget_panic();
        let generation = {
            let mut rx = link.rx();
            assert!(
                !rx.receiver,
                "deploy: there is a Receiver from {} already; drop it before making another",
                link.peer
            );
            rx.receiver = true;
            rx.generation += 1;
            rx.generation
        };
        Receiver {
            link,
            generation,
            over: false,
            matched: AtomicBool::new(false),
            mismatch: OnceLock::new(),
            seat: Seat::default(),
            slot: Arc::default(),
            values: PhantomData,
        }
    }

    /// Receives a value. Blocks until there is one.
    ///
    /// # Errors
    /// How the channel ended, after every value that was sent before; or [`ChannelError::Codec`] if this one could
    /// not be decoded, after which others can still be received.
    #[track_caller]
    pub fn recv(&self) -> Result<T, ChannelError> {
        let mut short = Short::new();
        if let Some(len) = self.take_short(&mut short) {
            return short.decode(len);
        }
        let at = Some(Location::caller());
        loop {
            let mut found = None;
            if let Some(len) = self.wait(None, at, &mut short, &mut found) {
                return short.decode(len);
            }
            match found.expect("a wait without deadline finds something") {
                Found::Value(value) => return value,
                Found::Panicked => return Err(self.link.end_after_panic()),
                Found::Long { total, begun } => {
                    let claim = Claim(self.link.clone());
                    // Its sender may have taken it back.
                    if let Some(value) = long::receive(&claim, self.generation, total, begun) {
                        return value;
                    }
                }
            }
        }
    }

    /// Receives a value if one is there. Does not block.
    ///
    /// # Errors
    /// [`TryRecvError::Empty`] if none is; otherwise as for [`recv`](Receiver::recv).
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.without_waiting(self.try_find())
    }

    fn without_waiting(&self, found: Option<Found<T>>) -> Result<T, TryRecvError> {
        match found {
            Some(Found::Value(value)) => value.map_err(TryRecvError::Channel),
            Some(Found::Panicked) => {
                let end = self.link.look_end_after_panic();
                Err(end.map_or(TryRecvError::Empty, TryRecvError::Channel))
            }
            Some(Found::Long { total, .. }) => {
                self.receive_aside(total);
                Err(TryRecvError::Empty)
            }
            None => Err(TryRecvError::Empty),
        }
    }

    /// Receives a value. Blocks until there is one, or until `timeout` is over.
    ///
    /// # Errors
    /// [`RecvTimeoutError::Timeout`] if there was none; otherwise as for [`recv`](Receiver::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        // A time too long to be told ends never.
        let deadline = Instant::now().checked_add(timeout);
        let mut short = Short::new();
        loop {
            let mut found = None;
            if let Some(len) = self.wait(deadline, None, &mut short, &mut found) {
                return short.decode(len).map_err(RecvTimeoutError::Channel);
            }
            match found {
                Some(Found::Value(value)) => return value.map_err(RecvTimeoutError::Channel),
                Some(Found::Panicked) => {
                    let end = self.link.end_after_panic_until(deadline);
                    return Err(end.map_or(RecvTimeoutError::Timeout, RecvTimeoutError::Channel));
                }
                Some(Found::Long { total, .. }) => self.receive_aside(total),
                None => return Err(RecvTimeoutError::Timeout),
            }
        }
    }

    /// The process at the other end.
    pub fn pid(&self) -> Pid {
        Pid(self.link.peer)
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Drop for Receiver<T> {
    fn drop(&mut self) {
        if fork::happened() {
            return; // The connection is the parent's, and a lock may be held by a thread that is not here.
        }
        let stop = if thread::panicking() {
            Stop::Panicked
        } else {
            Stop::Dropped
        };
        self.link.stop_receiver(self.generation, stop, "");
        self.link.rx().receiver = false;
        self.link.let_retire();
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver<{}>({})", type_name::<T>(), self.link.peer)
    }
}
