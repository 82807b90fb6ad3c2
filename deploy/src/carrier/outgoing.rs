//! How bytes leave: over the socket, through a ring, or sealed.
//!
//! Deliberately absent: when (`link/sending.rs`).

use crate::share::Leaving;
use deploy_sys::{ring::Writer, stream};
use deploy_wire::{
    frame::HEADER_BYTES,
    record::{RECORD_BYTES_MAX, Sealer},
};
use std::{io, os::fd::BorrowedFd};

/// How bytes leave. It stands with the sending half.
pub(crate) enum Outgoing {
    /// Not yet: they wait.
    Closed,
    Plain,
    /// The same, over a socket pair.
    Pair(Leaving),
    Ring(Box<Writer>),
    Sealed(Box<Sealer>),
}

impl Outgoing {
    /// Whether nothing may be written yet.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Outgoing::Closed)
    }

    /// Whether bytes that were taken wait for the socket.
    pub(crate) fn is_behind(&self) -> bool {
        matches!(self, Outgoing::Sealed(sealer) if !sealer.pending().is_empty())
    }

    /// How many bytes a ring takes at once behind a header; nothing, where it is none.
    pub(crate) fn ring_room(&mut self) -> Option<usize> {
        match self {
            Outgoing::Ring(ring) => {
                // Where the peer lies about that, writing says so.
                let room = ring.room_for(usize::MAX).unwrap_or(usize::MAX);
                Some(room.saturating_sub(HEADER_BYTES))
            }
            _ => None,
        }
    }

    /// Whether a ring has too little room, and its reader will say when there is more.
    pub(crate) fn awaits_room(&mut self) -> bool {
        match self {
            Outgoing::Ring(ring) => ring.await_room(),
            _ => false,
        }
    }

    /// Nobody has used the connection for a while.
    pub(crate) fn handle_rest(&mut self) {
        if let Outgoing::Sealed(sealer) = self {
            sealer.handle_rest();
        }
    }

    /// Takes what fits of one slice and then the other; `WouldBlock` says that nothing does.
    pub(crate) fn write(
        &mut self,
        socket: BorrowedFd<'_>,
        first: &[u8],
        second: &[u8],
    ) -> io::Result<usize> {
        match self {
            Outgoing::Closed => Err(io::ErrorKind::WouldBlock.into()),
            Outgoing::Plain => stream::write(socket, first, second),
            Outgoing::Pair(pair) => {
                let written = pair.write(socket, first, second, write_parts)?;
                if let Some(ring) = pair.take_ring() {
                    *self = Outgoing::Ring(ring);
                }
                Ok(written)
            }
            Outgoing::Ring(ring) => write_ring(socket, ring, first, second),
            Outgoing::Sealed(sealer) => {
                let written = write_pending(socket, sealer)
                    .and_then(|()| seal_and_write(socket, sealer, first, second));
                if written
                    .as_ref()
                    .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
                {
                    sealer.handle_written(sealer.pending().len()); // Nobody will ever read it.
                }
                written.map(|()| first.len() + second.len())
            }
        }
    }
}

/// Writes to the ring, and wakes whoever sleeps at its other end.
fn write_ring(
    socket: BorrowedFd<'_>,
    ring: &mut Writer,
    first: &[u8],
    second: &[u8],
) -> io::Result<usize> {
    let written = ring.write(first, second);
    if written.is_ok() && ring.wake() {
        // Whoever reads finds the peer gone, or the socket closed by the program.
        let _ = stream::ring_bell(socket);
    }
    written
}

/// Writes in parts of what a socket pair holds together best, the first with what stands before it.
fn write_parts(socket: BorrowedFd<'_>, first: &[u8], second: &[u8]) -> io::Result<usize> {
    if second.len() > 2 * PART_BYTES {
        return stream::write(socket, first, second);
    }
    let mut parts = second.chunks(PART_BYTES);
    let part = parts.next().unwrap_or_default();
    let mut written = stream::write(socket, first, part)?;
    let mut wanted = first.len() + part.len();
    for part in parts {
        if written < wanted {
            break;
        }
        wanted += part.len();
        match stream::write(socket, part, &[]) {
            Ok(count) => written += count,
            Err(_) => break, // Whoever writes the rest finds it again.
        }
    }
    Ok(written)
}

/// What was sealed before leaves; `WouldBlock` says that not all of it did.
fn write_pending(socket: BorrowedFd<'_>, sealer: &mut Sealer) -> io::Result<()> {
    while !sealer.pending().is_empty() {
        let written = stream::write(socket, sealer.pending(), &[])?;
        sealer.handle_written(written);
    }
    Ok(())
}

/// Seals everything, since it has to be sealed at some time and copying it instead costs as much; writes as much of it
/// as the socket takes. A payload begins a record, so that at the other end it opens where nothing else lies.
fn seal_and_write(
    socket: BorrowedFd<'_>,
    sealer: &mut Sealer,
    first: &[u8],
    second: &[u8],
) -> io::Result<()> {
    let [first, second] = [first, second].map(|bytes| bytes.chunks(RECORD_BYTES_MAX));
    for bytes in first.chain(second) {
        sealer.queue_record(bytes);
        if sealer.pending().len() >= WRITE_BYTES_MIN {
            match write_pending(socket, sealer) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {} // What did not leave now does with the next record, or when there is room.
            }
        }
    }
    match write_pending(socket, sealer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        written => written,
    }
}

/// The kernel holds what one write to a socket pair brings in parts of its own: pages of at most 32 KiB together, and a
/// short run before them. A write of a header and 32 KiB is just one such run and one such page. One of 64 KiB is cut
/// elsewhere and needs many small ones: a round trip of 64 KiB takes 20 us so, and 17 in these parts.
const PART_BYTES: usize = 32 << 10;

/// What is worth a write while there is more to seal: a record, with the header before it.
const WRITE_BYTES_MIN: usize = RECORD_BYTES_MAX;
