//! How a connection between two processes of one machine goes over from its socket pair to memory that both have.
//!
//! A newborn's connection costs no more for it: only one that has proved busy goes over, each direction by itself. Who reads
//! a direction makes its ring, and has its price to pay out of what its windows may cost:
//!
//! 1. One end finds the connection busy, and says `Asked`. From now on it reads with room for a descriptor.
//! 2. Who hears `Asked` says it too, if it did not yet; then it makes a ring for what it reads, and says `Given`, with the
//!    ring's file beside it. Where it cannot have one it says `Given` alone.
//! 3. Who hears `Given` with a file, and can map it, says `Entered`, and that is the last of its bytes that the socket
//!    carries. What comes over the socket behind it only wakes.
//!
//! So whatever fails, a direction stays where it is for good; and `Given` always leaves before its end has `Entered`, since
//! that needs the other's `Given`, which follows the other's `Asked`. After that the socket is what one sleeps on, and its
//! end of file is the end of the peer: what lies in the ring then is read before.
//!
//! Deliberately absent: the ring (`deploy_sys::ring`), its bells (`link/memory.rs`), and what travels in it.

use crate::windows::Windows;
use deploy_sys::{
    ring::{self, Reader, Writer},
    stream,
};
use deploy_wire::{bytes::Malformed, frame::Memory, inbound::Inbound};
use std::{
    env, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// When connections over socket pairs go over to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Sharing {
    Never,
    #[default]
    WhenBusy,
    /// Before they carry anything: for tests.
    AtOnce,
}

impl Sharing {
    /// As `DEPLOY_CHANNELS` says in this process's environment.
    pub(crate) fn from_env() -> Sharing {
        match env::var_os("DEPLOY_CHANNELS") {
            Some(value) if value == "sockets" => Sharing::Never,
            Some(value) if value == "memory" => Sharing::AtOnce,
            _ => Sharing::WhenBusy,
        }
    }
}

/// What the sending half says next, in the order in which the receiving half found it.
pub(crate) enum Saying {
    Asked,
    Given(Option<OwnedFd>),
    Entered(Box<Writer>),
}

/// The receiving half of a connection over a socket pair.
pub(crate) struct Arriving {
    sharing: Sharing,
    /// Whether reads have room for a descriptor: from `Asked` to the peer's `Given`.
    asks: bool,
    has_asked: bool,
    /// What came beside the bytes.
    descriptor: Option<OwnedFd>,
    /// What was given to the peer, and not entered yet.
    ring: Option<Box<Reader>>,
    /// How often something was read.
    reads: u32,
}

impl Arriving {
    pub(crate) fn new(sharing: Sharing) -> Arriving {
        Arriving {
            sharing,
            asks: false,
            has_asked: false,
            descriptor: None,
            ring: None,
            reads: 0,
        }
    }

    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    pub(crate) fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Says `Asked`, unless that was said.
    pub(crate) fn ask(&mut self, say: &mut impl FnMut(Saying)) {
        if !self.has_asked {
            (self.has_asked, self.asks) = (true, true);
            say(Saying::Asked);
        }
    }

