//! Relayed connections of the processes here: a socket pair each, whose other end stays with us.
//!
//! What comes from the process goes to the head in pieces, and what comes from the head goes to the process. To the two
//! processes it is a connection like one between two machines: they prove themselves to each other and encrypt.
//!
//! Deliberately absent: credit and ends (`leg.rs`), the way (the head's), and what the bytes say, which nobody here can read.

use crate::{head::Head, leg::Leg, watched::Watched};
use deploy_sys::{fd, stream};
use deploy_wire::relay::{Piece, Relay};
use mio::{Interest, Registry, unix::SourceFd};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    all: BTreeMap<u32, Relayed>,
    /// Those that may go on.
    ready: BTreeSet<u32>,
}

/// One of them.
#[derive(Debug)]
struct Relayed {
    /// Of whom, here and at the other end.
    ends: Ends,
    socket: OwnedFd,
    leg: Leg,
    /// Whether the process was told that nothing more comes, and that nothing more is read.
    is_write_shut: bool,
    is_read_shut: bool,
}

/// The process here, and its peer.
pub(crate) type Ends = (u32, u32);

impl Relays {
    /// The kernel says that this one may go on.
    pub(crate) fn handle_ready(&mut self, channel: u32) {
        self.ready.insert(channel);
    }

    /// Whether one may go on at once.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Makes one. Returns the process's end of it.
    pub(crate) fn begin(&mut self, relay: &Relay, registry: &Registry) -> io::Result<OwnedFd> {
        let (relayed, theirs) = make(relay, registry)?;
        self.all.insert(relay.channel, relayed);
        self.ready.insert(relay.channel);
        Ok(theirs)
    }

    /// Something came from the other end of one of them; it may be over here. Returns whose it is, if it broke: the process is
    /// told before anything else, and finds the end behind what came.
    pub(crate) fn handle_piece(
        &mut self,
        channel: u32,
        piece: Piece,
        registry: &Registry,
        head: &mut dyn Head,
    ) -> Option<Ends> {
        let relayed = self.all.get_mut(&channel)?;
        let breaks = piece == Piece::Broken && relayed.leg.is_incoming();
        let broken = breaks.then_some(relayed.ends);
        if relayed.leg.handle_piece(piece).is_err() {
            self.remove(channel, registry);
            head.handle_relayed(channel, Piece::Over);
        } else {
            self.ready.insert(channel);
        }
        broken
    }

    /// Nothing comes from any other end any more. Returns whose they are.
    pub(crate) fn part(&mut self, registry: &Registry, head: &mut dyn Head) -> Vec<Ends> {
        let channels: Vec<u32> = self.all.keys().copied().collect();
        let broken = |channel| self.handle_piece(channel, Piece::Broken, registry, head);
        channels.into_iter().filter_map(broken).collect()
    }

    /// Goes on with all that may.
    pub(crate) fn carry(&mut self, registry: &Registry, head: &mut dyn Head) {
        if head.is_choked() {
            return;
        }
        for channel in std::mem::take(&mut self.ready) {
            let Some(relayed) = self.all.get_mut(&channel) else {
                continue;
            };
            relayed.write();
            let is_more = relayed.read();
            relayed.shut();
            while let Some(piece) = relayed.leg.poll_piece() {
                head.handle_relayed(channel, piece);
            }
            if relayed.leg.is_over() {
                self.remove(channel, registry);
            } else if is_more {
                self.ready.insert(channel);
            }
        }
    }

    fn remove(&mut self, channel: u32, registry: &Registry) {
        if let Some(relayed) = self.all.remove(&channel) {
            let raw = relayed.socket.as_raw_fd();
            // It goes from the poll with its last descriptor in any case.
            let _ = registry.deregister(&mut SourceFd(&raw));
        }
    }
}

impl Relayed {
    /// Gives the process what there is, as far as it takes it.
    fn write(&mut self) {
        while !self.leg.writable().is_empty() {
            match stream::write(self.socket.as_fd(), self.leg.writable(), &[]) {
                Ok(count) => self.leg.handle_written(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.leg.handle_deaf(),
            }
        }
    }

    /// Reads what the process wrote, as far as it may travel. True if there may be more.
    fn read(&mut self) -> bool {
        for _ in 0..PIECES_PER_TURN {
            let room = self.leg.readable();
            if room == 0 {
                return false;
            }
            let mut bytes = Vec::with_capacity(room);
            match stream::read_onto(self.socket.as_fd(), &mut bytes, room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // A reset says the same: its process was killed with bytes unread.
                Ok(0) | Err(_) => {
                    self.leg.handle_read(Vec::new());
                    self.leg.handle_deaf(); // Nobody closes one direction of such a connection alone.
                    return false;
                }
                Ok(_) => self.leg.handle_read(bytes),
            }
        }
        true
    }

    /// Lets the process find what has ended.
    fn shut(&mut self) {
        if self.leg.is_all_written() && !std::mem::replace(&mut self.is_write_shut, true) {
            stream::shutdown_write(self.socket.as_fd());
        }
        if self.leg.is_unread() && !std::mem::replace(&mut self.is_read_shut, true) {
            stream::shutdown_read(self.socket.as_fd());
        }
    }
}

/// Our end, watched, and the process's.
fn make(relay: &Relay, registry: &Registry) -> io::Result<(Relayed, OwnedFd)> {
    let (ours, theirs) = fd::socketpair_stream()?;
    let raw = ours.as_raw_fd();
    let both = Interest::READABLE | Interest::WRITABLE;
    registry.register(
        &mut SourceFd(&raw),
        Watched::Relay(relay.channel).token(),
        both,
    )?;
    let relayed = Relayed {
        ends: (relay.one, relay.other),
        socket: ours,
        leg: Leg::new(relay.window),
        is_write_shut: false,
        is_read_shut: false,
    };
    Ok((relayed, theirs))
}

/// So that one process that writes without pause does not keep the others waiting.
const PIECES_PER_TURN: usize = 4;
