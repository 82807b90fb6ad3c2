//! How a thread waits for something of a connection: it looks, spins, and then sleeps (`sleeping.rs`).
//!
//! An answer that comes within 50 us is not worth a sleep, which costs 60 to 120 us where idle processors halt. Where
//! spinning does not pay (no processor is free), it soon stops trying.
//!
//! Deliberately absent: what is looked for, and tasks, which have a seat instead (`seat.rs`).

use super::{Link, Look, Read, Who};
use crate::{spin::SPIN, waits::Waiting};
use std::{sync::Arc, time::Instant};

impl Link {
    /// Blocks until `ready`, which does not read, finds what it looks for, or until the deadline. A wait without one is
    /// remembered as `waiting`.
    pub(crate) fn wait_until<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        ready: impl FnMut() -> Look<R>,
    ) -> Option<R> {
        self.wait_reading(deadline, waiting, ready, |who| self.read_as(who).into())
    }

    /// The same, where whoever waits reads by `read`, which may find what it looks for by itself.
    #[inline]
    pub(crate) fn wait_reading<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        mut ready: impl FnMut() -> Look<R>,
        read: impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        match ready() {
            Look::Found(found) => Some(found), // Most often, where many values come.
            _ => self.read_until(deadline, waiting, ready, read),
        }
    }

    #[inline(never)]
    fn read_until<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        mut ready: impl FnMut() -> Look<R>,
        mut read: impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        let mut looked_at = self.reads();
        self.wait(deadline, waiting, |who| {
            // Another thread may have read what this one looks for; while it spins, only such a thread can bring it.
            let reads = self.reads();
            if who == Who::Sleeper || reads != looked_at {
                looked_at = reads;
                match ready() {
                    Look::Nothing => {}
                    look => return look,
                }
            }
            match read(who) {
                Look::Something => match ready() {
                    Look::Nothing => Look::Something,
                    look => look,
                },
                look => look,
            }
        })
    }

    /// Reads once, unless the thread is about to sleep on the socket, which tells it of what is there to read.
    pub(crate) fn read_as(self: &Arc<Link>, who: Who) -> Read {
        match who {
            Who::Spinner => self.read(false),
            Who::Owner => self.read(true),
            Who::Sleeper if self.socket().is_none() || self.has_ended() => Read::Idle,
            Who::Sleeper => Read::Nothing,
        }
    }

    /// Blocks until `look`, which reads the socket too, finds what it looks for, or until the deadline. It is told
    /// as whom it looks.
    pub(crate) fn wait<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        waiting: Option<Waiting>,
        mut look: impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        self.hub.flush();
        self.lease();
        if let Some(found) = self.spin(deadline, &mut look) {
            return Some(found);
        }
        self.acknowledge_if_owed();
        let waiting = waiting.filter(|_| deadline.is_none());
        match self.sleep_alone(deadline, waiting, &mut look) {
            Some(found) => Some(found),
            None => self.sleep(deadline, waiting, &mut look),
        }
    }

    /// Looks again and again for a short while, where that has paid lately.
    fn spin<R>(
        self: &Arc<Link>,
        deadline: Option<Instant>,
        look: &mut impl FnMut(Who) -> Look<R>,
    ) -> Option<R> {
        if self.turn.has_owner() || !self.hub.spin.pays() {
            return None;
        }
        let start = Instant::now();
        let end = start + SPIN + self.peers_work();
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        loop {
            match look(Who::Spinner) {
                Look::Found(found) => {
                    self.hub.spin.handle_won();
                    return Some(found);
                }
                Look::Something => {}
                Look::Nothing => std::hint::spin_loop(),
                Look::Idle => return None,
            }
            if Instant::now() >= end {
                self.hub.spin.handle_lost();
                return None;
            }
        }
    }
}
