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

use crate::share::{Arriving, Leaving, Sharing};
use deploy_sys::{
    ring::{Reader, Writer},
    stream,
};
use deploy_wire::{
    bytes::Malformed,
    frame::HEADER_BYTES,
    handshake::{Halves, Handshake},
    inbound::Inbound,
    record::{Opener, RECORD_BYTES_MAX, Sealer},
    secret::Seal,
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

/// How bytes come. It stands with the receiving half.
pub(crate) enum Incoming {
    /// The two processes do not know yet that they are who they should be.
    Greeting(Box<Handshake>),
    Plain,
    /// The same, over a socket pair.
    Pair(Arriving),
    Ring(Box<Reader>),
    Sealed(Box<Opener>),
}

/// What a try to read brought.
pub(crate) enum Came {
    Something,
    /// The handshake is over: from now on bytes leave like this.
    Opened(Outgoing),
    /// Nothing yet.
    Nothing,
    /// The end of file; a reset is the same, said by a peer that was killed with bytes unread.
    End,
    /// What the peer does not send, or did not.
    Wrong(Malformed),
}

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
    let _ = say(socket, &mut handshake);
    (Incoming::Greeting(Box::new(handshake)), None)
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
                let room = ring.room_for(usize::MAX).unwrap_or(0);
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
    match &written {
        Ok(_) if ring.take_mark() => {
            // Whoever reads finds the peer gone, or the socket closed by the program.
            let _ = stream::ring_bell(socket);
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => stream::shutdown(socket),
        _ => {}
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

impl Incoming {
    /// Reads once.
    pub(crate) fn read(&mut self, socket: BorrowedFd<'_>, inbound: &mut Inbound) -> Came {
        match self {
            Incoming::Plain => match read_into(socket, inbound.space()) {
                Ok(count) => came(inbound.handle_read(count)),
                Err(other) => other,
            },
            Incoming::Pair(pair) => match found(pair.read(socket, inbound.space())) {
                Ok(count) => came(inbound.handle_read(count)),
                Err(other) => other,
            },
            Incoming::Ring(ring) => match found(ring.read(inbound.space())) {
                Ok(count) => came(inbound.handle_read(count)),
                Err(other) => other,
            },
            Incoming::Greeting(handshake) => {
                let mut bytes = [0; GREETING_BYTES_MAX];
                let wanted = handshake.wanted().min(bytes.len());
                match read_into(socket, &mut bytes[..wanted]) {
                    Ok(count) => self.handle_bytes(socket, &bytes[..count], inbound),
                    Err(other) => other,
                }
            }
            Incoming::Sealed(opener) => {
                let space = match inbound.wants_header() {
                    true => opener.space_for(HEADER_BYTES),
                    false => opener.space(),
                };
                match read_into(socket, space) {
                    Ok(count) => {
                        opener.handle_read(count);
                        came(hand_on(opener, inbound))
                    }
                    Err(other) => other,
                }
            }
        }
    }

    /// Takes bytes that were read from the socket, elsewhere.
    pub(crate) fn handle_bytes(
        &mut self,
        socket: BorrowedFd<'_>,
        bytes: &[u8],
        inbound: &mut Inbound,
    ) -> Came {
        let handshake = match self {
            Incoming::Plain | Incoming::Pair(_) => return came(inbound.handle_bytes(bytes)),
            Incoming::Ring(_) => return Came::Something, // Bells.
            Incoming::Sealed(opener) => {
                opener.handle_bytes(bytes);
                return came(hand_on(opener, inbound));
            }
            Incoming::Greeting(handshake) => handshake,
        };
        let (now, later) = bytes.split_at(bytes.len().min(handshake.wanted()));
        let said = handshake
            .handle_bytes(now)
            .and_then(|()| say(socket, handshake));
        if let Err(malformed) = said {
            return Came::Wrong(malformed);
        }
        if handshake.wanted() > 0 {
            return match later.is_empty() {
                true => Came::Something,
                false => self.handle_bytes(socket, later, inbound),
            };
        }
        let Incoming::Greeting(handshake) = std::mem::replace(self, Incoming::Plain) else {
            unreachable!("it was greeting just now");
        };
        let mut outgoing = Outgoing::Plain;
        if let Halves::Sealed(sealer, opener) = handshake.finish() {
            outgoing = Outgoing::Sealed(sealer);
            *self = Incoming::Sealed(opener);
        }
        match self.handle_bytes(socket, later, inbound) {
            Came::Wrong(malformed) => Came::Wrong(malformed),
            _ => Came::Opened(outgoing),
        }
    }

    /// Reads once, straight to where the bytes belong. What comes beyond them, or does not fill the place, goes the usual
    /// way.
    pub(crate) fn read_direct(
        &mut self,
        socket: BorrowedFd<'_>,
        inbound: &mut Inbound,
        place: &mut Place<'_>,
    ) -> Came {
        let read = match self {
            Incoming::Ring(ring) => place.read_ring(ring),
            Incoming::Pair(pair) if pair.asks() => place.read_short(|part| pair.read(socket, part)),
            Incoming::Sealed(opener) => return read_opened(socket, opener, inbound, place),
            _ => place.read(socket),
        };
        match read {
            Ok(count) => {
                inbound.handle_direct(count);
                Came::Something
            }
            Err(other) => other,
        }
    }

    /// Reads once: a header, and what lies behind it to `place`, where a long value for our receiver `generation` is
    /// expected. If one begins, says of how many bytes; what is none of it goes the usual way.
    pub(crate) fn read_ahead(
        &mut self,
        socket: BorrowedFd<'_>,
        inbound: &mut Inbound,
        generation: u32,
        place: &mut Place<'_>,
    ) -> (Came, Option<u64>) {
        match self {
            Incoming::Plain => {}
            Incoming::Pair(pair) if !pair.asks() => {}
            // In records the payload begins one of its own, and in a ring nothing is gained.
            _ => return (self.read(socket, inbound), None),
        }
        let count = match place.read_behind(socket, inbound.space()) {
            Ok(count) => count,
            Err(other) => return (other, None),
        };
        if count < HEADER_BYTES {
            return (came(inbound.handle_read(count)), None);
        }
        let handled = inbound.handle_ahead(generation, place.put_yet());
        let (total, kept) = match handled {
            Ok(begun) => begun.map_or((None, 0), |(total, kept)| (Some(total), kept)),
            Err(malformed) => return (Came::Wrong(malformed), None),
        };
        place.keep(kept);
        (Came::Something, total)
    }

    /// Nobody has used the connection for a while.
    pub(crate) fn handle_rest(&mut self) {
        if let Incoming::Sealed(opener) = self {
            opener.handle_rest();
        }
    }
}

/// Where bytes of a value belong.
pub(crate) enum Place<'a> {
    /// At the end of it, so many of them; there is room.
    Behind(&'a mut Vec<u8>, usize),
    /// In it, from where so many are there already.
    In(&'a mut [u8], usize),
}

impl Place<'_> {
    /// How many bytes it still takes.
    pub(crate) fn room(&self) -> usize {
        match self {
            Place::Behind(_, room) => *room,
            Place::In(buffer, filled) => buffer.len() - filled,
        }
    }

    fn read(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Came> {
        let count = match self {
            Place::Behind(bytes, room) => found(stream::read_onto(socket, bytes, *room))?,
            Place::In(buffer, filled) => read_into(socket, &mut buffer[*filled..])?,
        };
        self.handle_put(count);
        Ok(count)
    }

    fn read_ring(&mut self, ring: &mut Reader) -> Result<usize, Came> {
        let count = found(match self {
            Place::Behind(bytes, room) => ring.read_onto(bytes, *room),
            Place::In(buffer, filled) => ring.read(&mut buffer[*filled..]),
        })?;
        self.handle_put(count);
        Ok(count)
    }

    /// Reads by `read`, and little: what is read so is copied once more.
    fn read_short(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Result<usize, Came> {
        let mut bytes = [0; SHORT_READ_BYTES];
        let wanted = self.room().min(bytes.len());
        let count = found(read(&mut bytes[..wanted]))?;
        self.put(&bytes[..count]);
        Ok(count)
    }

    /// Reads to `first`, and what follows to this place, which is empty. Returns how much in all.
    fn read_behind(&mut self, socket: BorrowedFd<'_>, first: &mut [u8]) -> Result<usize, Came> {
        let count = match self {
            Place::Behind(bytes, room) => {
                found(stream::read_and_onto(socket, first, bytes, *room))?
            }
            Place::In(buffer, _) => found(stream::read_both(socket, first, buffer))?,
        };
        self.handle_put(count.saturating_sub(first.len()));
        Ok(count)
    }

    /// What was put to this place, which was empty.
    fn put_yet(&self) -> &[u8] {
        match self {
            Place::Behind(bytes, _) => bytes,
            Place::In(buffer, filled) => &buffer[..*filled],
        }
    }

    /// Only the first `count` of these bytes belong here.
    fn keep(&mut self, count: usize) {
        match self {
            Place::Behind(bytes, room) => {
                *room += bytes.len() - count;
                bytes.truncate(count);
            }
            Place::In(_, filled) => *filled = count,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        match self {
            Place::Behind(all, _) => all.extend_from_slice(bytes),
            Place::In(buffer, filled) => buffer[*filled..][..bytes.len()].copy_from_slice(bytes),
        }
        self.handle_put(bytes.len());
    }

    fn handle_put(&mut self, count: usize) {
        match self {
            Place::Behind(_, room) => *room -= count,
            Place::In(_, filled) => *filled += count,
        }
    }
}

/// Reads once, and puts what opens where it belongs; what comes beyond that goes the usual way.
fn read_opened(
    socket: BorrowedFd<'_>,
    opener: &mut Opener,
    inbound: &mut Inbound,
    place: &mut Place<'_>,
) -> Came {
    match read_into(socket, opener.space_for(place.room())) {
        Ok(count) => opener.handle_read(count),
        Err(other) => return other,
    }
    while place.room() > 0 {
        match opener.take(place.room()) {
            Ok(Some(bytes)) => {
                place.put(bytes);
                inbound.handle_direct(bytes.len());
            }
            Ok(None) => return Came::Something,
            Err(malformed) => return Came::Wrong(malformed),
        }
    }
    came(hand_on(opener, inbound))
}

/// Everything that opens goes on to where values are found.
fn hand_on(opener: &mut Opener, inbound: &mut Inbound) -> Result<(), Malformed> {
    while let Some(bytes) = opener.take(usize::MAX)? {
        inbound.handle_bytes(bytes)?;
    }
    Ok(())
}

/// Writes what the handshake has to say: little, and the first on its connection, so a socket takes it whole.
fn say(socket: BorrowedFd<'_>, handshake: &mut Handshake) -> Result<(), Malformed> {
    let Some(bytes) = handshake.poll_transmit() else {
        return Ok(());
    };
    match stream::write(socket, &bytes, &[]) {
        Ok(written) if written < bytes.len() => {
            Err(Malformed("a handshake was cut by a full socket"))
        }
        // A peer that is gone is found by the next read.
        _ => Ok(()),
    }
}

/// Reads what is there, at least one byte.
fn read_into(socket: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Came> {
    found(stream::read(socket, space))
}

fn found(read: io::Result<usize>) -> Result<usize, Came> {
    match read {
        Ok(count @ 1..) => Ok(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Came::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Came::Wrong(Malformed("shared memory says what cannot be")))
        }
        _ => Err(Came::End),
    }
}

fn came(handled: Result<(), Malformed>) -> Came {
    match handled {
        Ok(()) => Came::Something,
        Err(malformed) => Came::Wrong(malformed),
    }
}

/// What we ask the kernel to hold for a socket pair: more than a piece of a long value, so that pieces are written whole.
/// It gives what `net.core.wmem_max` allows. Round trips of 1 MiB take half as long as with its own default. TCP is left
/// alone: there the kernel finds out by itself what a connection needs, and stops doing so when it is told.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// The kernel holds what one write to a socket pair brings in parts of its own: pages of at most 32 KiB together, and a
/// short run before them. A write of a header and 32 KiB is just one such run and one such page. One of 64 KiB is cut
/// elsewhere and needs many small ones: a round trip of 64 KiB takes 20 us so, and 17 in these parts.
const PART_BYTES: usize = 32 << 10;

/// What is worth a write while there is more to seal: a record, with the header before it.
const WRITE_BYTES_MIN: usize = RECORD_BYTES_MAX;

/// While a descriptor may come, which is not for long.
const SHORT_READ_BYTES: usize = 4 << 10;

/// More than the handshake wants at once.
const GREETING_BYTES_MAX: usize = 128;
