//! A value that is longer than a frame, received while it arrives: by the caller's thread or by a helper's, never held
//! twice. While it is being received nobody else takes from its connection.

use crate::{
    carrier::{Came, Place},
    codec::{self, Bulk, CodecError},
    error::{ChannelError, Lost},
    link::{Link, Look, Read, Rx, Who},
};
use deploy_wire::{frame::LENGTH_UNKNOWN, inbound::Piece};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    hint,
    io::{self, BufReader, Read as _},
    os::fd::BorrowedFd,
    sync::Arc,
    time::{Duration, Instant},
};

/// The right to take from a connection while a long value arrives on it. Until it is dropped, nobody else takes.
pub(crate) struct Claim(pub(crate) Arc<Link>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.rx().long = false;
        self.0.turn.ring();
    }
}

/// Receives the long value that was found, and of which the first bytes may be there. Nothing, if its sender took it back.
/// Blocks until it has arrived.
pub(crate) fn receive<T: Serialize + DeserializeOwned + Send + 'static>(
    claim: &Claim,
    generation: u32,
    total: u64,
    begun: Option<Bulk>,
) -> Option<Result<T, ChannelError>> {
    let link = &claim.0;
    let mut pieces = Pieces {
        link,
        generation,
        state: State::Coming,
    };
    let value = match room_for::<T>(total, begun) {
        Some(room) => room.and_then(|room| pieces.read_bulk(room).into_value()),
        None => pieces.decode(),
    };
    match std::mem::replace(&mut pieces.state, State::Over) {
        State::Coming => pieces.state = State::Coming, // The rest is nobody's.
        State::Over => {}
        State::TakenBack => return None,
        State::Lost(error) => return Some(Err(error)),
    }
    Some(value.map_err(ChannelError::Codec))
}

/// Room for a value of so many bytes, if its type goes as it lies in memory, with those that are there.
fn room_for<T: 'static>(total: u64, begun: Option<Bulk>) -> Option<Result<Bulk, CodecError>> {
    // Such a value tells its length before it comes; one that does not has lost its peer meanwhile, or is none.
    let expected = if total == LENGTH_UNKNOWN { 0 } else { total };
    let Some(mut begun) = begun else {
        return Bulk::with_room::<T>(expected);
    };
    let there = begun.filled();
    if (there.len() + begun.left()) as u64 == total {
        return Some(Ok(begun)); // As long as expected.
    }
    let mut room = Bulk::with_room::<T>(expected);
    if let Some(Ok(room)) = &mut room {
        room.append(begun.filled());
    }
    room
}

/// Room for a long value that is expected, which stays until one comes. None where there is no memory, or no such values.
pub(crate) fn room<T: 'static>(expected: usize, room: &mut Option<Bulk>) -> Option<&mut Bulk> {
    if room.as_ref().is_none_or(|room| room.left() != expected) {
        *room = Bulk::with_room::<T>(expected as u64)?.ok();
    }
    room.as_mut()
}

/// What arrives of one value.
struct Pieces<'a> {
    link: &'a Arc<Link>,
    generation: u32,
    state: State,
}

enum State {
    /// More of it is to come.
    Coming,
    /// It arrived wholly.
    Over,
    /// Its sender took it back.
    TakenBack,
    /// The connection ended before.
    Lost(ChannelError),
}

impl Pieces<'_> {
    fn decode<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut reader = BufReader::with_capacity(BLOCK_BYTES, &mut *self);
        let value = codec::decode_from(&mut reader)?;
        match reader.read(&mut [0]) {
            Ok(0) => Ok(value),
            _ => Err("the value ends before its bytes do".to_string()),
        }
    }

    /// The bytes of the value, read straight to where they belong. Each wait is for some of them: a value may take longer
    /// to come than a thread spins, and still never keep it waiting.
    fn read_bulk(&mut self, mut room: Bulk) -> Bulk {
        let mut step = |who| self.link.read_long(self.generation, &mut room, who);
        self.state = loop {
            match step(Who::Spinner) {
                Look::Something => continue, // The rest of what woke us, most often.
                Look::Found(state) => break state,
                Look::Nothing | Look::Idle => {}
            }
            let some = self.link.wait(None, None, |who| match step(who) {
                Look::Something => Look::Found(None),
                Look::Found(state) => Look::Found(Some(state)),
                Look::Nothing => {
                    if who == Who::Spinner && !self.link.has_ring() {
                        give_room();
                    }
                    Look::Nothing
                }
                Look::Idle => Look::Idle,
            });
            if let Some(state) = some.expect("a wait without deadline finds something") {
                break state;
            }
        };
        room
    }

    fn read_piece(&mut self, buffer: &mut [u8]) -> usize {
        let (link, generation) = (self.link, self.generation);
        let found = link.wait_until(None, None, || {
            let mut rx = link.rx();
            let found = match rx.inbound.take_piece(generation, buffer.len()) {
                Ok(Piece::Bytes(bytes)) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    Some(Ok(bytes.len()))
                }
                other => end_of(link, other).map(Err),
            };
            link.settle(rx);
            Look::of(found)
        });
        match found.expect("a wait without deadline finds something") {
            Ok(count) => count,
            Err(state) => {
                self.state = state;
                0
            }
        }
    }
}

