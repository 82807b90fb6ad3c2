//! The sending half of a connection: when values leave, and how.
//!
//! A value is written at once if nothing is unacknowledged; otherwise it waits for company until 64 KiB are together, the
//! acknowledgement comes, its process is about to block or to end, or the reactor sees it. What the socket does not take
//! waits until it does.
//!
//! Deliberately absent: frames (`deploy_wire::outbound`), what carries them (`carrier.rs`), and long values (`pieces.rs`).

use super::{
    Link,
    pieces::{LongMark, Stride},
};
use crate::carrier::{Outgoing, TORN};
use deploy_sys::fd;
use deploy_wire::outbound::{Outbound, record_units};
use std::{
    io,
    sync::{Arc, atomic::Ordering::*},
};

/// The sending half.
pub(crate) struct Tx {
    pub(crate) out: Outbound,
    /// How its bytes leave.
    pub(super) way: Outgoing,
    /// Whether there is a `Sender`.
    pub(crate) sender: bool,
    /// The long value that is being sent, which no other may interrupt.
    pub(crate) long: Option<LongMark>,
    /// Whether a piece of it left that is not the last.
    pub(super) long_begun: bool,
    /// How many long values there were.
    pub(super) longs: u64,
    /// How long a piece may be.
    pub(super) stride: Stride,
    /// How many values were queued since it was last looked how fast they come.
    values: u32,
}

impl Tx {
    pub(super) fn new() -> Tx {
        Tx {
            out: Outbound::new(),
            way: Outgoing::Closed,
            sender: false,
            long: None,
            long_begun: false,
            longs: 0,
            stride: Stride::default(),
            values: 0,
        }
    }
}

impl Link {
    /// How many units the sending half may queue now: none while too much waits for the socket.
    pub(crate) fn room(&self, tx: &Tx) -> u64 {
        if tx.out.pending() > PENDING_BYTES_MAX {
            return 0;
        }
        self.crossing.limit().saturating_sub(tx.out.sequence())
    }

    /// Queues a value, for which there is room, and lets it leave as the rule at the top says; where the sender
    /// `is_patient`, with a batch, when the hub is flushed, or within a tick. Says whether a batch left.
    pub(crate) fn send_record(
        self: &Arc<Link>,
        tx: &mut Tx,
        record: &[u8],
        is_patient: bool,
    ) -> bool {
        assert!(
            record_units(record.len()) <= self.room(tx),
            "the caller has looked for room"
        );
        let quiet = self.is_acknowledged(tx.out.sequence());
        tx.out.queue_record(record);
        tx.values += 1;
        let is_batch = tx.out.pending() >= BATCH_BYTES;
        if self.streams() {
            self.turn.mark_used(); // It reads at each batch: see `hear`.
        }
        if is_batch || (quiet && !is_patient) {
            self.leave_together(tx);
        } else if !self.dirty.load(Relaxed) && !self.dirty.swap(true, SeqCst) {
            // Whoever makes it clean takes the sending lock behind that, and so finds what was queued before it.
            self.await_company(!is_patient && !self.streams());
        }
        is_batch
    }

    /// Whether values come so fast that they fill writes by themselves.
    pub(crate) fn streams(&self) -> bool {
        self.streams.load(Relaxed)
    }

    /// What was queued leaves; how much that is says how fast values come.
    fn leave_together(self: &Arc<Link>, tx: &mut Tx) {
        let values = std::mem::take(&mut tx.values);
        let streams = values >= STREAM_VALUES || tx.out.pending() >= STREAM_BYTES;
        self.streams.store(streams, Relaxed);
        self.flush(tx);
    }

    /// What waits for company leaves without.
    pub(crate) fn flush_dirty(self: &Arc<Link>) {
        self.dirty.store(false, SeqCst);
        self.leave_together(&mut self.tx());
    }

    /// Writes what waits, as far as the socket takes it; the reactor goes on when it takes more.
    pub(crate) fn flush(self: &Arc<Link>, tx: &mut Tx) {
        while (tx.out.pending() > 0 || tx.way.is_behind()) && self.transmit(tx, &[]) {}
    }

    /// What waited for the socket leaves, as far as it takes it; whoever waits for that is told. Says whether all left.
    pub(crate) fn unblock(self: &Arc<Link>) -> bool {
        if !self.is_blocked() {
            return false;
        }
        self.flush(&mut self.tx());
        let unblocked = !self.is_blocked();
        if unblocked {
            self.turn.ring();
        }
        unblocked
    }

    /// One write: what waits, then `payload`. What is not written of the payload waits. Says whether there is hope for
    /// more.
    pub(super) fn transmit(self: &Arc<Link>, tx: &mut Tx, payload: &[u8]) -> bool {
        let Some(socket) = self.socket().filter(|_| !tx.way.is_closed()) else {
            tx.out.handle_written(0, payload);
            return false;
        };
        let (arrived, granted) = self.crossing.to_tell();
        let waiting = tx.out.poll_transmit(arrived, granted);
        let written = match tx.way.write(socket, waiting, payload) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tx.out.handle_written(0, payload);
                if tx.way.ring_room().is_some() {
                    return !self.starves(tx);
                }
                if !self.blocked.swap(true, SeqCst) {
                    self.attend(); // Once: then the reactor waits for room.
                }
                return false;
            }
            Err(error) if fd::is_not_ours(&error) => {
                tx.out.handle_written(0, payload);
                self.attend(); // Whoever reads finds it out, and says it.
                return false;
            }
            // The peer is gone; whoever reads finds the end of file and why. Or it lies.
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    self.break_off(TORN);
                }
                waiting.len() + payload.len()
            }
        };
        if self.is_blocked() {
            self.blocked.store(false, SeqCst);
        }
        tx.out.handle_written(written, payload);
        self.crossing.handle_told(tx.out.told());
        true
    }
}

/// As much as is worth a write of its own.
const BATCH_BYTES: usize = 64 << 10;

/// Where this much is together when it leaves, or so many values, the next ones will soon be too: nobody need be woken
/// for them, and a stream's last ones wait for the reactor's next tick.
const STREAM_BYTES: usize = BATCH_BYTES / 4;
const STREAM_VALUES: u32 = 64;

/// How much may wait for the socket: a few batches. Beyond it, senders wait for the reader's process to read.
const PENDING_BYTES_MAX: usize = 256 << 10;
