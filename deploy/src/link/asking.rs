//! What a connection asks of what all of them share: to leave with others, and to be looked at.
//!
//! Deliberately absent: when it asks.

use super::Link;
use crate::hub::Hub;
use std::sync::Arc;

impl Hub<Link> {
    /// All values that wait leave now.
    pub(crate) fn flush(&self) {
        for link in self.take_dirty() {
            link.flush_dirty();
        }
    }
}

impl Link {
    /// Values wait here: they leave when this process is about to block, or when the reactor is awake, which is soon if it
    /// is `urgent`, and else within a tick.
    pub(super) fn await_company(self: &Arc<Link>, urgent: bool) {
        self.hub.add_dirty(self);
        match urgent {
            true => self.hub.reactor.wake(),
            false => self.attend(),
        }
    }

    /// Has the reactor look at this connection soon.
    pub(crate) fn attend(self: &Arc<Link>) {
        if self.turn.want_attention() {
            self.hub.add_attention(self);
        }
    }
}