impl io::Read for &mut Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Coming => Ok(self.read_piece(buffer)),
            _ => Ok(0),
        }
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        if !matches!(self.state, State::Coming) {
            return;
        }
        // A decoder that failed, or panicked, left the rest, which its sender wants to be rid of.
        let mut rx = self.link.rx();
        if let Err(malformed) = rx.inbound.abandon_long() {
            self.link.handle_violation(malformed);
        }
        self.link.settle(rx);
    }
}

impl Link {
    /// One step of a long value into its room: what had arrived is copied, and what had not is read to its place.
    fn read_long(self: &Arc<Link>, generation: u32, room: &mut Bulk, who: Who) -> Look<State> {
        let mut guard = self.rx();
        let rx = &mut *guard;
        match rx.inbound.take_piece(generation, usize::MAX) {
            Ok(Piece::Bytes(piece)) => room.append(piece),
            Ok(Piece::Direct(count)) if count <= room.left() => {
                let Some(socket) = self.socket().filter(|_| !self.has_ended()) else {
                    drop(guard);
                    return self.read_more(who);
                };
                if who == Who::Sleeper || (self.turn.has_owner() && who != Who::Owner) {
                    return Look::Nothing;
                }
                let came = read_into(socket, rx, room, count);
                return match self.handle_came(guard, came) {
                    Read::Nothing => Look::Nothing,
                    _ => Look::Something,
                };
            }
            Ok(Piece::Pending | Piece::Direct(_)) => {
                drop(guard);
                return self.read_more(who);
            }
            other => {
                let Some(state) = end_of(self, other) else {
                    drop(guard);
                    return self.read_more(who);
                };
                self.settle(guard);
                return Look::Found(state);
            }
        }
        self.settle(guard);
        Look::Something
    }

    /// Reads the next header, or finds that nothing more comes.
    fn read_more(self: &Arc<Link>, who: Who) -> Look<State> {
        match self.read_as(who) {
            Read::Something => Look::Something,
            Read::Nothing => Look::Nothing,
            Read::Idle => match self.end() {
                Some(error) => Look::Found(State::Lost(error)),
                None => Look::Idle,
            },
        }
    }
}

/// Reads at most so many bytes, for which there is room, to where they belong.
fn read_into(socket: BorrowedFd<'_>, rx: &mut Rx, room: &mut Bulk, count: usize) -> Came {
    let inbound = &mut rx.inbound;
    match room {
        Bulk::Bytes(bytes) => {
            let mut place = Place::Behind(bytes, count);
            rx.way.read_direct(socket, inbound, &mut place)
        }
        Bulk::Numbers { memory, filled, .. } => {
            let mut place = Place::In(&mut memory.bytes()[*filled..][..count], 0);
            let came = rx.way.read_direct(socket, inbound, &mut place);
            *filled += count - place.room();
            came
        }
    }
}

/// Reads once, with room for the long value that is expected next. If one begins, says of how many bytes.
pub(crate) fn read_ahead(
    socket: BorrowedFd<'_>,
    rx: &mut Rx,
    generation: u32,
    room: &mut Bulk,
) -> (Came, Option<u64>) {
    let inbound = &mut rx.inbound;
    let count = room.left();
    match room {
        Bulk::Bytes(bytes) => {
            let mut place = Place::Behind(bytes, count);
            rx.way.read_ahead(socket, inbound, generation, &mut place)
        }
        Bulk::Numbers { memory, filled, .. } => {
            let mut place = Place::In(memory.bytes(), 0);
            let read = rx.way.read_ahead(socket, inbound, generation, &mut place);
            *filled = count - place.room();
            read
        }
    }
}

/// Looks away from the socket for a moment. Each look takes its lock, which the peer's bytes need to get there too: a
/// thread that looked without a break would have a stream come at half its speed over TCP, and in smaller parts.
fn give_room() {
    let start = Instant::now();
    while start.elapsed() < LOOK_AWAY {
        hint::spin_loop();
    }
}

/// How a value ends, where no bytes of it came; nothing, if it has not.
fn end_of(link: &Link, piece: Result<Piece<'_>, deploy_wire::bytes::Malformed>) -> Option<State> {
    match piece {
        Ok(Piece::End) => Some(State::Over),
        Ok(Piece::Cancelled) => Some(State::TakenBack),
        Ok(Piece::Bye) => link.fate_error().map(State::Lost), // Once it is known.
        Ok(Piece::Broken) => {
            let broken = "a long value breaks off".to_string();
            Some(State::Lost(
                link.end()
                    .unwrap_or(ChannelError::Lost(Lost::Protocol(broken))),
            ))
        }
        Err(malformed) => {
            link.handle_violation(malformed);
            link.end().map(State::Lost)
        }
        Ok(_) => link.end().map(State::Lost),
    }
}

/// How much of a value is handed to its decoder at once.
const BLOCK_BYTES: usize = 64 << 10;

/// About what the 64 KiB take to be copied that come at once over TCP.
const LOOK_AWAY: Duration = Duration::from_micros(8);
