//! How a connection ends, as its two ends learn it: the peer's process, its receivers, or the connection itself.
//!
//! The first word of each kind stands. Deliberately absent: bytes.

use super::{Link, Look};
use crate::error::{ChannelError, Lost};
use deploy_sys::{fork, stream};
use deploy_wire::{bytes::Malformed, exit::ExitStatus, frame::Stop, inbound::Inbound};
use std::{
    sync::{Arc, PoisonError, atomic::Ordering::*},
    time::{Duration, Instant},
};

impl Link {
    /// The monitor says how the peer ended.
    pub(crate) fn handle_fate(&self, fate: Option<ExitStatus>) {
        // The first word stands: a process ends once.
        let _ = self.fate.set(fate);
        if self.socket.get().is_none() {
            self.ended.store(true, SeqCst);
        }
        self.turn.ring();
    }

    /// Whether the peer's end is known.
    pub(crate) fn has_fate(&self) -> bool {
        self.fate.get().is_some()
    }

    /// Whether nothing more comes and nothing more leaves.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(SeqCst) || fork::happened()
    }

    /// Whether the peer's process has ended, how is known, and nothing that it sent waits for a receiver that has it or
    /// will be made.
    pub(crate) fn is_over(&self) -> bool {
        let gone = self.has_ended() && self.has_fate();
        if !gone || self.tx().sender {
            return false;
        }
        let rx = self.rx();
        !rx.receiver && !rx.long && rx.inbound.is_spent(rx.generation)
    }

    /// Why the connection ended, where it was not by the end of the peer's process.
    pub(crate) fn lost(&self) -> Option<&Lost> {
        self.lost.get()
    }

    /// Whether nothing more comes and nobody has said why.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.has_ended() && self.fate.get().is_none() && self.lost.get().is_none()
    }

    /// Whether it ended before the peer had everything up to `sequence`, which is not known to have ended itself.
    pub(crate) fn is_cut_before(&self, sequence: u64) -> bool {
        let has_all = self.is_delivered() || self.is_acknowledged(sequence);
        self.has_ended() && !self.has_fate() && !has_all
    }

    /// Whether it ended because this process's program closed its socket.
    pub(crate) fn was_closed_here(&self) -> bool {
        matches!(self.lost.get(), Some(Lost::OwnDescriptor))
    }

    /// Whether the number of the socket is none any more, or a file's of the user's.
    pub(crate) fn has_lost_its_number(&self) -> bool {
        self.socket()
            .is_some_and(|socket| !stream::is_socket(socket))
    }

    /// The peer lives, and yet nothing more comes from it.
    pub(crate) fn handle_severed(&self) {
        if self.is_doubtful() {
            self.handle_lost(match self.keeps.load(Relaxed) {
                true => Lost::Severed,
                false => Lost::Broken,
            });
        }
    }

    /// The network to the peer's node is cut: what has come by now is all, and whoever reads finds the end behind it.
    pub(crate) fn handle_cut(&self) {
        self.handle_parted(Lost::Cut);
        self.shut_down();
        if self.socket().is_none() {
            self.handle_lost(Lost::Cut);
        }
    }

    /// The way by the master broke, or the peer has found the end: it comes here, too, behind what has come by now.
    pub(crate) fn handle_broken(&self) {
        self.handle_parted(Lost::Broken);
        match self.socket() {
            // What the monitor relays ends by itself, behind what it still has.
            Some(socket) if !self.keeps.load(Relaxed) && stream::is_tcp(socket) => {
                stream::shutdown(socket)
            }
            // Where the program closed the number, nobody is told of the end by the socket.
            Some(_) => self.rouse(),
            None => self.handle_lost(Lost::Broken),
        }
    }

    fn handle_parted(&self, why: Lost) {
        // Locked, so that who reads the end finds either this or that the end was read before.
        let rx = self.rx();
        let _ = self.parted.set(why.clone()); // The first word says it all.
        drop(rx);
        if self.is_doubtful() {
            self.handle_lost(why);
        }
    }

    /// The connection is gone, and this is why.
    pub(crate) fn handle_lost(&self, why: Lost) {
        // The first word says it all.
        let _ = self.lost.set(why);
        self.ended.store(true, SeqCst);
        self.turn.ring();
    }

    /// The peer sent what this library does not send: the connection ends here, and there.
    pub(crate) fn handle_violation(&self, malformed: Malformed) {
        self.break_off(malformed);
        self.ended.store(true, SeqCst);
    }

    /// The same, where it is found by who writes: whoever reads finds the end, and tells those who wait.
    pub(super) fn break_off(&self, malformed: Malformed) {
        // Before anybody hears of it: whoever then drops a sender must not end it there as if all were well.
        self.shut_down();
        // The first one says it all.
        let _ = self.lost.set(Lost::Protocol(malformed.0.to_string()));
    }

    /// One of the peer's receivers takes no more: our senders must know.
    pub(super) fn hear_stop(&self, inbound: &Inbound) {
        let Some((generation, stop, expected)) = inbound.stopped() else {
            return;
        };
        if *generation > self.stopped.load(Acquire) {
            *self.stop.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((*stop, expected.clone()));
            self.stopped.store(*generation, SeqCst);
        }
    }

    /// Whether values of our sender `generation` still leave, and somebody may take them.
    #[inline]
    pub(crate) fn takes(&self, generation: u32) -> bool {
        self.stopped.load(Acquire) < generation && !self.has_ended()
    }

    /// Why the receiver that belongs to our sender `generation` takes no more, if so, and the type it expected.
    pub(crate) fn stopped(&self, generation: u32) -> Option<(Stop, String)> {
        match self.stopped.load(Acquire) {
            stopped if stopped < generation => None,
            stopped if stopped > generation => Some((Stop::Dropped, String::new())),
            _ => self
                .stop
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// How the peer ended, once nothing more comes from it and it is known.
    pub(crate) fn end(&self) -> Option<ChannelError> {
        if let Some(error) = end_of_fork() {
            return Some(error);
        }
        // Looked at first: what was lost is said before the connection or its peer ends.
        let fate = self.has_ended().then(|| self.fate_error());
        match self.lost() {
            Some(why) => Some(ChannelError::Lost(why.clone())),
            None => fate.flatten(),
        }
    }

    /// How the peer ended, once that is known.
    pub(crate) fn fate_error(&self) -> Option<ChannelError> {
        Some(match self.fate.get()? {
            Some(status) => ChannelError::Exited(*status),
            None => ChannelError::Lost(Lost::Unknown),
        })
    }

    /// What to say of a peer that dropped its end in a panic: how its process ended, if it does so within a second of
    /// when that was first found. Blocks for as long.
    pub(crate) fn end_after_panic(self: &Arc<Link>) -> ChannelError {
        let over = self.panic_noticed() + PANIC_GRACE;
        let fate = self.wait_until(Some(over), None, || Look::of(self.fate_error()));
        fate.unwrap_or(ChannelError::Lost(Lost::Panicked))
    }

    /// The same, but for no longer than until the deadline: nothing, if it is not known then.
    pub(crate) fn end_after_panic_until(
        self: &Arc<Link>,
        deadline: Option<Instant>,
    ) -> Option<ChannelError> {
        let over = self.panic_noticed() + PANIC_GRACE;
        if deadline.is_none_or(|deadline| deadline >= over) {
            return Some(self.end_after_panic());
        }
        self.wait_until(deadline, None, || Look::of(self.fate_error()))
    }

    /// The same without blocking: nothing until it is known, and then the bell rings.
    pub(crate) fn look_end_after_panic(self: &Arc<Link>) -> Option<ChannelError> {
        let over = self.panic_noticed() + PANIC_GRACE;
        let lost = || (Instant::now() >= over).then_some(ChannelError::Lost(Lost::Panicked));
        self.fate_error().or_else(lost)
    }

    /// When it was first found that the peer had dropped an end in a panic: now, if it was not. The bell rings when the
    /// time for its process to end is over.
    fn panic_noticed(self: &Arc<Link>) -> Instant {
        let mut noticed = self
            .panic_noticed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *noticed.get_or_insert_with(|| {
            let now = Instant::now();
            self.hub.set_alarm(now + PANIC_GRACE, self.clone());
            now
        })
    }

    /// A new end of a channel is made here: the panic of one before is nothing to it.
    pub(crate) fn forget_panic(&self) {
        *self
            .panic_noticed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// In a child that the program forked: what every use of a channel says. It is asked before any lock is taken, which a
/// thread may hold that is not there.
pub(crate) fn end_of_fork() -> Option<ChannelError> {
    fork::happened().then_some(ChannelError::Lost(Lost::Forked))
}

/// How long the end of a process may follow its panic.
const PANIC_GRACE: Duration = Duration::from_secs(1);
