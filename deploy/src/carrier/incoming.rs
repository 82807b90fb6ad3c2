//! How bytes come: over the socket, through a ring, or sealed; and before that, the handshake.
//!
//! Deliberately absent: who reads, and when (`turn.rs`).

use super::{
    came::{Came, came, found, read_into},
    outgoing::Outgoing,
    place::Place,
};
use crate::share::Arriving;
use deploy_sys::{ring::Reader, stream};
use deploy_wire::{
    bytes::Malformed,
    frame::HEADER_BYTES,
    handshake::{Halves, Handshake},
    inbound::Inbound,
    record::Opener,
};
use std::os::fd::BorrowedFd;

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
pub(super) fn say(socket: BorrowedFd<'_>, handshake: &mut Handshake) -> Result<(), Malformed> {
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

/// More than the handshake wants at once.
const GREETING_BYTES_MAX: usize = 128;
