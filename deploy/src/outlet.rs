//! Where values leave for one receiver: what a `Sender`, its futures and its helper threads share.
//!
//! A value that fits a frame leaves whole. A longer one leaves in pieces while it is encoded, and has the connection to
//! itself meanwhile: whoever sends it holds the connection's *long* mark, and whoever takes the mark away has the
//! receiver forget the value.

use crate::{
    codec::{self, Capped},
    error::{ChannelError, Lost},
    link::{self, Link, LongMark, Look, Tx},
    waits::{Line, Waiting},
};
use deploy_sys::fork;
use deploy_wire::{
    frame::{Kind, LENGTH_UNKNOWN, Part, Stop},
    outbound::{RECORD_BYTES_MAX, record_units},
    wait::Awaited,
};
use serde::Serialize;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::*},
    },
};

#[derive(Clone)]
pub(crate) struct Outlet {
    pub(crate) link: Arc<Link>,
    generation: u32,
    /// The name of the type that it sends.
    type_name: &'static str,
    /// Set when nobody wants any more what is being sent through here.
    cancelled: Option<Arc<AtomicBool>>,
    /// Whoever sends here says when there is nothing more for now, so nobody else need be woken for that.
    is_patient: bool,
}

/// Why nothing more goes through a channel, as far as it is known without waiting.
pub(crate) enum Refusal {
    Error(ChannelError),
    /// The other end was dropped by a panic: how its process ends may be known soon.
    Panicked,
}

