//! Relayed connections of the processes here: a socket pair each, whose other end stays with us.
//!
//! What comes from the process goes to the head in pieces, and what comes from the head goes to the process. To the two
//! processes it is a connection like one between two machines: they prove themselves to each other and encrypt.
//!
//! Deliberately absent: credit and ends (`leg.rs`), the way (the head's), and what the bytes say, which nobody here can read.

use crate::{exchange::End, head::Head, household::Household, leg::Leg, watched::Watched};
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
    socket: OwnedFd,
    leg: Leg,
    /// Whether the process was told that nothing more comes, and that nothing more is read.
    is_write_shut: bool,
    is_read_shut: bool,
}

impl Relays {
    /// The kernel says that this one may go on.
    pub(crate) fn handle_ready(&mut self, channel: u32) {
        self.ready.insert(channel);
    }

    /// Whether one may go on at once.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
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

impl Household {
    /// Gives a process an end of a new one. Where that cannot be it is over at once.
    pub(crate) fn relay(&mut self, relay: Relay, head: &mut dyn Head) {
        let is_here = (self.children.get(&relay.one)).is_some_and(|child| !child.is_dead);
        let made = match is_here {
            true => make(&relay, &self.registry),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        let (relayed, theirs) = match made {
            Ok(made) => made,
            Err(_) => return head.handle_relayed(relay.channel, Piece::Over),
        };
        self.relays.all.insert(relay.channel, relayed);
        self.relays.ready.insert(relay.channel);
        let peer = self.pid(relay.other);
        self.hand_over(relay.one, peer, End::new(theirs, Some(relay.seal)));
    }

    /// Something came from the other end of one of them; it may be over here.
    pub(crate) fn handle_relayed(&mut self, channel: u32, piece: Piece, head: &mut dyn Head) {
        let Some(relayed) = self.relays.all.get_mut(&channel) else {
            return;
        };
        if relayed.leg.handle_piece(piece).is_err() {
            self.drop_relay(channel);
            return head.handle_relayed(channel, Piece::Over);
        }
        self.relays.ready.insert(channel);
    }

    /// Nothing comes from any other end any more.
    pub(crate) fn part(&mut self, head: &mut dyn Head) {
        let channels: Vec<u32> = self.relays.all.keys().copied().collect();
        for channel in channels {
            self.handle_relayed(channel, Piece::Over, head);
        }
    }

    /// Goes on with all that may.
    pub(crate) fn carry(&mut self, head: &mut dyn Head) {
        if head.is_choked() {
            return;
        }
        for channel in std::mem::take(&mut self.relays.ready) {
            let Some(relayed) = self.relays.all.get_mut(&channel) else {
                continue;
            };
            relayed.write();
            let is_more = relayed.read();
            relayed.shut();
            while let Some(piece) = relayed.leg.poll_piece() {
                head.handle_relayed(channel, piece);
            }
            if relayed.leg.is_over() {
                self.drop_relay(channel);
            } else if is_more {
                self.relays.ready.insert(channel);
            }
        }
    }

    fn drop_relay(&mut self, channel: u32) {
        if let Some(relayed) = self.relays.all.remove(&channel) {
            let raw = relayed.socket.as_raw_fd();
            // It goes from the poll with its last descriptor in any case.
            let _ = self.registry.deregister(&mut SourceFd(&raw));
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
        socket: ours,
        leg: Leg::new(relay.window),
        is_write_shut: false,
        is_read_shut: false,
    };
    Ok((relayed, theirs))
}

/// So that one process that writes without pause does not keep the others waiting.
const PIECES_PER_TURN: usize = 4;
