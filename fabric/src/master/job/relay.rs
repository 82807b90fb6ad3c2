//! Which way two processes on different machines are connected: directly, or by way of the master.
//!
//! # Who can dial whom
//! Where a machine could not be dialed from another, nobody tries again in this job: the opposite direction is tried, and
//! where that fails too, or nobody can dial a machine at all, what the processes say is relayed.
//!
//! # What waits on the way is bounded
//! For each connection by its window, of which each warden keeps count and so does this; for a job by [`GRANTED_BYTES_MAX`], of
//! which each new connection gets a share of what is left.
//!
//! Deliberately absent: what is said, which is sealed with a secret that only the two processes and their wardens are told.

use super::{Job, Nonsense, Stage};
use crate::scheduler::NodeId;
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    control::Notice,
    job::JobOrder,
    relay::{Piece, Relay},
    secret::{Seal, Secret},
};
use std::collections::{BTreeMap, BTreeSet};

/// A job's relayed connections, and why there are any.
#[derive(Debug, Default)]
pub(super) struct Relays {
    channels: BTreeMap<u32, Channel>,
    channels_made: u32,
    /// The windows of all of them.
    granted: u64,
    /// From which node which one could not be dialed.
    unreachable: BTreeSet<(NodeId, NodeId)>,
}

#[derive(Debug)]
struct Channel {
    window: u64,
    legs: [Leg; 2],
}

/// One end of it.
#[derive(Debug)]
struct Leg {
    node: NodeId,
    /// How much may still come from there.
    room: u64,
    /// Nothing more comes from there, and nothing is to go there.
    is_over: bool,
}

impl Relays {
    /// Whether there is a relayed connection.
    pub(super) fn is_busy(&self) -> bool {
        !self.channels.is_empty()
    }

    /// What is known without one, in bytes.
    pub(super) fn write(&self, w: &mut Writer) {
        w.u32(self.channels_made).u64(self.granted);
        w.list(self.unreachable.iter(), |w, (from, to)| {
            w.u32(from.number()).u32(to.number());
        });
    }

    /// Becomes what these bytes say.
    pub(super) fn read(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        (self.channels_made, self.granted) = (r.u32()?, r.u64()?);
        self.unreachable =
            r.list(|r| Ok((NodeId::from_number(r.u32()?), NodeId::from_number(r.u32()?))))?;
        Ok(())
    }

    fn window(&self) -> u64 {
        let left = GRANTED_BYTES_MAX.saturating_sub(self.granted);
        (left / SHARE).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
    }

    /// Whether an end on that node was there, and is gone, with the other end still there.
    fn is_over(&self, node: NodeId, channel: u32) -> bool {
        let channel = self.channels.get(&channel);
        let mut legs = channel.into_iter().flat_map(|channel| &channel.legs);
        legs.any(|leg| leg.node == node && leg.is_over)
    }

    /// Counts what is told. Fails if it cannot come from there now.
    fn count(&mut self, node: NodeId, channel: u32, piece: &Piece) -> Result<(), Nonsense> {
        let Some(channel) = self.channels.get_mut(&channel) else {
            return Ok(()); // It is over, and who says this is about to hear of that.
        };
        let Some(from) = channel.legs.iter().position(|leg| leg.node == node) else {
            return Err(Nonsense::new("the relayed connection has no end there"));
        };
        let window = channel.window;
        let (own, other) = (from, 1 - from);
        match piece {
            Piece::Bytes(bytes) => {
                let leg = &mut channel.legs[own];
                let left = leg.room.checked_sub(bytes.len() as u64);
                leg.room = left.ok_or(Nonsense::new("it relays more than was granted"))?;
            }
            Piece::Credit(bytes) => {
                let leg = &mut channel.legs[other];
                let room = leg.room.checked_add(*bytes);
                let room = room.filter(|room| *room <= window);
                leg.room = room.ok_or(Nonsense::new("it grants more than has come"))?;
            }
            Piece::End | Piece::Stop | Piece::Over => {}
            Piece::Broken => return Err(Nonsense::new("only the master says that it broke")),
        }
        Ok(())
    }
}

impl Job {
    /// Connects two processes in the best way that there is.
    pub(super) fn connect(&mut self, one: u32, other: u32) {
        let (here, there) = (self.node_of(one), self.node_of(other));
        if here == there {
            let at = None;
            self.order(one, JobOrder::Connect { one, other, at });
        } else if !self.dial(one, other) && !self.dial(other, one) {
            self.relay(one, other);
        }
    }

    /// Has one machine dial the other, if it could be.
    fn dial(&mut self, one: u32, other: u32) -> bool {
        let (from, to) = (self.node_of(one), self.node_of(other));
        let address = |node| self.wardens[&node].place.address;
        let is_reachable = !self.relays.unreachable.contains(&(from, to));
        let at = address(to).filter(|_| is_reachable && address(from).is_some());
        if at.is_some() {
            self.order(one, JobOrder::Connect { one, other, at });
        }
        at.is_some()
    }

