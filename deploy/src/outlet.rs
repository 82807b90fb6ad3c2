//! Where values leave for one receiver: what a `Sender`, its futures and its helper threads share.
//!
//! A value that fits a frame leaves whole. A longer one leaves in pieces while it is encoded, and has the connection to
//! itself meanwhile: whoever sends it holds the connection's *long* mark, and whoever takes the mark away has the
//! receiver forget the value.

mod pieces;

use crate::{
    codec::{self, Capped},
    error::{ChannelError, Lost},
    link::{self, Link, Look},
    waits::{Line, Waiting},
};
use deploy_sys::fork;
use deploy_wire::{
    frame::{Kind, Part, Stop},
    outbound::{RECORD_BYTES_MAX, record_units},
    wait::Awaited,
};
use pieces::PIECE_BYTES_MIN;
use serde::Serialize;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::*},
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

    /// The sender ends: the peer finds this end behind what was sent. Does not block.
    pub(crate) fn close(&self, end: Kind) {
        if self.is_cancelled() {
            return; // Closed already, and there may be another sender since.
        }
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
        let room = (self.link.room(&tx) as usize).min(self.link.room_at_once(&mut tx));
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
        if self.is_cancelled() {
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

    /// Whether nobody wants any more what is being sent through here.
    fn is_cancelled(&self) -> bool {
        let cancelled = self.cancelled.as_ref();
        cancelled.is_some_and(|cancelled| cancelled.load(SeqCst))
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

/// Runs of bytes that are longer go straight from where they lie: copying them would cost more than a system call.
const BULK_RECORD_BYTES_MAX: usize = 16 << 10;
