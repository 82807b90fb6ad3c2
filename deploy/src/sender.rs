//! The end of a channel that sends.

use crate::{
    codec::{self, Capped},
    error::{ChannelError, Lost, TrySendError},
    link::{Link, Tx},
    pid::Pid,
    process, scratch,
    turn::Look,
};
use deploy_wire::{
    frame::{Kind, LENGTH_UNKNOWN, Part, Stop},
    outbound::{RECORD_BYTES_MAX, record_units},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::type_name,
    cell::Cell,
    fmt,
    io::{self, Write},
    marker::PhantomData,
    sync::Arc,
    thread,
};

/// Sends values of type `T` to another process.
///
/// Values arrive in the order in which they were sent, each once and whole, and what was sent is delivered even if
/// this process ends right after. There is one `Sender` to each process at a time; the receiver's process makes the
/// matching [`Receiver`](crate::Receiver), before or after.
///
/// It can be shared between threads, and a thread that blocks in it stops no other channel.
pub struct Sender<T> {
    link: Arc<Link>,
    generation: u32,
    values: PhantomData<fn(T)>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Sender<T> {
    /// A channel to the process `pid`. Returns at once: the connection is made behind it.
    ///
    /// # Panics
    /// If there is a `Sender` to `pid` already, if `pid` is this process, or if `init` was not called.
    #[track_caller]
    pub fn new(pid: Pid) -> Sender<T> {
        Sender::on(process::link_to(pid))
    }

    /// A channel over this connection.
    #[track_caller]
    pub(crate) fn on(link: Arc<Link>) -> Sender<T> {
        let generation = {
            let mut tx = link.tx();
            assert!(
                !tx.sender,
                "deploy: there is a Sender to {} already; drop it before making another",
                link.peer
            );
            tx.sender = true;
            tx.out.queue_open(type_name::<T>());
            tx.out.generation()
        };
        Sender {
            link,
            generation,
            values: PhantomData,
        }
    }

    /// Sends a value. Blocks while the receiver's window is full: 64 KiB at first, and up to 4 MiB for a receiver that
    /// keeps up. A value that is longer streams through, and is never held a second time.
    ///
    /// # Errors
    /// How the channel ended; or [`ChannelError::Codec`] if the value cannot be encoded, after which others can still
    /// be sent.
    pub fn send(&self, value: T) -> Result<(), ChannelError> {
        if let Some(bytes) = codec::as_bulk(&value) {
            return if bytes.len() <= BULK_RECORD_BYTES_MAX {
                self.send_record(bytes)
            } else {
                self.send_bulk(bytes)
            };
        }
        scratch::with(|scratch| match encode_record(&value, scratch)? {
            true => self.send_record(scratch),
            false => self.stream(&value),
        })
    }

    /// Sends a value if that does not block.
    ///
    /// # Errors
    /// [`TrySendError::Full`] and [`TrySendError::TooLarge`] give the value back; values of up to 64 KiB when encoded are
    /// not too large.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if let Some(bytes) = codec::as_bulk(&value) {
            let done = (bytes.len() <= RECORD_BYTES_MAX).then(|| self.poll_record(bytes).found());
            return answer(done, value);
        }
        let done = scratch::with(|scratch| {
            Ok(encode_record(&value, scratch)?.then(|| self.poll_record(scratch).found()))
        });
        answer(done.map_err(TrySendError::Channel)?, value)
    }

    /// Blocks until the peer's runtime holds everything that was sent: it will be received, should this process be
    /// killed now, unless the peer ends first.
    pub fn flush(&self) -> Result<(), ChannelError> {
        let sequence = {
            let mut tx = self.link.tx();
            if !self.link.is_acknowledged(tx.out.sequence()) {
                tx.out.queue_ping();
            }
            self.link.flush(&mut tx);
            tx.out.sequence()
        };
        self.block(|| match self.link.is_acknowledged(sequence) {
            true => Look::Found(Ok(())),
            false => Look::of(self.refusal().map(Err)),
        })
    }

    /// The process at the other end.
    pub fn pid(&self) -> Pid {
        Pid(self.link.peer)
    }

    fn send_record(&self, record: &[u8]) -> Result<(), ChannelError> {
        self.block(|| self.poll_record(record))
    }

    /// Sends a value that fits a frame, if there is room or an end.
    fn poll_record(&self, record: &[u8]) -> Look<Result<(), Refusal>> {
        let mut tx = self.link.tx();
        if let Some(refusal) = self.refusal() {
            return Look::Found(Err(refusal));
        }
        if tx.long {
            return Look::Idle; // Until the thread that sends the long value rings.
        }
        if self.link.room(&tx) < record_units(record.len()) {
            return Look::Nothing;
        }
        self.link.send_record(&mut tx, record);
        Look::Found(Ok(()))
    }

    /// Sends a long value as it lies in memory.
    fn send_bulk(&self, bytes: &[u8]) -> Result<(), ChannelError> {
        let long = self.begin_long()?;
        long.send(bytes, Part::Last, bytes.len() as u64)
    }

    /// Sends a long value while it is being encoded.
    fn stream(&self, value: &T) -> Result<(), ChannelError> {
        let mut pieces = Pieces {
            long: self.begin_long()?,
            block: Vec::new(),
            error: None,
        };
        let encoded = codec::encode(value, &mut pieces);
        let Pieces { long, block, error } = pieces;
        match (encoded, error) {
            (Ok(()), _) => long.send(&block, Part::Last, LENGTH_UNKNOWN),
            (Err(_), Some(error)) => Err(error),
            (Err(why), None) => Err(ChannelError::Codec(why)),
        }
    }

    /// Blocks until no other long value is being sent, and keeps others from being sent.
    fn begin_long(&self) -> Result<Long<'_, T>, ChannelError> {
        self.block(|| {
            let mut tx = self.link.tx();
            if let Some(refusal) = self.refusal() {
                return Look::Found(Err(refusal));
            }
            match std::mem::replace(&mut tx.long, true) {
                true => Look::Idle, // Until the thread that sends the other one rings.
                false => Look::Found(Ok(())),
            }
        })?;
        Ok(Long {
            sender: self,
            unfinished: Cell::new(false),
        })
    }

    /// Why nothing can be sent any more.
    fn refusal(&self) -> Option<Refusal> {
        if let Some((stop, expected)) = self.link.stopped(self.generation) {
            return Some(match stop {
                Stop::Dropped => Refusal::Error(ChannelError::Closed),
                Stop::Panicked => Refusal::Panicked,
                Stop::Mismatch => {
                    let sent = type_name::<T>().to_string();
                    Refusal::Error(ChannelError::TypeMismatch { sent, expected })
                }
            });
        }
        self.link.end().map(Refusal::Error)
    }

    fn block<R>(&self, poll: impl FnMut() -> Look<Result<R, Refusal>>) -> Result<R, ChannelError> {
        match self
            .link
            .wait_until(None, poll)
            .expect("a wait without deadline finds something")
        {
            Ok(done) => Ok(done),
            Err(Refusal::Error(error)) => Err(error),
            Err(Refusal::Panicked) => Err(self.link.end_after_panic()),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let kind = if thread::panicking() {
            Kind::Abort
        } else {
            Kind::Fin
        };
        let mut tx = self.link.tx();
        tx.out.queue_end(kind);
        tx.sender = false;
        self.link.flush(&mut tx);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender<{}>({})", type_name::<T>(), self.link.peer)
    }
}

