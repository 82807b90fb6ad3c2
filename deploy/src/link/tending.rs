//! What the reactor does for a connection that nobody waits for, or whose owner sleeps.
//!
//! Deliberately absent: when (`reactor.rs`).

use super::Link;
use std::sync::{Arc, atomic::Ordering::*};

impl Link {
    /// What is left to do when nobody waits for this connection, or whoever does sleeps: what was queued leaves, and
    /// the peer is told what it does not know.
    pub(crate) fn tend(self: &Arc<Link>) {
        let rx = self.rx();
        if rx.unsettled {
            self.settle(rx);
        } else {
            drop(rx);
        }
        if self.dirty.load(SeqCst) {
            self.flush(&mut self.tx());
        }
        self.unblock();
        self.refill();
        self.acknowledge_if_owed();
    }

    /// Nobody has used it for a while: it holds no memory for what may come.
    pub(crate) fn rest(&self) {
        let mut tx = self.tx();
        tx.out.handle_rest();
        tx.way.handle_rest();
        drop(tx);
        let mut rx = self.rx();
        rx.inbound.handle_rest();
        rx.way.handle_rest();
    }

    /// Whether there is nothing to do for it before something comes or is sent.
    pub(crate) fn is_settled(&self) -> bool {
        !self.turn.is_leased()
            && !self.is_blocked()
            && !self.dirty.load(SeqCst)
            && !self.owes_word()
            && !self.rx().unsettled
    }
}
