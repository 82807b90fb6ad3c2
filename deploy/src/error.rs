//! What can go wrong, told to the caller.

use std::io;
use thiserror::Error;

pub use crate::spawn_error::SpawnError;
pub use deploy_wire::exit::ExitStatus;

/// Why a value could not be sent or received.
///
/// Only a peer that dropped its end is `Closed`: one that panicked or was killed never looks like one that was done.
///
/// ```no_run
/// # use deploy::*;
/// fn explain(error: ChannelError) {
///     match error {
///         ChannelError::Closed => println!("that was all"),
///         ChannelError::Exited(status) if status.signal().is_some() => println!("it was killed: {status}"),
///         ChannelError::TypeMismatch { sent, expected } => println!("{sent} is not {expected}"),
///         other => println!("{other}"),
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The peer dropped its end.
    #[error("the peer dropped its end of the channel")]
    Closed,
    /// The peer's process ended. What it had sent was received before.
    #[error("the peer's process exited: {0}")]
    Exited(ExitStatus),
    /// The connection is gone, and this is what is known.
    #[error("the peer is lost: {0}")]
    Lost(Lost),
    /// The two ends were made with different types.
    #[error("the sender sends {sent} and the receiver expects {expected}")]
    TypeMismatch {
        /// The name of the sender's type.
        sent: String,
        /// The name of the receiver's type.
        expected: String,
    },
    /// The value could not be encoded or decoded; the text is the codec's. Other values are not affected.
    #[error("the value could not be coded: {0}")]
    Codec(String),
}

/// For channels of bytes, which are read and written like files; the channel's error is inside.
impl From<ChannelError> for io::Error {
    fn from(error: ChannelError) -> io::Error {
        let kind = match error {
            ChannelError::Closed => io::ErrorKind::BrokenPipe,
            ChannelError::Exited(_) => io::ErrorKind::ConnectionReset,
            ChannelError::Lost(_) => io::ErrorKind::ConnectionAborted,
            ChannelError::TypeMismatch { .. } | ChannelError::Codec(_) => {
                io::ErrorKind::InvalidData
            }
        };
        io::Error::new(kind, error)
    }
}

/// What is known of a peer that is lost.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Lost {
    /// It dropped its end in a panic, and its process lives on.
    #[error("it panicked, and its process lives on")]
    Panicked,
    /// There never was such a process in this job.
    #[error("there is no such process in this job")]
    Unknown,
    /// Its process lives and has let go of the connection: it closed descriptors that it did not open.
    #[error(
        "its process lives but has let go of the connection: it closed descriptors that it did not open, or its limit \
         on them (ulimit -n) left no room for this one"
    )]
    Severed,
    /// The connection to it is gone, while its process, on another machine, lived. It is told the same, and may have ended since.
    #[error(
        "the connection to it is gone, while its process, on another machine, lived: the network broke it, or the master was \
         started again while it went by way of there, or the process closed descriptors that it did not open"
    )]
    Broken,
    /// Its process lives, on another machine that this one does not reach any more, or is not reached by: for 12 seconds what was
    /// sent from one to the other was lost. Both processes are told so. It does not follow that nothing of what was sent since
    /// then has arrived.
    #[error(
        "its process lives, and the network between its node and this one was cut: for 12 s nothing has come through, though \
         both reach the head of the cluster"
    )]
    Cut,
    /// This process had no descriptor left for the connection, or its node had none.
    #[error(
        "this process, or its node for it, has no descriptor left for the connection: raise the limit on open files (ulimit -n)"
    )]
    NoDescriptor,
    /// This process closed the connection's descriptor, which it did not open.
    #[error(
        "this process closed the connection's descriptor: close only what the program opened, and nothing from number \
         512 on that it did not"
    )]
    OwnDescriptor,
    /// This is a child that the program forked: the connection is its parent's.
    #[error(
        "this is a child that the program forked, and the connection is its parent's: use spawn"
    )]
    Forked,
    /// What came from it is nothing that this library sends.
    #[error("it broke the protocol: {0}")]
    Protocol(String),
}

/// Why [`try_send`](crate::Sender::try_send) did not send.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TrySendError<T> {
    /// The receiver's window is full; the value comes back.
    #[error("the receiver's window is full")]
    Full(T),
    /// The value is too long to be sent without blocking; it comes back, and `send` takes it.
    #[error("the value is too long to be sent without blocking: use send")]
    TooLarge(T),
    /// The channel takes no more.
    #[error(transparent)]
    Channel(ChannelError),
}

/// Why [`try_recv`](crate::Receiver::try_recv) returned no value.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TryRecvError {
    /// No value has arrived.
    #[error("no value has arrived")]
    Empty,
    /// No value will come, or this one is broken.
    #[error(transparent)]
    Channel(ChannelError),
}

/// Why [`recv_timeout`](crate::Receiver::recv_timeout) returned no value.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecvTimeoutError {
    /// The time is over; the value, if one is on its way, will be received by a later call.
    #[error("no value arrived in time")]
    Timeout,
    /// No value will come, or this one is broken.
    #[error(transparent)]
    Channel(ChannelError),
}

/// Why there is no status to wait for.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// There never was such a process in this job.
    #[error("there is no such process in this job")]
    Unknown,
}
