//! What carries the bytes of a connection: a socket that nobody else can reach, which may become memory that both processes
//! have (`share.rs`), or one on whose way others might be.
//!
//! The last kind begins with a handshake, which is done by whoever reads; until it is over nothing is written but the
//! handshake, and what is sent waits as if there were no socket yet. After it, bytes travel as they are or in records.
//!
//! Deliberately absent: frames (`deploy_wire::inbound`, `outbound`), and when to read and write (`link.rs`).
//!
//! # Nothing lies between
//! Whoever reads hands on everything that opens before it lets go of the receiving half. So a socket with nothing to read
//! means that there is nothing to read, and whoever sleeps on it misses nothing.

mod came;
mod incoming;
mod outgoing;
mod place;

pub(crate) use came::{Came, TORN};
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;
pub(crate) use place::Place;

use crate::share::{Arriving, Leaving, Sharing};
use deploy_sys::stream;
use deploy_wire::{handshake::Handshake, secret::Seal};
use std::os::fd::BorrowedFd;

/// Both directions of a new connection; the one that leaves only if it begins at once.
pub(crate) fn begin(
    socket: BorrowedFd<'_>,
    seal: Option<Seal>,
    sharing: Sharing,
) -> (Incoming, Option<Outgoing>) {
    let Some(seal) = seal else {
        stream::enlarge_send_buffer(socket, SEND_BUFFER_BYTES);
        return (
            Incoming::Pair(Arriving::new(sharing)),
            Some(Outgoing::Pair(Leaving::default())),
        );
    };
    let mut handshake = Handshake::new(seal);
    // Where it fails the connection is broken, and whoever reads finds that.
    let _ = incoming::say(socket, &mut handshake);
    (Incoming::Greeting(Box::new(handshake)), None)
}

/// What we ask the kernel to hold for a socket pair: more than a piece of a long value, so that pieces are written whole.
/// It gives what `net.core.wmem_max` allows. Round trips of 1 MiB take half as long as with its own default. TCP is left
/// alone: there the kernel finds out by itself what a connection needs, and stops doing so when it is told.
const SEND_BUFFER_BYTES: usize = 1 << 20;
