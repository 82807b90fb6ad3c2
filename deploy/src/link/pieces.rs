//! Values that leave in pieces, straight from where they lie: one long value at a time, and runs of bytes.
//!
//! Deliberately absent: where a value is cut, and who waits for room (`outlet.rs`).

use super::{Link, Tx};
use crate::carrier::Outgoing;
use deploy_wire::frame::{LENGTH_UNKNOWN, Part};
use std::sync::Arc;

/// Tells one long value from those before and after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongMark(u64);

/// How long a piece may be: about what the socket takes at once, since what it does not take is copied. One that took all
/// of them is offered more, so that a value of a megabyte comes in one piece and is read in a few large reads; one that did
/// not is offered half.
pub(super) struct Stride {
    bytes: usize,
}

impl Default for Stride {
    fn default() -> Stride {
        Stride {
            bytes: PIECE_BYTES_STEP,
        }
    }
}

impl Stride {
    /// A piece of so many bytes was written, wholly or in part.
    fn handle_piece(&mut self, bytes: usize, wholly: bool) {
        self.bytes = match wholly {
            true if bytes >= self.bytes => (self.bytes + PIECE_BYTES_STEP).min(PIECE_BYTES_MAX),
            true => self.bytes,
            false => (self.bytes / 2).max(PIECE_BYTES_STEP),
        };
    }
}

impl Tx {
    /// The longest piece that the socket probably takes at once. What is sealed is copied first, whatever the socket takes,
    /// and should still be in a processor's cache when it is written.
    pub(crate) fn piece_bytes_max(&self) -> usize {
        match self.way {
            Outgoing::Sealed(_) => PIECE_BYTES_STEP,
            _ => self.stride.bytes,
        }
    }
}

impl Link {
    /// Marks the connection as sending a long value, unless it does already.
    pub(crate) fn mark_long(&self, tx: &mut Tx) -> Option<LongMark> {
        if tx.long.is_some() {
            return None;
        }
        tx.longs += 1;
        tx.long = Some(LongMark(tx.longs));
        tx.long
    }

    /// Whether this long value is still the one that is being sent.
    pub(crate) fn holds_long(&self, tx: &Tx, mark: LongMark) -> bool {
        tx.long == Some(mark)
    }

    /// Has the receiver forget the long value that is being sent, if there is one. The caller rings, with no lock held:
    /// whoever is woken may drop a channel.
    pub(crate) fn cancel_long(self: &Arc<Link>, tx: &mut Tx) {
        if tx.long.take().is_some() && std::mem::take(&mut tx.long_begun) {
            tx.out
                .queue_piece_header(Part::Cancelled, 0, LENGTH_UNKNOWN);
            self.flush(tx);
        }
    }

    /// Queues a part of a long value and writes it, straight from where it lies as far as the socket takes it. Says
    /// whether this long value is still the one that is being sent.
    pub(crate) fn send_piece(
        self: &Arc<Link>,
        mark: LongMark,
        part: Part,
        payload: &[u8],
        total: u64,
    ) -> bool {
        let mut tx = self.tx();
        if !self.holds_long(&tx, mark) {
            return false;
        }
        self.write_piece(&mut tx, part, payload, total);
        tx.long_begun = part == Part::More;
        if part == Part::Last {
            tx.long = None;
            drop(tx);
            self.turn.ring();
        }
        true
    }

    /// Queues a run of bytes, for which there is room, and writes it like a part of a long value.
    pub(crate) fn send_run(self: &Arc<Link>, tx: &mut Tx, bytes: &[u8]) {
        assert!(
            bytes.len() as u64 <= self.room(tx),
            "the caller has looked for room"
        );
        self.write_piece(tx, Part::Last, bytes, bytes.len() as u64);
    }

    fn write_piece(self: &Arc<Link>, tx: &mut Tx, part: Part, payload: &[u8], total: u64) {
        tx.out.queue_piece_header(part, payload.len(), total);
        self.transmit(tx, payload);
        let is_behind = tx.out.pending() > 0 || tx.way.is_behind();
        tx.stride.handle_piece(payload.len(), !is_behind);
        self.flush(tx);
    }
}

/// What any socket takes, most often.
const PIECE_BYTES_STEP: usize = 256 << 10;

/// A longer one gains nothing, and is what a sender holds at most of a value that its socket did not take.
const PIECE_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_while_the_socket_takes_them_and_shrink_when_it_does_not() {
        let mut stride = Stride::default();
        let mut check = |bytes, wholly, max_kib: usize| {
            stride.handle_piece(bytes, wholly);
            assert_eq!(stride.bytes, max_kib << 10);
        };
        check(100, true, 256); // The rest of a value says nothing.
        check(256 << 10, true, 512);
        check(256 << 10, true, 512);
        check(512 << 10, true, 768);
        check(768 << 10, true, 1024);
        check(1 << 20, true, 1024);
        check(1 << 20, false, 512);
        check(512 << 10, false, 256);
        check(100, false, 256);
    }
}