/// Why nothing can be sent any more, as far as it is known without waiting.
enum Refusal {
    Error(ChannelError),
    Panicked,
}

/// What `try_send` returns for what it found: `None` a value too large, `Some(None)` no room.
fn answer<T>(done: Option<Option<Result<(), Refusal>>>, value: T) -> Result<(), TrySendError<T>> {
    match done {
        None => Err(TrySendError::TooLarge(value)),
        Some(None) => Err(TrySendError::Full(value)),
        Some(Some(Ok(()))) => Ok(()),
        Some(Some(Err(Refusal::Error(error)))) => Err(TrySendError::Channel(error)),
        Some(Some(Err(Refusal::Panicked))) => {
            Err(TrySendError::Channel(ChannelError::Lost(Lost::Panicked)))
        }
    }
}

/// Encodes a value that fits a frame; says whether it does.
fn encode_record<T: Serialize>(value: &T, buffer: &mut Vec<u8>) -> Result<bool, ChannelError> {
    let mut overflowed = false;
    let writer = Capped {
        buffer,
        bytes_max: RECORD_BYTES_MAX,
        overflowed: &mut overflowed,
    };
    match codec::encode(value, writer) {
        Ok(()) => Ok(true),
        Err(_) if overflowed => Ok(false),
        Err(why) => Err(ChannelError::Codec(why)),
    }
}

