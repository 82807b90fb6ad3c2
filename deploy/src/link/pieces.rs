//! Values that leave in pieces, straight from where they lie: one long value at a time, and runs of bytes.
//!
//! Deliberately absent: how long a piece is, and who waits for room (`outlet.rs`).

use super::{Link, Tx};
use deploy_wire::frame::{LENGTH_UNKNOWN, Part};
use std::sync::Arc;

/// Tells one long value from those before and after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongMark(u64);

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
        self.flush(tx);
    }
}
