//! What is different for a connection whose bytes come or leave through memory that both processes have.
//!
//! Deliberately absent: how it comes to that (`share.rs`), and the ring itself (`deploy_sys::ring`).
//!
//! # Why nobody sleeps for ever
//! A socket is readable for as long as something lies in it, whoever looked. A ring is silent: its writer rings a bell, a
//! byte over the socket, only where it finds the mark of a reader that sleeps. So whoever leaves a ring alone must have
//! left that mark and found the ring empty behind it ([`Link::listens`]); then what comes next makes the socket readable,
//! and all that was true of a socket is true again. There are two who leave it:
//! - The owner, before it sleeps on the socket, each time. Where nothing but the ring can bring what it waits for, it sleeps on
//!   its own mark in the ring instead, in its bed ([`Link::sleep_in_bed`]), which is woken for half the price. There it does
//!   not find the end of the socket. So the reactor must be told of that (`end_is_told`, see `lease.rs`), and rouses it then;
//!   and whoever lies down looks whether it still is so behind the mark, which is what the reactor takes behind saying that it
//!   is no more. Who was roused sleeps on the socket, and finds the end.
//! - The reactor, when it listens for nobody: after it took the connection back (so [`Link::take_back`] does it, whichever
//!   thread that is), and after each bell ([`Link::drain`]). Only these two take bells from the socket. Whoever else looks
//!   (a thread that spins, a `try_recv`) reads the ring alone, and may leave something in it: it is either going to sleep
//!   as the owner, or has the connection leased, which the reactor takes back in a tick, or a bell still lies in the socket
//!   for the reactor, since there was a mark when that something came.
//!
//! A writer that lacks room first says so here (`starved`), then leaves its mark, then looks again. The reader that takes
//! the mark sends an `Ack`, which is read like any frame; whoever reads anything tries to write again ([`Link::refill`]).
//! A thread that has read it may be slow to come to that, and an owner hears no bell: so it tries, too, before it sleeps.
//! Where that `Ack` itself finds no room, the other ring is full of what is going to be read.

use super::{Link, Read, Rx, Tx, Who};
use crate::{
    carrier::{Came, Incoming, Outgoing},
    share::Saying,
};
use deploy_sys::{
    ring::{Bed, Reader},
    stream,
};
use deploy_wire::{bytes::Malformed, frame::Memory};
use std::{
    io,
    sync::{
        Arc, PoisonError,
        atomic::{Ordering::*, fence},
    },
};

impl Link {
    /// Whether one may sleep on the socket: what comes from now on makes it readable. Otherwise there is something to read.
    pub(crate) fn listens(self: &Arc<Link>) -> bool {
        if !self.has_ring() {
            return true;
        }
        let mut rx = self.rx();
        let ring = rx.ring();
        let (listens, is_writer_told) = (ring.listen(), ring.take_mark());
        drop(rx);
        if is_writer_told {
            self.acknowledge();
        }
        listens
    }

    /// Sleeps, as the owner, until something comes through the ring or the socket has ended; or, rarely, for a shorter time.
    pub(super) fn sleep_in_bed(self: &Arc<Link>, bed: &Bed) {
        let (may_sleep, is_writer_told) = {
            let mut rx = self.rx();
            let ring = rx.ring();
            (ring.lie_down(), ring.take_mark())
        };
        if is_writer_told {
            self.acknowledge();
        }
        if may_sleep && self.end_is_told.load(SeqCst) {
            bed.sleep();
        }
    }

    /// An owner that sleeps in its bed looks at the socket: that may have ended.
    pub(crate) fn rouse(&self) {
        if self.end_is_told.swap(false, SeqCst)
            && let Some(bed) = self.bed.get()
        {
            bed.rouse();
        }
    }

    /// Reads all that is there, and leaves the connection to the reactor's poller: what comes from now on is told there. A
    /// peer that never stops is heard on in a tick, so that it keeps nobody else from being heard.
    pub(crate) fn drain(self: &Arc<Link>) {
        for _ in 0..READS_AT_ONCE_MAX {
            if self.read(false) != Read::Something && self.is_quiet() {
                return;
            }
        }
        self.attend();
    }

    /// Whether nothing is there to be read, and what comes from now on makes the socket readable.
    pub(crate) fn is_quiet(self: &Arc<Link>) -> bool {
        self.turn.has_owner() || self.has_ended() || (self.listens() && self.takes_bells(false))
    }

    /// Takes the bells that rang. Says whether there were none, nor an end: otherwise one looks again. While an owner sleeps
    /// they are the owner's.
    pub(crate) fn takes_bells(self: &Arc<Link>, as_owner: bool) -> bool {
        let Some(socket) = self.socket().filter(|_| self.has_ring()) else {
            return true;
        };
        let rx = self.rx();
        if self.turn.has_owner() && !as_owner {
            return true;
        }
        let rung = stream::read_bells(socket);
        drop(rx);
        match rung {
            Ok(1..) => false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            _ => {
                self.handle_end();
                false
            }
        }
    }

