//! Who hears the socket: whoever waits for it, or the reactor.
//!
//! A connection that was waited for is *leased*: it stays out of the reactor's poller, which would be woken for every
//! message. The reactor takes it back when nobody used it for a tick. Where messages come by a ring it is told of the end of the
//! socket all the while, since an owner may sleep where it does not find that (`memory.rs`).
//!
//! Deliberately absent: when the reactor looks (`reactor.rs`).

use super::Link;
use deploy_sys::poller::Interest;
use std::{
    io,
    os::fd::BorrowedFd,
    sync::{Arc, atomic::Ordering::SeqCst},
};

impl Link {
    /// Takes the socket from the reactor, which takes it back when it is no longer used.
    pub(crate) fn lease(self: &Arc<Link>) {
        self.turn.mark_used();
        if !self.turn.is_leased() {
            self.turn.set_leased(true, || self.leave_to_waiters());
        }
        self.attend();
    }

    /// A sender of batches or pieces hears the peer by itself, where nobody listens: the reactor would be woken for each
    /// acknowledgement, and stand in its way. While there is room for more it need not look yet.
    pub(crate) fn hear(self: &Arc<Link>, is_pressed: bool) {
        if !self.turn.has_listeners() {
            self.lease();
            if is_pressed {
                self.read(false);
            }
        }
    }

    /// Gives the socket to the reactor, for a task that waits: it hears of the socket by the bell.
    pub(crate) fn hand_over(self: &Arc<Link>) {
        self.hub.flush();
        if !self.turn.has_owner() {
            self.take_back();
        }
    }

    /// Gives the socket back to the reactor, if it is there: when it comes the bell rings, and whoever waits comes again.
    pub(crate) fn take_back(self: &Arc<Link>) {
        if self.socket().is_none() {
            return;
        }
        let is_new = self.turn.set_leased(false, || self.register());
        if is_new && self.has_ring() {
            self.drain(); // The poller hears of nothing that lies in a ring already.
        }
    }

    /// Where what comes has gone over to a ring since it was leased: the reactor is told of its end, so that the owner can
    /// sleep without the socket.
    pub(crate) fn watch_end(&self) {
        if self.has_ring() && !self.end_is_told.load(SeqCst) && !self.has_ended() {
            self.turn.if_leased(|| self.leave_to_waiters());
        }
    }

    /// The reactor has nothing more to do with the socket, whoever still holds it. It hears of it no more: whoever is about to
    /// sleep without the socket has to find the end there.
    pub(crate) fn let_go(&self) {
        self.turn.set_leased(true, || self.deregister());
        self.rouse();
    }

    /// The reactor is told when there is room to write, though it does not listen to this connection. That is all it is told:
    /// a connection that a task has handed over meanwhile is registered for more, room among it.
    pub(crate) fn await_room(&self) {
        let Some(socket) = self.socket() else { return };
        self.turn.if_leased(|| {
            self.rouse();
            // It fails as `register` does.
            let _ = self.hub.poller.add(socket, self.token, Interest::Room);
        });
    }

    /// The reactor listens to this connection from now on.
    fn register(&self) {
        let Some(socket) = self.socket() else { return };
        // It fails only for want of kernel memory: then those who wait still read by themselves.
        let _ = self.listen_for(socket, self.interest());
    }

    /// Whether bytes wait for the socket has changed, and the reactor listens to it.
    pub(crate) fn register_anew(&self) {
        let Some(socket) = self.socket() else { return };
        // It fails only if it is not registered, and whoever registers it knows the same.
        let _ = self.hub.poller.change(socket, self.token, self.interest());
    }

    /// The reactor hears of no more than the end of what comes by a ring: whatever wakes the socket there would wake it, too.
    fn leave_to_waiters(&self) {
        if !self.has_ring() {
            return self.deregister();
        }
        let Some(socket) = self.socket() else { return };
        self.end_is_told.store(true, SeqCst); // Before it can be told.
        if self.listen_for(socket, Interest::End).is_err() {
            self.rouse();
        }
    }

    /// With a ring it stays registered, for the one or the other.
    fn listen_for(&self, socket: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        let poller = &self.hub.poller;
        match self.has_ring() && poller.change(socket, self.token, interest).is_ok() {
            true => Ok(()),
            false => poller.add(socket, self.token, interest),
        }
    }

    /// The reactor listens to this connection no more.
    fn deregister(&self) {
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
