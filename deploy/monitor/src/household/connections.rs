//! The connections that processes are given: with one another here, with others on other machines, and by way of the head.
//!
//! Deliberately absent: how a connection is made (`exchange.rs`, `outside.rs`, `relay.rs`), and what it carries.

use super::Household;
use crate::{exchange::End, head::Head, launcher::explain, outside::Met, relay::Ends};
use deploy_wire::{
    control::Notice,
    hello::Route,
    pid::Pid,
    relay::{Piece, Relay},
};
use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Instant};

impl Household {
    /// Gives two processes the ends of a new connection.
    pub(super) fn connect(&mut self, one: u32, other: u32) {
        let (one_pid, other_pid) = (self.pid(one), self.pid(other));
        let (one_end, other_end) = match self.about.exchange.connect(one_pid, other_pid) {
            Ok(ends) => ends,
            Err(error) => {
                self.postponed.push_back((one, other));
                self.spare.dismiss(); // What it holds is wanted here.
                return self.tell_shortage(one, other, &error);
            }
        };
        for (number, peer, end) in [(one, other_pid, one_end), (other, one_pid, other_end)] {
            self.hand_over(number, peer, end);
        }
    }

    /// Has a person told, once, why a connection waits.
    fn tell_shortage(&mut self, one: u32, other: u32, error: &io::Error) {
        if !std::mem::replace(&mut self.is_short_told, true) {
            let (other, why) = (self.pid(other), explain(error));
            let text = format!("waiting to be connected to {other}: {why}");
            self.notes.push((one, text));
        }
    }

    /// Connects a process here with one on another machine.
    pub(super) fn dial(
        &mut self,
        one: u32,
        other: u32,
        at: SocketAddr,
        head: &mut dyn Head,
        now: Instant,
    ) {
        let route = Route {
            from: self.pid(one),
            to: self.pid(other),
        };
        if let Err(error) = self.outside.dial(route, at, &self.registry, now) {
            head.handle_not_connected(one, other, explain(&error));
        }
    }

    /// Takes in a connection that another machine made. Who makes no sense is hung up on, without a word.
    pub(super) fn accept(&mut self, socket: OwnedFd, first: &[u8], now: Instant) {
        let _ = self.outside.accept(socket, first, &self.registry, now);
    }

    /// Goes on with the connections that are being made with other machines.
    pub(super) fn meet(&mut self, head: &mut dyn Head, now: Instant) {
        for met in self.outside.meet(&self.registry, now) {
            match met {
                Met::Connected { route, dialed, end } => self.handle_met(route, dialed, end, now),
                Met::Failed { route, why } => {
                    let (one, other) = (route.from.number(), route.to.number());
                    head.handle_not_connected(one, other, why);
                }
            }
        }
    }

    fn handle_met(&mut self, route: Route, dialed: Option<SocketAddr>, end: End, now: Instant) {
        if route.is_line() {
            return self.lines.hold(end.socket, &self.registry);
        }
        let (ours, peer) = match dialed {
            Some(_) => (route.from, route.to),
            None => (route.to, route.from),
        };
        if self.children.contains_key(&ours.number()) {
            self.hand_over(ours.number(), peer, end);
            if let Some(at) = dialed {
                self.lines.answer_for(ours.number(), peer.number(), at, now);
            }
        } else if dialed.is_none() && ours.job() == self.about.job {
            self.outside.keep_early(route, end, now); // Otherwise it has ended meanwhile.
        }
    }

    /// Looks which machines are not reached any more, and has the head told of the connections with them.
    pub(super) fn look_after_lines(&mut self, head: &mut dyn Head, now: Instant) {
        let route = Route::line(self.about.job);
        let dialer = (&self.outside, route);
        for (one, other) in self.lines.tend(dialer, &self.registry, now) {
            if self.lives(one) {
                head.handle_cut(one, other);
            }
        }
    }

    /// Tells a process that it is cut off from another; one that has ended is told nothing, and word of its end comes as always.
    pub(super) fn tell_cut(&mut self, number: u32, peer: u32, head: &mut dyn Head) {
        if self.lives(number) {
            let notice = Notice::Cut {
                peer: self.pid(peer),
            };
            self.tell(number, &notice, None);
            head.handle_cut_told(number, peer);
        }
    }

    /// Says that a process lives, if it does. It is told that its connection with who doubts it is over there, ahead of any word of
    /// that one's end: what it has of it may not be all.
    pub(super) fn vouch(&mut self, number: u32, to: u32, head: &mut dyn Head) {
        if self.lives(number) {
            self.tell_broken((number, to));
            head.handle_vouched(number, to);
        }
    }

    /// Gives a process that has begun the connections that came before it.
    pub(super) fn claim_early(&mut self, number: u32) {
        for (peer, end) in self.outside.claim_early(number) {
            self.hand_over(number, peer, end);
        }
    }

    /// Gives a process an end of a connection that goes by way of the head. Where that cannot be it is over at once, and a process
    /// that lives is told that there is no descriptor for it.
    pub(super) fn relay(&mut self, relay: Relay, head: &mut dyn Head) {
        if self.lives(relay.one) {
            let peer = self.pid(relay.other);
            match self.relays.begin(&relay, &self.registry) {
                Ok(theirs) => {
                    let end = End::new(theirs, Some(relay.seal));
                    return self.hand_over(relay.one, peer, end);
                }
                Err(_) => self.tell(relay.one, &Notice::Connected { peer, seal: None }, None),
            }
        }
        head.handle_relayed(relay.channel, Piece::Over);
    }

    /// Something came from the other end of a relayed connection.
    pub(super) fn handle_piece(&mut self, channel: u32, piece: Piece, head: &mut dyn Head) {
        let (relays, registry) = (&mut self.relays, &self.registry);
        if let Some(ends) = relays.handle_piece(channel, piece, registry, head) {
            self.tell_broken(ends);
        }
    }

    /// Nothing comes by way of the head any more of what was on its way.
    pub(super) fn part(&mut self, head: &mut dyn Head) {
        for ends in self.relays.part(&self.registry, head) {
            self.tell_broken(ends);
        }
    }

    fn tell_broken(&mut self, (number, peer): Ends) {
        let peer = self.pid(peer);
        self.tell(number, &Notice::Broken { peer }, None);
    }

    fn hand_over(&mut self, number: u32, peer: Pid, end: End) {
        let seal = end.seal;
        self.tell(number, &Notice::Connected { peer, seal }, Some(end.socket));
    }
}
