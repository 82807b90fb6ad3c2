//! The receiving half of a connection: reading, and what is done at once with what was read.
//!
//! Whoever reads takes in what concerns others too, and rings the bell for them: acknowledgements and limits for those who
//! send, stops, the end.
//!
//! Deliberately absent: whose turn it is to read (`turn.rs`), and values, which receivers take from the window.

use super::{Link, Read, Who};
use crate::{
    carrier::{Came, Incoming},
    error::Lost,
};
use deploy_sys::stream;
use deploy_wire::{frame::Stop, inbound::Inbound};
use std::{
    io,
    os::fd::BorrowedFd,
    sync::{Arc, MutexGuard, atomic::Ordering::*},
    time::{Duration, Instant},
};

/// The receiving half.
pub(crate) struct Rx {
    pub(crate) inbound: Inbound,
    /// How its bytes come.
    pub(crate) way: Incoming,
    /// Whether there is a `Receiver`.
    pub(crate) receiver: bool,
    /// The current or latest receiver, counted from 1.
    pub(crate) generation: u32,
    /// Whether a long value is being received, by one caller alone.
    pub(crate) long: bool,
    /// Whether values were taken of which the sending half does not know yet.
    pub(super) unsettled: bool,
}

impl Rx {
    pub(super) fn new() -> Rx {
        Rx {
            inbound: Inbound::new(),
            way: Incoming::Plain,
            receiver: false,
            generation: 0,
            long: false,
            unsettled: false,
        }
    }
}

impl Link {
    /// Reads once and does at once what must not wait for a user: acknowledgements, limits, stops. While an owner
    /// sleeps on the socket only the owner reads.
    pub(crate) fn read(self: &Arc<Link>, as_owner: bool) -> Read {
        self.read_by(as_owner, |rx, socket| rx.way.read(socket, &mut rx.inbound))
    }

    /// The same, by `read`.
    pub(crate) fn read_by(
        self: &Arc<Link>,
        as_owner: bool,
        read: impl FnOnce(&mut Rx, BorrowedFd<'_>) -> Came,
    ) -> Read {
        let mut guard = self.rx();
        let Some(socket) = self.socket().filter(|_| !self.has_ended()) else {
            return Read::Idle;
        };
        if self.turn.has_owner() && !as_owner {
            return Read::Nothing;
        }
        let came = read(&mut guard, socket);
        self.handle_came(guard, came)
    }

    /// Sleeps on the socket, as its owner, until there is something, and reads it: one system call instead of two.
    /// Says as whom to look next: where more may be there to read, as the owner.
    pub(crate) fn sleep_and_read(self: &Arc<Link>, socket: BorrowedFd<'_>) -> Who {
        let mut bytes = [0; SHORT_READ_BYTES];
        match stream::read_blocking(socket, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(1..) if self.has_ring() => return Who::Owner, // A bell.
            Ok(count @ 1..) => {
                let mut guard = self.rx();
                let rx = &mut *guard;
                let came = rx
                    .way
                    .handle_bytes(socket, &bytes[..count], &mut rx.inbound);
                self.handle_came(guard, came);
                if count == bytes.len() {
                    return Who::Owner;
                }
            }
            _ => return self.handle_end(),
        }
        Who::Sleeper
    }

    /// What a read brought is told to whom it concerns.
    pub(crate) fn handle_came(self: &Arc<Link>, mut rx: MutexGuard<'_, Rx>, came: Came) -> Read {
        let is_end = matches!(came, Came::End);
        let mut opened = None;
        match came {
            Came::Nothing => {
                drop(rx);
                return match self.refill() {
                    true => Read::Something,
                    false => Read::Nothing,
                };
            }
            Came::Something => {}
            Came::Opened(outgoing) => opened = Some(outgoing),
            Came::End => {
                if self
                    .socket()
                    .is_some_and(|socket| !stream::is_socket(socket))
                {
                    let _ = self.lost.set(Lost::OwnDescriptor); // Unless a word came first.
                }
                if let Some(why) = self.parted.get() {
                    // Also where the peer, which was told the same, has ended since: what it had sent is lost.
                    let _ = self.lost.set(why.clone());
                }
                self.ended.store(true, SeqCst);
            }
            Came::Wrong(malformed) => self.handle_violation(malformed),
        }
        let is_writer_told = self.handle_memory(&mut rx);
        self.hear_stop(&rx.inbound);
        self.expects_long.store(rx.inbound.expects_long(), Relaxed);
        self.reads.store(self.reads() + 1, Release);
        self.settle(rx);
        if is_writer_told {
            self.speak();
        }
        self.refill();
        match opened {
            Some(outgoing) => self.open(outgoing), // Which rings.
            None => self.turn.ring(),
        }
        if is_end && self.is_doubtful() {
            self.hub
                .set_alarm(Instant::now() + DOUBT_AFTER, self.clone());
        }
        Read::Something
    }

    /// Our receiver `generation` takes no more.
    pub(crate) fn stop_receiver(self: &Arc<Link>, generation: u32, stop: Stop, expected: &str) {
        let mut rx = self.rx();
        if let Err(malformed) = rx.inbound.handle_forsaken(generation) {
            self.handle_violation(malformed);
        }
        self.settle(rx);
        let mut tx = self.tx();
        tx.out.queue_stop(generation, stop, expected);
        self.flush(&mut tx);
    }
}

/// What a thread that sleeps reads as it wakes: a short message. Of a longer one the rest is read where it belongs.
const SHORT_READ_BYTES: usize = 1 << 10;

/// How long the end of a process may follow the end of its bytes before the monitor is asked about it: it comes some
/// 50 us later, or, where a process is slow to end, some milliseconds.
const DOUBT_AFTER: Duration = Duration::from_secs(1);