    /// Something was read. Says what follows from it; returns the ring that what comes next lies in, if the peer entered
    /// that.
    pub(crate) fn handle_read(
        &mut self,
        inbound: &mut Inbound,
        windows: &Windows,
        mut say: impl FnMut(Saying),
    ) -> Result<Option<Box<Reader>>, Malformed> {
        self.reads += u32::from(self.reads < BUSY_READS);
        let is_busy = self.reads >= BUSY_READS || inbound.arrived() >= BUSY_UNITS;
        if is_busy && self.sharing == Sharing::WhenBusy {
            self.ask(&mut say);
        }
        while let Some(word) = inbound.take_memory() {
            match word {
                Memory::Asked => {
                    self.ask(&mut say);
                    say(Saying::Given(self.give(windows)));
                }
                Memory::Given => {
                    self.asks = false;
                    if let Some(writer) = self.take_given() {
                        say(Saying::Entered(Box::new(writer)));
                    }
                }
                Memory::Entered => {
                    let none = Malformed("memory is entered that was not given");
                    return self.ring.take().ok_or(none).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn give(&mut self, windows: &Windows) -> Option<OwnedFd> {
        if self.sharing == Sharing::Never || !windows.take_ring(RING_BYTES as u64) {
            return None;
        }
        match ring::make(RING_BYTES) {
            Ok((file, reader)) => {
                self.ring = Some(Box::new(reader));
                Some(file)
            }
            Err(_) => {
                windows.release(RING_BYTES as u64); // It goes on over the socket, and no worse than before.
                None
            }
        }
    }

    fn take_given(&mut self) -> Option<Writer> {
        let file = self.descriptor.take()?;
        let wanted = self.sharing != Sharing::Never;
        let map = || Writer::map(file.as_fd(), RING_BYTES).ok();
        wanted.then(map).flatten()
    }

    /// Reads what is there, as [`stream::read`] does, and takes a descriptor along where one may come.
    pub(crate) fn read(&mut self, socket: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
        if !self.asks {
            return stream::read(socket, space);
        }
        let (count, descriptor) = stream::read_beside(socket, space)?;
        if descriptor.is_some() {
            self.descriptor = descriptor;
        }
        Ok(count)
    }
}

/// The sending half of a connection over a socket pair.
#[derive(Default)]
pub(crate) struct Leaving {
    /// What goes beside the next bytes.
    descriptor: Option<OwnedFd>,
    /// The ring to be entered, once so many more bytes have left.
    entering: Option<(usize, Box<Writer>)>,
}

impl Leaving {
    /// The file goes beside what is written next.
    pub(crate) fn give(&mut self, file: Option<OwnedFd>) {
        self.descriptor = file;
    }

    /// What follows the `pending` bytes that wait goes to the ring.
    pub(crate) fn enter(&mut self, pending: usize, ring: Box<Writer>) {
        self.entering = Some((pending, ring));
    }

    /// Writes by `write` what fits of one slice and then the other, but nothing beyond what still goes over the socket.
    pub(crate) fn write(
        &mut self,
        socket: BorrowedFd<'_>,
        first: &[u8],
        second: &[u8],
        write: impl FnOnce(BorrowedFd<'_>, &[u8], &[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let (first, second) = match &self.entering {
            Some((pending, _)) => (&first[..*pending], &[][..]),
            None => (first, second),
        };
        let beside = self.descriptor.as_ref().map(|file| {
            let written = stream::write_beside(socket, first, second, file.as_fd());
            written.map_err(|error| error.kind())
        });
        let written = match beside {
            Some(Ok(written)) => written,
            Some(Err(io::ErrorKind::WouldBlock)) => return Err(io::ErrorKind::WouldBlock.into()),
            // Without it, where it cannot go: the peer finds that it was given none.
            _ => match write(socket, first, second) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    self.entering = None; // The connection has ended, and nobody counts what leaves.
                    return Err(error);
                }
                written => written?,
            },
        };
        self.descriptor = None;
        if let Some((pending, _)) = &mut self.entering {
            *pending -= written;
        }
        Ok(written)
    }

    /// The ring, once all that goes over the socket has left.
    pub(crate) fn take_ring(&mut self) -> Option<Box<Writer>> {
        let entered = self.entering.take_if(|(pending, _)| *pending == 0);
        entered.map(|(_, ring)| ring)
    }
}

/// What one direction holds at most: little enough to stay in a processor's own cache, and enough that both sides are at
/// work on a long value at the same time.
pub(crate) const RING_BYTES: usize = 256 << 10;

/// A connection is busy where it was read so often, or so much came. Memory is shared in the time of some tens of such reads.
const BUSY_READS: u32 = 256;
const BUSY_UNITS: u64 = 1 << 20;