    /// The socket has ended. What lies in a ring comes before the end; says as whom to look next.
    pub(crate) fn handle_end(self: &Arc<Link>) -> Who {
        let rx = self.rx();
        match &rx.way {
            Incoming::Ring(ring) if !ring.is_empty() => Who::Owner,
            _ => {
                self.handle_came(rx, Came::End);
                Who::Sleeper
            }
        }
    }

    /// How long a piece may be: as much as a ring takes at once, as far as that is worth a frame, and none where its reader
    /// will say when there is more; where there is no ring, about what the socket takes.
    pub(crate) fn room_at_once(&self, tx: &mut Tx) -> usize {
        match tx.way.ring_room() {
            None => tx.piece_bytes_max(),
            Some(_) if self.is_starved() || self.starves(tx) => 0,
            Some(room) => room,
        }
    }

    /// Whether the ring has too little room, and its reader will say when there is more.
    pub(super) fn starves(&self, tx: &mut Tx) -> bool {
        self.starved.store(true, SeqCst); // Before the mark: whoever is told of room looks at this.
        let starves = tx.way.awaits_room();
        if !starves {
            self.starved.store(false, SeqCst);
        }
        starves
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved.load(SeqCst)
    }

    /// Where the ring had too little room: writes what waits if there is enough by now, and tells those who wait for that.
    pub(crate) fn refill(self: &Arc<Link>) -> bool {
        if !self.is_starved() {
            return false;
        }
        fence(SeqCst); // What was read just now may have made room for the peer's word of room here: either sees the other's.
        let mut tx = self.tx();
        if !self.is_starved() || self.starves(&mut tx) {
            return false;
        }
        self.flush(&mut tx);
        drop(tx);
        self.turn.ring();
        true
    }

    /// After reading: goes over to a ring where both ends are ready, and says what that needs. Says whether the sending half
    /// has something to say then ([`Link::speak`]): of this, or of room that was made for the peer.
    pub(super) fn handle_memory(self: &Arc<Link>, rx: &mut Rx) -> bool {
        match &mut rx.way {
            Incoming::Ring(ring) => ring.take_mark(),
            Incoming::Pair(pair) => {
                let mut is_said = false;
                let entered = pair.handle_read(&mut rx.inbound, &self.hub.windows, |saying| {
                    is_said = true;
                    self.have_said(saying);
                });
                self.asks.store(pair.asks(), SeqCst);
                match entered {
                    Err(malformed) => self.handle_violation(malformed),
                    Ok(None) => {}
                    Ok(Some(ring)) => {
                        let bed = self.bed.set(ring.bed());
                        bed.expect("a connection has one ring for what comes");
                        rx.way = Incoming::Ring(ring);
                        self.attend(); // Bells may have been read as if they were bytes.
                    }
                }
                is_said
            }
            _ => {
                if rx.inbound.take_memory().is_some() {
                    self.handle_violation(Malformed("memory is shared by a socket pair only"));
                }
                false
            }
        }
    }

    pub(super) fn have_said(&self, saying: Saying) {
        let mut sayings = self.sayings.lock().unwrap_or_else(PoisonError::into_inner);
        sayings.push_back(saying);
    }

    /// Says what the receiving half would have said, or no more than that it is there.
    pub(super) fn speak(self: &Arc<Link>) {
        let mut tx = self.tx();
        self.say(&mut tx);
        tx.out.queue_ack();
        self.flush(&mut tx);
    }

    /// Queues what is to be said of shared memory, once bytes may leave.
    pub(super) fn say(&self, tx: &mut Tx) {
        if tx.way.is_closed() {
            return;
        }
        let next = || {
            let mut sayings = self.sayings.lock().unwrap_or_else(PoisonError::into_inner);
            sayings.pop_front()
        };
        while let (Some(saying), Outgoing::Pair(pair)) = (next(), &mut tx.way) {
            match saying {
                Saying::Asked => tx.out.queue_memory(Memory::Asked),
                Saying::Given(file) => {
                    pair.give(file);
                    tx.out.queue_memory(Memory::Given);
                }
                Saying::Entered(ring) => {
                    tx.out.queue_memory(Memory::Entered);
                    pair.enter(tx.out.pending(), ring);
                }
            }
        }
    }
}

impl Rx {
    /// The ring, where what comes lies in one.
    fn ring(&mut self) -> &mut Reader {
        match &mut self.way {
            Incoming::Ring(ring) => ring,
            _ => unreachable!("a ring is never left"),
        }
    }
}

/// More than a window takes in the shortest reads that a stream has, so that only a peer without manners is ever put off.
const READS_AT_ONCE_MAX: u32 = 1024;