/// How a value travels.
pub(crate) enum Encoded<'a> {
    /// In a frame.
    Record(&'a [u8]),
    /// In pieces, as it lies in memory.
    Bulk(&'a [u8]),
    /// In pieces, while it is encoded.
    Stream,
}

impl Outlet {
    /// A new sender over this connection.
    #[track_caller]
    pub(crate) fn open(link: Arc<Link>, type_name: &'static str) -> Outlet {
        link.forget_panic();
        let mut tx = link.tx();
        assert!(
            !tx.sender,
            "deploy: there is a Sender to {} already; drop it before making another",
            link.peer
        );
        tx.sender = true;
        tx.out.queue_open(type_name);
        let generation = tx.out.generation();
        drop(tx);
        Outlet {
            link,
            generation,
            type_name,
            cancelled: None,
            is_patient: false,
        }
    }

    /// What is sent here waits for company until [`Hub::flush`](crate::hub::Hub::flush), or for a tick of the reactor.
    pub(crate) fn be_patient(&mut self) {
        self.is_patient = true;
    }

    /// The same, for as long as `cancelled` is not set.
    pub(crate) fn cancellable(&self, cancelled: Arc<AtomicBool>) -> Outlet {
        Outlet {
            cancelled: Some(cancelled),
            ..self.clone()
        }
    }

    /// The sender is dropped. Does not block.
    pub(crate) fn close(&self, end: Kind) {
        if fork::happened() {
            return; // The connection is the parent's, and a lock may be held by a thread that is not here.
        }
        let mut tx = self.link.tx();
        self.link.cancel_long(&mut tx);
        tx.out.queue_end(end);
        tx.sender = false;
        self.link.flush(&mut tx);
        drop(tx);
        self.link.turn.ring();
        self.link.let_retire();
    }

    /// Sends a value. Blocks while there is no room for it.
    pub(crate) fn send<T: Serialize + 'static>(
        &self,
        value: &T,
        scratch: &mut Vec<u8>,
        at: Option<Line>,
    ) -> Result<(), ChannelError> {
        let waiting = || self.waiting(Awaited::Room, at);
        match encode(value, scratch)? {
            Encoded::Record(record) => match self.look(record) {
                Look::Found(Ok(())) => Ok(()), // Most often.
                _ => self.block(waiting(), || self.look(record)),
            },
            Encoded::Bulk(bytes) => {
                self.begin_long(waiting())?
                    .send(bytes, Part::Last, bytes.len() as u64)
            }
            Encoded::Stream => self.stream(value, waiting()),
        }
    }

    /// Sends as many of these bytes, each a value of its own, as there is room for: at least one. Blocks until there is.
    pub(crate) fn write(&self, bytes: &[u8], at: Line) -> Result<usize, ChannelError> {
        let waiting = self.waiting(Awaited::Room, Some(at));
        if bytes.len() <= BULK_RECORD_BYTES_MAX {
            self.block(waiting, || self.look(bytes))
                .map(|()| bytes.len())
        } else {
            self.block(waiting, || self.look_run(bytes))
        }
    }

    /// What one who sends waits for, in this line.
    pub(crate) fn waiting(&self, what: Awaited, at: Option<Line>) -> Waiting {
        Waiting {
            what,
            type_name: self.type_name,
            at,
        }
    }

    /// Sends a run of bytes from where it lies, as much as there is room for, if that is worth a frame.
    fn look_run(&self, bytes: &[u8]) -> Look<Result<usize, Refusal>> {
        let mut tx = self.link.tx();
        if let Some(refusal) = self.refusal() {
            return Look::Found(Err(refusal));
        }
        let room = (self.link.room(&tx) as usize).min(PIECE_BYTES_MAX);
        let room = room.min(self.link.room_at_once(&mut tx));
        if room < PIECE_BYTES_MIN || self.link.is_blocked() {
            return Look::Nothing;
        }
        let count = bytes.len().min(room);
        self.link.send_run(&mut tx, &bytes[..count]);
        Look::Found(Ok(count))
    }

    /// Sends a value that fits a frame, if there is room or an end.
    pub(crate) fn look(&self, record: &[u8]) -> Look<Result<(), Refusal>> {
        if let Some(error) = link::end_of_fork() {
            return Look::Found(Err(Refusal::Error(error)));
        }
        let mut tx = self.link.tx();
        if let Some(refusal) = self.refusal() {
            return Look::Found(Err(refusal));
        }
        if tx.long.is_some() {
            return Look::Idle; // Until the thread that sends the long value rings.
        }
        if self.link.room(&tx) < record_units(record.len()) {
            return Look::Nothing;
        }
        let is_batch = self.link.send_record(&mut tx, record, self.is_patient);
        drop(tx);
        if is_batch {
            self.link.hear(true);
        }
        Look::Found(Ok(()))
    }

    /// Whether sending can start, or will fail at once.
    pub(crate) fn has_room(&self) -> bool {
        let tx = self.link.tx();
        let room = || tx.long.is_none() && self.link.room(&tx) >= PIECE_BYTES_MIN as u64;
        self.refusal().is_some() || room()
    }

    /// What was sent leaves, and the peer is asked to say when it has it. Returns the number to wait for.
    pub(crate) fn ask_for_acknowledgement(&self) -> u64 {
        let mut tx = self.link.tx();
        if !self.link.is_acknowledged(tx.out.sequence()) {
            tx.out.queue_ping();
        }
        self.link.flush(&mut tx);
        tx.out.sequence()
    }

    /// Whether the peer has everything up to the number, or will not.
    pub(crate) fn look_acknowledged(&self, sequence: u64) -> Look<Result<(), Refusal>> {
        match self.link.is_acknowledged(sequence) {
            true => Look::Found(Ok(())),
            false => Look::of(self.refusal().map(Err)),
        }
    }

    /// Why nothing can be sent any more.
    #[inline]
    fn refusal(&self) -> Option<Refusal> {
        if self.cancelled.is_none() && self.link.takes(self.generation) {
            return None; // Most often, and looked at for each value.
        }
        self.find_refusal()
    }

    #[cold]
    fn find_refusal(&self) -> Option<Refusal> {
        if self
            .cancelled
            .as_ref()
            .is_some_and(|cancelled| cancelled.load(SeqCst))
        {
            return Some(Refusal::Error(ChannelError::Closed)); // Nobody hears this.
        }
        let Some((stop, expected)) = self.link.stopped(self.generation) else {
            return self.link.end().map(Refusal::Error);
        };
        Some(match stop {
            Stop::Dropped => Refusal::Error(ChannelError::Closed),
            Stop::Panicked => Refusal::Panicked,
            Stop::Mismatch => {
                let sent = self.type_name.to_string();
                Refusal::Error(ChannelError::TypeMismatch { sent, expected })
            }
        })
    }

    /// Blocks until `look` finds something.
    pub(crate) fn block<R>(
        &self,
        waiting: Waiting,
        look: impl FnMut() -> Look<Result<R, Refusal>>,
    ) -> Result<R, ChannelError> {
        let found = self.link.wait_until(None, Some(waiting), look);
        match found.expect("a wait without deadline finds something") {
            Ok(done) => Ok(done),
            Err(Refusal::Error(error)) => Err(error),
            Err(Refusal::Panicked) => Err(self.link.end_after_panic()),
        }
    }

    /// Sends a long value while it is being encoded.
    fn stream<T: Serialize>(&self, value: &T, waiting: Waiting) -> Result<(), ChannelError> {
        let mut pieces = Pieces {
            long: self.begin_long(waiting)?,
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
    fn begin_long(&self, waiting: Waiting) -> Result<Long<'_>, ChannelError> {
        let mark = self.block(waiting, || {
            let mut tx = self.link.tx();
            if let Some(refusal) = self.refusal() {
                return Look::Found(Err(refusal));
            }
            match self.link.mark_long(&mut tx) {
                Some(mark) => Look::Found(Ok(mark)),
                None => Look::Idle, // Until the thread that sends the other one rings.
            }
        })?;
        Ok(Long {
            outlet: self,
            mark,
            waiting,
        })
    }
}

impl Refusal {
    /// What it is as far as it is known now.
    pub(crate) fn into_error(self, link: &Link) -> ChannelError {
        match self {
            Refusal::Error(error) => error,
            Refusal::Panicked => link
                .fate_error()
                .unwrap_or(ChannelError::Lost(Lost::Panicked)),
        }
    }
}

/// Encodes a value, into `scratch` if it fits a frame.
pub(crate) fn encode<'a, T: Serialize + 'static>(
    value: &'a T,
    scratch: &'a mut Vec<u8>,
) -> Result<Encoded<'a>, ChannelError> {
    if let Some(bytes) = codec::as_bulk(value) {
        return Ok(match bytes.len() <= BULK_RECORD_BYTES_MAX {
            true => Encoded::Record(bytes),
            false => Encoded::Bulk(bytes),
        });
    }
    let mut overflowed = false;
    let writer = Capped {
        buffer: scratch,
        bytes_max: RECORD_BYTES_MAX,
        overflowed: &mut overflowed,
    };
    match codec::encode(value, writer) {
        Ok(()) => Ok(Encoded::Record(scratch)),
        Err(_) if overflowed => Ok(Encoded::Stream),
        Err(why) => Err(ChannelError::Codec(why)),
    }
}

