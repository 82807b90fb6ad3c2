//! Where bytes of a long value belong: they are read straight there.
//!
//! Deliberately absent: what the value is (`codec.rs`, `bytes.rs`).

use super::came::{Came, found, read_into};
use deploy_sys::{ring::Reader, stream};
use std::{io, os::fd::BorrowedFd};

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

    pub(super) fn read(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Came> {
        let count = match self {
            Place::Behind(bytes, room) => found(stream::read_onto(socket, bytes, *room))?,
            Place::In(buffer, filled) => read_into(socket, &mut buffer[*filled..])?,
        };
        self.handle_put(count);
        Ok(count)
    }

    pub(super) fn read_ring(&mut self, ring: &mut Reader) -> Result<usize, Came> {
        let count = found(match self {
            Place::Behind(bytes, room) => ring.read_onto(bytes, *room),
            Place::In(buffer, filled) => ring.read(&mut buffer[*filled..]),
        })?;
        self.handle_put(count);
        Ok(count)
    }

    /// Reads by `read`, and little: what is read so is copied once more.
    pub(super) fn read_short(
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
    pub(super) fn read_behind(
        &mut self,
        socket: BorrowedFd<'_>,
        first: &mut [u8],
    ) -> Result<usize, Came> {
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
    pub(super) fn put_yet(&self) -> &[u8] {
        match self {
            Place::Behind(bytes, _) => bytes,
            Place::In(buffer, filled) => &buffer[..*filled],
        }
    }

    /// Only the first `count` of these bytes belong here.
    pub(super) fn keep(&mut self, count: usize) {
        match self {
            Place::Behind(bytes, room) => {
                *room += bytes.len() - count;
                bytes.truncate(count);
            }
            Place::In(_, filled) => *filled = count,
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
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

/// While a descriptor may come, which is not for long.
const SHORT_READ_BYTES: usize = 4 << 10;
