//! The end of a channel that sends.

use crate::{
    error::{ChannelError, TrySendError},
    link::{self, Link},
    outlet::{self, Encoded, Outlet, Refusal},
    pid::Pid,
    process, scratch,
    sending::Sending,
};
use deploy_wire::{frame::Kind, outbound::RECORD_BYTES_MAX, wait::Awaited};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::type_name,
    fmt,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Sends values of type `T` to another process.
///
/// Values arrive in the order in which they were sent, each once and whole, and what was sent is delivered even if
/// this process ends right after. There is one `Sender` to each process at a time; the receiver's process makes the
/// matching [`Receiver`](crate::Receiver), before or after.
///
/// It can be shared between threads, and a thread that blocks in it stops no other channel. Dropped, it lets the peer
/// receive what was sent, and then [`ChannelError::Closed`].
///
/// ```no_run
/// use deploy::*;
///
/// fn count(parent: Pid, up_to: u64) {
///     let sender = Sender::<u64>::new(parent);
///     for number in 0..up_to {
///         if sender.send(number).is_err() {
///             return; // Nobody listens any more.
///         }
///     }
/// }
/// ```
pub struct Sender<T> {
    pub(crate) outlet: Outlet,
    /// The value that was handed to the sink last.
    sending: Mutex<Option<Sending<T>>>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Sender<T> {
    /// A channel to the process `pid`. Returns at once: the connection is made behind it.
    ///
    /// # Panics
    /// If there is a `Sender` to `pid` already, if `pid` is this process, or if `init` was not called.
    #[track_caller]
    pub fn new(pid: Pid) -> Sender<T> {
        Sender::on(process::link_to(pid.0))
    }

    /// A channel over this connection.
    #[track_caller]
    pub(crate) fn on(link: Arc<Link>) -> Sender<T> {
        Sender {
            outlet: Outlet::open(link, type_name::<T>()),
            sending: Mutex::new(None),
        }
    }

    /// The same, but that what it sends waits for company, for whoever sends will flush the hub.
    pub(crate) fn patient(mut self) -> Sender<T> {
        self.outlet.be_patient();
        self
    }

    /// Sends a value. Blocks while the receiver's window is full: 64 KiB at first, and up to 4 MiB for a receiver that
    /// keeps up. A value that is longer streams through, and is never held a second time. In a task, write
    /// [`send_async`](Sender::send_async): this one blocks also where `futures::SinkExt`, whose `send` it
    /// [hides](Sender#impl-Sink<T>-for-Sender<T>), is imported.
    ///
    /// `Vec<u8>`, `String` and vectors of numbers travel at the speed of memory, where `T` is one of them. Within another
    /// type a `Vec<u8>` is encoded byte by byte, some hundred times slower: annotate such a field with
    /// `#[serde(with = "serde_bytes")]`, of the crate `serde_bytes`, and it goes in one piece.
    ///
    /// # Errors
    /// How the channel ended; or [`ChannelError::Codec`] if the value cannot be encoded, after which others can still
    /// be sent.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), ChannelError> {
        let at = Some(Location::caller());
        scratch::with(|scratch| self.outlet.send(&value, scratch, at))
    }

    /// Sends a value if that does not block.
    ///
    /// ```no_run
    /// # use deploy::*;
    /// fn report(sender: &Sender<String>, line: String) -> Result<(), ChannelError> {
    ///     match sender.try_send(line) {
    ///         Ok(()) | Err(TrySendError::Full(_)) => Ok(()), // Whoever is slow misses some.
    ///         Err(TrySendError::TooLarge(line)) => sender.send(line),
    ///         Err(TrySendError::Channel(error)) => Err(error),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::TooLarge`] give the value back; values of up to 65,532 bytes when encoded
    /// are not too large.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let done = scratch::with(|scratch| {
            Ok(match outlet::encode(&value, scratch)? {
                Encoded::Bulk(bytes) if bytes.len() <= RECORD_BYTES_MAX => {
                    Some(self.outlet.look(bytes))
                }
                Encoded::Record(record) => Some(self.outlet.look(record)),
                Encoded::Bulk(_) | Encoded::Stream => None,
            })
        });
        match done
            .map_err(TrySendError::Channel)?
            .map(|look| look.found())
        {
            None => Err(TrySendError::TooLarge(value)),
            Some(None) => Err(TrySendError::Full(value)),
            Some(Some(sent)) => sent.map_err(|refusal: Refusal| {
                TrySendError::Channel(refusal.into_error(&self.outlet.link))
            }),
        }
    }

    /// Blocks until the peer's runtime holds everything that was sent: it will be received, should this process be
    /// killed now, unless the peer ends first.
    ///
    /// # Errors
    /// How the channel ended, if it did before the peer had everything.
    #[track_caller]
    pub fn flush(&self) -> Result<(), ChannelError> {
        let at = Some(Location::caller());
        if let Some(error) = link::end_of_fork() {
            return Err(error);
        }
        let sequence = self.outlet.ask_for_acknowledgement();
        let waiting = self.outlet.waiting(Awaited::Arrival, at);
        self.outlet
            .block(waiting, || self.outlet.look_acknowledged(sequence))
    }

    pub(crate) fn sending(&mut self) -> &mut Option<Sending<T>> {
        self.sending
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The process at the other end.
    pub fn pid(&self) -> Pid {
        Pid(self.outlet.link.peer)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.sending
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.outlet.close(if thread::panicking() {
            Kind::Abort
        } else {
            Kind::Fin
        });
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender<{}>({})", type_name::<T>(), self.outlet.link.peer)
    }
}