/// The right to send a long value: no other value comes between its pieces. Dropped before the last one, by an error
/// or a panic of the encoder, it has the receiver forget the value.
struct Long<'a> {
    outlet: &'a Outlet,
    mark: LongMark,
    /// What its sender waits for meanwhile.
    waiting: Waiting,
}

impl Long<'_> {
    /// Sends bytes in as many pieces as the window and the socket take; the last one is marked `part`.
    fn send(&self, mut bytes: &[u8], part: Part, total: u64) -> Result<(), ChannelError> {
        let link = &self.outlet.link;
        loop {
            let look = || self.look_room(bytes.len());
            let (room, at_once) = self.outlet.block(self.waiting, look)?;
            let at_once = room.min(at_once).min(PIECE_BYTES_MAX);
            let (piece, rest) = bytes.split_at(at_once.min(bytes.len()));
            let part = if rest.is_empty() { part } else { Part::More };
            if !link.send_piece(self.mark, part, piece, total) {
                return Err(ChannelError::Closed); // The sender was dropped: nobody hears this.
            }
            bytes = rest;
            link.hear(room - piece.len() < piece.len()); // Unless another like it would find room.
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// How much of `wanted` bytes there is room for, all or a piece that is worth a frame, and how much leaves at once. What
    /// waits for the socket leaves first, so that pieces are written from where they lie.
    fn look_room(&self, wanted: usize) -> Look<Result<(usize, usize), Refusal>> {
        let link = &self.outlet.link;
        let tx: &mut Tx = &mut link.tx();
        if !link.holds_long(tx, self.mark) {
            return Look::Found(Err(Refusal::Error(ChannelError::Closed)));
        }
        if let Some(refusal) = self.outlet.refusal() {
            return Look::Found(Err(refusal));
        }
        let room = link.room(tx) as usize;
        // At least one, also for a piece that is empty: headers may have overrun the limit.
        let enough = room >= wanted.clamp(1, PIECE_BYTES_MIN);
        let at_once = if enough { link.room_at_once(tx) } else { 0 };
        Look::of((at_once > 0 && !link.is_blocked()).then_some(Ok((room, at_once))))
    }
}

impl Drop for Long<'_> {
    fn drop(&mut self) {
        let link = &self.outlet.link;
        let mut tx = link.tx();
        if link.holds_long(&tx, self.mark) {
            link.cancel_long(&mut tx);
            drop(tx);
            link.turn.ring();
        }
    }
}

/// Cuts what an encoder writes into pieces.
struct Pieces<'a> {
    long: Long<'a>,
    block: Vec<u8>,
    /// What became of the channel, where an encoder only says that writing failed.
    error: Option<ChannelError>,
}

impl Pieces<'_> {
    /// The block, and what follows it.
    fn send(&mut self, more: &[u8]) -> Result<(), ChannelError> {
        for bytes in [&self.block, more] {
            if !bytes.is_empty() {
                self.long.send(bytes, Part::More, LENGTH_UNKNOWN)?;
            }
        }
        self.block.clear();
        Ok(())
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What is longer than a block goes from where it lies.
        let lies_elsewhere = bytes.len() >= BLOCK_BYTES;
        if !lies_elsewhere {
            self.block.extend_from_slice(bytes);
        }
        if lies_elsewhere || self.block.len() >= BLOCK_BYTES {
            let more = if lies_elsewhere { bytes } else { &[] };
            if let Err(error) = self.send(more) {
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
