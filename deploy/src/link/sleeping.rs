//! How a thread sleeps for a connection: as its owner on the socket, or as one who listens for the bell.
//!
//! Deliberately absent: whose turn it is (`turn.rs`), and what must be so before one may sleep beside shared memory
//! (`memory.rs`).

use super::{Link, Look, Who};
use crate::{
    turn::{Held, Listening},
    waits::{self, Waiting},
};
use deploy_sys::stream;
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

impl Link {
    /// Sleeps, as the owner on the socket or as a listener for the bell.
    pub(super) fn sleep<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        let _remembered = waiting.map(|waiting| waits::sleeps(self.peer, waiting));
        let mut listening = Listening::new(&self.turn);
        loop {
            let rings = self.turn.rings();
            let listen = match look(Who::Sleeper) {
                Look::Found(found) => return Some(found),
                Look::Something => continue,
                Look::Nothing => false,
                Look::Idle => true,
            };
            let Some(left) = time_left(deadline) else {
                // However short the time was, what is there is read: first may come what is no value.
                return loop {
                    match look(Who::Spinner) {
                        Look::Found(found) => break Some(found),
                        Look::Something => {}
                        Look::Nothing | Look::Idle => break None,
                    }
                };
            };
            let held = self.turn.hold();
            if self.turn.rings() != rings {
                continue;
            }
            if listen || self.turn.has_owner() {
                self.turn.listen(held, left);
                continue;
            }
            drop(listening); // An owner has the socket to wake it, and needs no bell.
            let found = self.own(held, deadline, None, look);
            if found.is_some() {
                return found;
            }
            listening = Listening::new(&self.turn);
        }
    }

    /// Sleeps as the owner if there is none: most often so, and then nobody need be listened for.
    pub(super) fn sleep_alone<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        let held = self.turn.hold();
        match self.turn.has_owner() {
            true => None,
            false => self.own(held, deadline, waiting, look),
        }
    }

    /// Becomes the owner, and leaves again. What it waits for is remembered meanwhile.
    fn own<R>(
        self: &Arc<Link>,
        held: Held<'_>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        self.turn.begin_to_own(held, waiting);
        drop(self.rx()); // Who is reading now is done; whoever comes later finds the owner.
        // What was read may be the peer's word of room, and who read it not have come to this yet: the owner hears no bell.
        self.refill();
        let found = self.read_as_owner(deadline, look);
        self.leave();
        found
    }

    /// Sleeps on the socket and reads, until `look` finds what it looks for, the socket ends, or the deadline.
    fn read_as_owner<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        // As the owner once more before it sleeps: another may have read what it looks for until it was.
        let mut who = Who::Sleeper;
        loop {
            match look(std::mem::replace(&mut who, Who::Owner)) {
                Look::Found(found) => return Some(found),
                Look::Idle => return None,
                Look::Something => continue,
                Look::Nothing => {}
            }
            let left = time_left(deadline)?;
            self.acknowledge_if_owed();
            let socket = self.socket().expect("an owner has a socket");
            let may_read = left.is_none() && !self.is_blocked() && !self.asks();
            if may_read
                && self.end_is_told.load(SeqCst)
                && let Some(bed) = self.bed.get()
            {
                self.sleep_in_bed(bed);
                who = Who::Owner;
                continue;
            }
            if !self.listens() {
                who = Who::Owner;
                continue;
            }
            if may_read && !self.expects_long() {
                who = self.sleep_and_read(socket);
                continue;
            }
            stream::wait(socket, self.is_blocked(), left);
            self.takes_bells(true);
            if self.unblock() {
                who = Who::Sleeper; // It may have waited for just that, and nothing was read.
            }
        }
    }

    /// The owner leaves: the next one wakes first.
    fn leave(self: &Arc<Link>) {
        self.turn.cease_to_own();
        self.turn.mark_used();
        self.attend();
    }
}

/// The time left, `Some(None)` if there is no deadline; nothing when it is over.
fn time_left(deadline: Option<Instant>) -> Option<Option<Duration>> {
    match deadline {
        None => Some(None),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            (!left.is_zero()).then_some(Some(left))
        }
    }
}