    /// A machine could not be dialed.
    pub(super) fn handle_connect_failed(&mut self, one: u32, other: u32) {
        let route = (self.node_of(one), self.node_of(other));
        self.relays.unreachable.insert(route);
        let is_there = |number| matches!(self.stage(number), Stage::Beginning | Stage::Alive);
        if is_there(one) && is_there(other) {
            self.connect(one, other);
        }
    }

    /// The network between their nodes was cut under the connection of two processes. The one there is told by its warden, if it
    /// lives, and the one here only when that has said so: a node that is lost is not cut off from others.
    pub(super) fn handle_cut(&mut self, one: u32, other: u32) {
        if self.stage(other) == Stage::Alive {
            let (number, peer) = (other, one);
            self.order(number, JobOrder::Cut { number, peer });
        }
    }

    pub(super) fn handle_cut_told(&mut self, number: u32, peer: u32) {
        let told = self.roster.pid(number);
        self.tell(peer, Notice::Cut { peer: told });
    }

    fn relay(&mut self, one: u32, other: u32) {
        let relays = &mut self.relays;
        let window = relays.window();
        relays.granted += window;
        relays.channels_made += 1;
        let channel = relays.channels_made;
        let nodes = [one, other].map(|number| self.processes[number].node);
        let leg = |node| Leg {
            node,
            room: window,
            is_over: false,
        };
        let legs = nodes.map(leg);
        self.relays
            .channels
            .insert(channel, Channel { window, legs });
        let key = Secret::from_bytes(self.key);
        let (first, second) = key.seals(self.roster.pid(one), self.roster.pid(other), true);
        self.relay_to(channel, (one, other), first, window);
        self.relay_to(channel, (other, one), second, window);
        for node in nodes {
            if !self.has_warden(node) {
                self.end_leg(channel, node, Piece::Over);
            }
        }
    }

    fn relay_to(&mut self, channel: u32, (one, other): (u32, u32), seal: Seal, window: u64) {
        let relay = Relay {
            channel,
            one,
            other,
            seal,
            window,
        };
        self.order(one, JobOrder::Relay(Box::new(relay)));
    }

    /// Something goes from one end to the other. Fails if it cannot come from there.
    ///
    /// It has no number, and leaves a node behind everything else. So it may come when word of its warden's end is here
    /// already, from the warden before the one that is there now, or over another session than it was said in: its end is over
    /// by then, and it goes nowhere.
    pub(super) fn handle_relayed(
        &mut self,
        node: NodeId,
        channel: u32,
        piece: Piece,
    ) -> Result<(), Nonsense> {
        if !self.has_warden(node) || self.relays.is_over(node, channel) {
            return Ok(());
        }
        self.relays.count(node, channel, &piece)?;
        if piece == Piece::Over {
            self.end_leg(channel, node, piece);
            return Ok(());
        }
        let Some(known) = self.relays.channels.get(&channel) else {
            // It was over before that end was given out, or word of it was lost with a session.
            let piece = Piece::Broken;
            self.order_warden(node, JobOrder::Relayed { channel, piece });
            return Ok(());
        };
        let to = known
            .legs
            .iter()
            .find(|leg| leg.node != node && !leg.is_over);
        if let Some(to) = to.map(|leg| leg.node) {
            self.order_warden(to, JobOrder::Relayed { channel, piece });
        }
        Ok(())
    }

    /// All ends on a node are gone with its warden.
    pub(super) fn end_legs(&mut self, node: NodeId) {
        self.end_all(node, &Piece::Over);
    }

    /// What was on its way to and from a node is lost with its session.
    pub(super) fn break_legs(&mut self, node: NodeId) {
        self.end_all(node, &Piece::Broken);
    }

    fn end_all(&mut self, node: NodeId, piece: &Piece) {
        let channels: Vec<u32> = self.relays.channels.keys().copied().collect();
        for channel in channels {
            self.end_leg(channel, node, piece.clone());
        }
    }

    /// The end of a connection on this node, if it has one there, is gone; the other is told so with this.
    fn end_leg(&mut self, channel: u32, node: NodeId, piece: Piece) {
        let Some(known) = self.relays.channels.get_mut(&channel) else {
            return;
        };
        let Some(gone) = known
            .legs
            .iter_mut()
            .find(|leg| leg.node == node && !leg.is_over)
        else {
            return;
        };
        gone.is_over = true;
        let window = known.window;
        match known.legs.iter().find(|leg| !leg.is_over) {
            Some(other) => {
                let node = other.node;
                self.order_warden(node, JobOrder::Relayed { channel, piece });
            }
            None => {
                self.relays.channels.remove(&channel);
                self.relays.granted -= window;
            }
        }
    }
}

/// What may be on its way of one job's relayed connections in each direction, but for [`WINDOW_BYTES_MIN`] of each.
const GRANTED_BYTES_MAX: u64 = 16 << 20;
/// A connection gets this part of what is left of that: the first as much as it can use, and the hundredth something.
const SHARE: u64 = 16;
/// Enough for 20 MB/s at a distance of 50 ms.
const WINDOW_BYTES_MAX: u64 = 1 << 20;
/// Enough to go on; ten thousand of them are 160 MiB.
const WINDOW_BYTES_MIN: u64 = 16 << 10;
