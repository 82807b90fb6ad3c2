//! What the two halves of a connection tell each other, and the peer: what has arrived, and how much more may come.
//!
//! Deliberately absent: when the peer has to know (`deploy_wire::inbound`).

use super::{Link, Rx};
use deploy_sys::stream;
use deploy_wire::inbound::WINDOW_UNITS_MIN;
use std::{
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, Ordering::*},
    },
    time::Duration,
};

/// What the two halves of a connection learn from each other, in units since it began: each is stored under the lock of the
/// half that learns it, and loaded under that of the other.
pub(super) struct Crossing {
    /// From the receiving half to the sending half: what the peer has, and how much it lets us send.
    acknowledged: AtomicU64,
    limit: AtomicU64,
    /// The same the other way: what we have, and how much we let it send.
    arrived: AtomicU64,
    granted: AtomicU64,
    /// What of these the peer was told. From the sending half to the receiving half.
    told_arrived: AtomicU64,
    told_granted: AtomicU64,
}

impl Crossing {
    pub(super) fn new() -> Crossing {
        Crossing {
            acknowledged: AtomicU64::new(0),
            limit: AtomicU64::new(WINDOW_UNITS_MIN),
            arrived: AtomicU64::new(0),
            granted: AtomicU64::new(WINDOW_UNITS_MIN),
            told_arrived: AtomicU64::new(0),
            told_granted: AtomicU64::new(WINDOW_UNITS_MIN),
        }
    }

    /// How much the peer lets us send.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Acquire)
    }

    /// What we have, and how much we let the peer send.
    pub(super) fn to_tell(&self) -> (u64, u64) {
        (self.arrived.load(Acquire), self.granted.load(Acquire))
    }

    /// What of that the peer was told.
    fn told(&self) -> (u64, u64) {
        (
            self.told_arrived.load(Acquire),
            self.told_granted.load(Acquire),
        )
    }

    /// The peer was told so much.
    pub(super) fn handle_told(&self, (arrived, granted): (u64, u64)) {
        self.told_arrived.store(arrived, Release);
        self.told_granted.store(granted, Release);
    }
}

impl Link {
    /// After taking a whole value. Where others lie behind it, and the peer waits for no word, settling comes with one of
    /// those, or by the reactor: a reader of many values settles once for all of them.
    #[inline]
    pub(crate) fn settle_taken(self: &Arc<Link>, mut rx: MutexGuard<'_, Rx>) {
        if rx.inbound.is_empty() || rx.inbound.ack_is_due() {
            self.settle(rx);
        } else if !std::mem::replace(&mut rx.unsettled, true) {
            drop(rx);
            self.attend();
        }
    }

    /// After reading or taking: lets the sending half see what the receiving half learned, grows the window of a
    /// reader that keeps up, and tells the peer what it waits for.
    pub(crate) fn settle(self: &Arc<Link>, mut rx: MutexGuard<'_, Rx>) {
        rx.unsettled = false;
        let inbound = &mut rx.inbound;
        let crossing = &self.crossing;
        crossing.acknowledged.store(inbound.acknowledged(), Release);
        crossing.limit.store(inbound.limit(), Release);
        let (told_arrived, told_granted) = crossing.told();
        inbound.handle_told(told_arrived, told_granted);
        if inbound.wants_growth() && self.hub.windows.take(inbound.window()) {
            inbound.grow();
        }
        crossing.arrived.store(inbound.arrived(), Release);
        crossing.granted.store(inbound.granted(), Release);
        let (ack_is_due, ack_is_owed) = (inbound.ack_is_due(), inbound.ack_is_owed());
        drop(rx);
        if ack_is_due {
            self.acknowledge();
        } else if ack_is_owed {
            self.attend(); // The reactor sees to it within a tick, unless something leaves before.
        }
        // Of a stream, what follows an acknowledgement is soon a batch by itself.
        if self.dirty.load(SeqCst) && !self.streams() {
            self.flush(&mut self.tx());
        }
    }

    /// Tells the peer what arrived and how much more it may send, if it does not know.
    pub(crate) fn acknowledge_if_owed(self: &Arc<Link>) {
        if self.owes_word() {
            self.acknowledge();
        }
    }

    /// Whether the peer does not know what arrived or how much more it may send.
    pub(crate) fn owes_word(&self) -> bool {
        self.crossing.told() != self.crossing.to_tell() && !self.has_ended()
    }

    pub(super) fn acknowledge(self: &Arc<Link>) {
        let mut tx = self.tx();
        tx.out.queue_ack();
        self.flush(&mut tx);
    }

    /// Whether the peer's runtime holds everything up to `sequence`.
    pub(crate) fn is_acknowledged(&self, sequence: u64) -> bool {
        self.crossing.acknowledged.load(Acquire) >= sequence
    }

    /// Whether the peer will have all that was sent, as long as it lives, whatever becomes of this process.
    pub(crate) fn is_delivered(&self) -> bool {
        let mut tx = self.tx();
        if tx.way.is_closed() || tx.out.pending() > 0 || !self.keeps.load(Relaxed) {
            return false;
        }
        // What is put into a ring when the socket is closed already comes behind the end that the peer finds.
        tx.way.ring_room().is_none() || self.socket().is_some_and(stream::is_socket)
    }

    /// Whether something was sent that the peer has not said it has.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        let sent = self.tx().out.sequence();
        !self.is_acknowledged(sent)
    }

    /// How long the peer may need to take in what it has not acknowledged, before it can answer.
    pub(crate) fn peers_work(&self) -> Duration {
        let sent = self.tx().out.sequence();
        let unacknowledged = sent.saturating_sub(self.crossing.acknowledged.load(Acquire));
        Duration::from_nanos(unacknowledged / COPIED_BYTES_PER_NS).min(PEERS_WORK_MAX)
    }
}

/// How fast a process takes in what lies in its socket, while others use the machine too.
const COPIED_BYTES_PER_NS: u64 = 4;

/// Long values are worth a longer look, but not for ever: it is a megabyte's time.
const PEERS_WORK_MAX: Duration = Duration::from_micros(300);
