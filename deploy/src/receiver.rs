//! The end of a channel that receives.

use crate::{
    codec::{self, Bulk},
    error::{ChannelError, RecvTimeoutError, TryRecvError},
    link::{self, Link, Look, Read, Rx, Seat, Who},
    long::{self, Claim, Slot},
    outlet::Refusal,
    pid::Pid,
    process, scratch,
    waits::{Line, Waiting},
};
use deploy_sys::fork;
use deploy_wire::{
    bytes::Malformed,
    frame::{Kind, Stop},
    inbound::Taken,
    type_name::travelling,
    wait::Awaited,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::type_name,
    fmt,
    marker::PhantomData,
    panic::Location,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::*},
    },
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
    /// A long value that a helper thread received, for a caller that would not wait for it.
    slot: Arc<Slot<T>>,
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
        let mut short = [0; SHORT_RECORD_BYTES];
        if let Some(len) = self.take_short(&mut short) {
            return codec::decode(&short[..len]).map_err(ChannelError::Codec);
        }
        let at = Some(Location::caller());
        loop {
            let found = self
                .wait(None, at)
                .expect("a wait without deadline finds something");
            match found {
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

    /// Receives a value that has been read already: whoever listens for the bell is told of what is read later.
    pub(crate) fn take_arrived(&self) -> Result<T, TryRecvError> {
        let found = scratch::with(|scratch| Some(finish(self.look(scratch).found()?, scratch)));
        self.without_waiting(found)
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
        loop {
            match self.wait(deadline, None) {
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

    /// What can be had without waiting.
    pub(crate) fn try_find(&self) -> Option<Found<T>> {
        scratch::with(|scratch| {
            let mut look = self.look(scratch);
            if let Look::Nothing = look {
                self.link.read(false);
                look = self.look(scratch);
            }
            Some(finish(look.found()?, scratch))
        })
    }

    /// Whether there is a value or an end, which is left where it is. A long value is received by a helper first.
    pub(crate) fn is_ready(&self) -> bool {
        let ready = || match self.look_ready() {
            Ready::Yes => true,
            Ready::No => false,
            Ready::Panicked => self.link.look_end_after_panic().is_some(),
            Ready::Long { total } => {
                self.receive_aside(total);
                false
            }
        };
        ready() || (self.link.read(false) == Read::Something && ready())
    }

    fn look_ready(&self) -> Ready {
        let mut rx = self.link.rx();
        if self.slot.is_full() {
            return Ready::Yes;
        }
        if rx.long {
            return Ready::No;
        }
        let taken = match codec::is_byte::<T>() {
            true => rx.inbound.take_run(self.generation, 0),
            false => rx.inbound.peek(self.generation),
        };
        let ready = match taken {
            Ok(Taken::Record(_)) => Ready::Yes,
            Ok(Taken::Long { total }) => Ready::Long { total },
            other => match self.end_of(other) {
                None => Ready::No,
                Some(Refusal::Error(_)) => Ready::Yes,
                Some(Refusal::Panicked) => Ready::Panicked,
            },
        };
        if self.mismatched(&rx).is_some() {
            return Ready::Yes;
        }
        rx.long = matches!(ready, Ready::Long { .. });
        self.link.settle(rx);
        ready
    }

    /// Takes a short value, where one lies ready and there is nothing else to look at: most often so, where many come.
    /// Returns its length. Without it, what any of them may be (an end, a long value, an error) would be moved for each.
    #[inline]
    fn take_short(&self, short: &mut [u8; SHORT_RECORD_BYTES]) -> Option<usize> {
        let is_plain = !codec::is_bulk::<T>() && !codec::is_byte::<T>();
        if !is_plain || !self.matched.load(Acquire) || fork::happened() {
            return None;
        }
        let mut rx = self.link.rx();
        if rx.long || self.slot.is_full() {
            return None;
        }
        let record = rx.inbound.take_short(self.generation, short.len())?;
        let len = record.len();
        short[..len].copy_from_slice(record);
        self.link.settle_taken(rx);
        Some(len)
    }

    fn wait(&self, deadline: Option<Instant>, at: Option<Line>) -> Option<Found<T>> {
        scratch::with(|scratch| {
            let mut room = None;
            let look = || self.look(scratch);
            let read = |who| match deadline {
                None if codec::is_bulk::<T>() => self.read_ahead(who, &mut room),
                _ => self.link.read_as(who).into(),
            };
            let waiting = Some(self.waiting(at));
            let polled = self.link.wait_reading(deadline, waiting, look, read)?;
            Some(finish(polled, scratch))
        })
    }

    /// Reads once; where a long value like the last ones is expected, with room for it, so that its bytes come with its
    /// header. Who sleeps has no such room.
    fn read_ahead(&self, who: Who, room: &mut Option<Bulk>) -> Look<Polled<T>> {
        if who == Who::Sleeper {
            *room = None;
            return self.link.read_as(who).into();
        }
        let mut begun = None;
        let read = self.link.read_by(who == Who::Owner, |rx, socket| {
            let expected = rx.inbound.expects_whole();
            // A value of another type is none, and one that a helper has comes before.
            let expected =
                expected.filter(|_| self.matched.load(Acquire) && !rx.long && !self.slot.is_full());
            let room = expected.and_then(|expected| long::room::<T>(expected, room));
            let Some(room) = room else {
                return rx.way.read(socket, &mut rx.inbound);
            };
            let came;
            (came, begun) = long::read_ahead(socket, rx, self.generation, room);
            rx.long = begun.is_some();
            came
        });
        match begun {
            Some(total) => Look::Found(Polled::Long {
                total,
                begun: room.take(),
            }),
            None => read.into(),
        }
    }

    /// What one who receives waits for, in this line.
    pub(crate) fn waiting(&self, at: Option<Line>) -> Waiting {
        Waiting {
            what: Awaited::Value,
            type_name: type_name::<T>(),
            at,
        }
    }

    /// What there is without waiting. A value that must be decoded by the user's code is left in `scratch`.
    fn look(&self, scratch: &mut Vec<u8>) -> Look<Polled<T>> {
        if let Some(error) = link::end_of_fork() {
            return Look::Found(Polled::Value(Err(error)));
        }
        let mut rx = self.link.rx();
        // Under the lock: before it, the helper could fill the slot and let us take what was sent after.
        if let Some(value) = self.slot.take() {
            return Look::Found(Polled::Value(value));
        }
        if rx.long {
            return Look::Idle; // Until the thread that receives the long value rings.
        }
        let taken = match codec::is_byte::<T>() {
            true => rx.inbound.take_run(self.generation, 1),
            false => rx.inbound.take(self.generation),
        };
        let polled = match taken {
            Ok(Taken::Record(record)) if codec::is_bulk::<T>() => {
                let value =
                    codec::from_bulk(record.to_vec()).expect("the type goes as it lies in memory");
                Some(Polled::Value(value.map_err(ChannelError::Codec)))
            }
            Ok(Taken::Record(record)) => {
                scratch.clear();
                scratch.extend_from_slice(record);
                Some(Polled::Record)
            }
            Ok(Taken::Long { total }) => Some(Polled::Long { total, begun: None }),
            other => self.end_of(other).map(|end| match end {
                Refusal::Error(error) => Polled::Value(Err(error)),
                Refusal::Panicked => Polled::Panicked,
            }),
        };
        if let Some(sent) = self.mismatched(&rx) {
            drop(rx);
            return Look::Found(Polled::Value(Err(self.refuse(sent))));
        }
        if let Some(Polled::Record) = polled {
            self.link.settle_taken(rx);
        } else {
            rx.long = matches!(polled, Some(Polled::Long { .. }));
            self.link.settle(rx);
        }
        Look::of(polled)
    }

    /// Why nothing more comes, where no value was taken; nothing, if more may come.
    pub(crate) fn end_of(&self, taken: Result<Taken<'_>, Malformed>) -> Option<Refusal> {
        let error = match taken {
            Ok(Taken::Ended(Kind::Abort)) => return Some(Refusal::Panicked),
            Ok(Taken::Ended(Kind::Fin)) => Some(ChannelError::Closed),
            Ok(Taken::Ended(_)) => self.link.fate_error(), // Once it is known.
            Ok(_) => self.link.end(),
            Err(malformed) => {
                self.link.handle_violation(malformed);
                self.link.end()
            }
        };
        error.map(Refusal::Error)
    }

    /// The name of the sender's type, if it is known and another.
    pub(crate) fn mismatched(&self, rx: &Rx) -> Option<String> {
        if self.matched.load(Acquire) {
            return None;
        }
        let sent = rx.inbound.opened(self.generation)?;
        if sent == travelling(type_name::<T>()) {
            self.matched.store(true, Release);
            return None;
        }
        Some(sent.to_string())
    }

    /// The sender sends another type.
    pub(crate) fn refuse(&self, sent: String) -> ChannelError {
        let expected = type_name::<T>().to_string();
        if self.mismatch.set(sent.clone()).is_ok() {
            self.link
                .stop_receiver(self.generation, Stop::Mismatch, &expected);
        }
        ChannelError::TypeMismatch { sent, expected }
    }

    /// Has a helper thread receive a long value, for a caller that will not wait for all of it.
    pub(crate) fn receive_aside(&self, total: u64) {
        let (claim, generation) = (Claim(self.link.clone()), self.generation);
        let slot = self.slot.clone();
        let receive = move || {
            // In the slot before the claim is dropped: nobody finds the channel's end before its last value.
            let received = long::help(|| long::receive(&claim, generation, total, None));
            if let Some(value) = received.transpose() {
                slot.put(value.and_then(|value| value));
            }
        };
        // Without a thread the claim is dropped, the value stays where it is, and the next caller tries again.
        let _ = thread::Builder::new()
            .name("deploy-long".to_string())
            .spawn(receive);
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

/// Whether a value or an end can be had without waiting.
enum Ready {
    Yes,
    No,
    Long { total: u64 },
    Panicked,
}

/// What there is without waiting.
enum Polled<T> {
    Value(Result<T, ChannelError>),
    /// A value that is yet to be decoded.
    Record,
    /// A long value, and of one that was expected the bytes that came with its header.
    Long {
        total: u64,
        begun: Option<Bulk>,
    },
    /// The sender was dropped by a panic: how its process ends may be known soon.
    Panicked,
}

/// What was found, once the user's code has decoded it.
fn finish<T: DeserializeOwned>(polled: Polled<T>, scratch: &[u8]) -> Found<T> {
    match polled {
        Polled::Value(value) => Found::Value(value),
        Polled::Record => Found::Value(codec::decode(scratch).map_err(ChannelError::Codec)),
        Polled::Long { total, begun } => Found::Long { total, begun },
        Polled::Panicked => Found::Panicked,
    }
}

/// A number, or a few: what is worth a way of its own.
const SHORT_RECORD_BYTES: usize = 64;

/// What a caller gets.
pub(crate) enum Found<T> {
    Value(Result<T, ChannelError>),
    Panicked,
    /// Only where a caller waits for as long as it takes something of it may have begun.
    Long {
        total: u64,
        begun: Option<Bulk>,
    },
}
