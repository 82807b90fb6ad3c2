//! What a connection asks of what all of them share: to leave with others, to be looked at, to be listened to.
//!
//! Deliberately absent: when it asks.

use super::Link;
use crate::hub::Hub;
use deploy_sys::poller::Interest;
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

    /// The reactor is told when there is room to write, though it does not listen to this connection.
    pub(crate) fn await_room(&self) {
        let Some(socket) = self.socket() else { return };
        // It fails as `register` does.
        let _ = self.hub.poller.add(socket, self.token, Interest::Room);
    }

    /// The reactor listens to this connection from now on.
    pub(super) fn register(&self) {
        let Some(socket) = self.socket() else { return };
        // It fails only for want of kernel memory: then those who wait still read by themselves.
        let _ = self.hub.poller.add(socket, self.token, self.interest());
    }

    /// Whether bytes wait for the socket has changed, and the reactor listens to it.
    pub(crate) fn register_anew(&self) {
        let Some(socket) = self.socket() else { return };
        // It fails only if it is not registered, and whoever registers it knows the same.
        let _ = self.hub.poller.change(socket, self.token, self.interest());
    }

    /// The reactor listens to this connection no more.
    pub(super) fn deregister(&self) {
        let Some(socket) = self.socket() else { return };
        // It fails only if it was not registered.
        let _ = self.hub.poller.remove(socket);
    }

    fn interest(&self) -> Interest {
        match self.is_blocked() {
            true => Interest::BothWays,
            false => Interest::Arrivals,
        }
    }
}
