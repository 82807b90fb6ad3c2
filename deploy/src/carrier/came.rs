//! What a try to read brings.
//!
//! Deliberately absent: what is done with it (`link/reading.rs`).

use super::outgoing::Outgoing;
use deploy_sys::stream;
use deploy_wire::bytes::Malformed;
use std::{io, os::fd::BorrowedFd};

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

/// What the peer wrote into memory that both have is not what this library writes there.
pub(crate) const TORN: Malformed = Malformed("shared memory says what cannot be");

/// Reads what is there, at least one byte.
pub(super) fn read_into(socket: BorrowedFd<'_>, space: &mut [u8]) -> Result<usize, Came> {
    found(stream::read(socket, space))
}

pub(super) fn found(read: io::Result<usize>) -> Result<usize, Came> {
    match read {
        Ok(count @ 1..) => Ok(count),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Came::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Came::Wrong(TORN)),
        _ => Err(Came::End),
    }
}

pub(super) fn came(handled: Result<(), Malformed>) -> Came {
    match handled {
        Ok(()) => Came::Something,
        Err(malformed) => Came::Wrong(malformed),
    }
}