/// The right to send a long value: no other value comes between its pieces. Dropped before the last one, by an error
/// or a panic of the encoder, it has the receiver forget the value.
struct Long<'a, T: Serialize + DeserializeOwned + Send + 'static> {
    sender: &'a Sender<T>,
    unfinished: Cell<bool>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Long<'_, T> {
    /// Sends bytes in as many pieces as the window and the socket take; the last one is marked `part`.
    fn send(&self, mut bytes: &[u8], part: Part, total: u64) -> Result<(), ChannelError> {
        loop {
            let room = self.sender.block(|| self.poll_room(bytes.len()))?;
            let (piece, rest) = bytes.split_at(room.min(bytes.len()).min(PIECE_BYTES_MAX));
            let part = if rest.is_empty() { part } else { Part::More };
            self.sender
                .link
                .send_piece(&mut self.sender.link.tx(), part, piece, total);
            self.unfinished.set(part == Part::More);
            bytes = rest;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// How much of `wanted` bytes there is room for: all, or a piece that is worth a frame. What waits for the socket
    /// leaves first, so that pieces are written from where they lie.
    fn poll_room(&self, wanted: usize) -> Look<Result<usize, Refusal>> {
        let tx: &Tx = &self.sender.link.tx();
        if let Some(refusal) = self.sender.refusal() {
            return Look::Found(Err(refusal));
        }
        let room = self.sender.link.room(tx) as usize;
        let enough = room >= wanted.min(PIECE_BYTES_MIN);
        Look::of((enough && !self.sender.link.is_blocked()).then_some(Ok(room)))
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Drop for Long<'_, T> {
    fn drop(&mut self) {
        let link = &self.sender.link;
        let mut tx = link.tx();
        if self.unfinished.get() {
            link.send_piece(&mut tx, Part::Cancelled, &[], LENGTH_UNKNOWN);
        }
        tx.long = false;
        drop(tx);
        link.turn.ring();
    }
}

/// Cuts what an encoder writes into pieces.
struct Pieces<'a, T: Serialize + DeserializeOwned + Send + 'static> {
    long: Long<'a, T>,
    block: Vec<u8>,
    /// What became of the channel, where an encoder only says that writing failed.
    error: Option<ChannelError>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Write for Pieces<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            let sent = self.long.send(&self.block, Part::More, LENGTH_UNKNOWN);
            self.block.clear();
            if let Err(error) = sent {
                self.error = Some(error);
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs of bytes that are longer go straight from where they lie: copying them would cost more than a system call.
const BULK_RECORD_BYTES_MAX: usize = 16 << 10;

/// How much of a long value is encoded before it is sent.
const BLOCK_BYTES: usize = 64 << 10;

/// The shortest piece worth a frame, unless it is the rest.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// The longest piece: about what a socket takes at once. What it does not take is copied.
const PIECE_BYTES_MAX: usize = 256 << 10;
