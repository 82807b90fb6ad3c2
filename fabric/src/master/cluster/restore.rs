//! A cluster whose master was started again: the nodes that it knew are awaited, and its jobs are told again all that they
//! were told.
//!
//! # The story
//! 1. The nodes are there as they were, but that nobody has heard of them: they have 12 s to come back, as after any silence.
//! 2. Each job is told what it was told, in the same order. It wants the same done, and most of that is done already: what
//!    was ordered is kept for its node, which has it or not; and what has happened was written down.
//! 3. While a node is awaited nobody is granted or refused room, for nobody knows what is free.
//! 4. What ran on nodes that are not known any more was lost.
//!
//! Deliberately absent: files.

use super::{
    Cluster, Happening, Member, Owned, RoomAsk, explain,
    loss::Loss,
    streams::{Stream, is_relayed},
};
use crate::{
    master::job::{Deed, Job, Room},
    scheduler::NodeId,
};
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    client::RunRequest,
    code::OwnCode,
    event::Event,
    node::Report,
    pid,
};
use std::{collections::BTreeMap, time::Instant};

/// What a job was from the beginning.
#[derive(Clone, PartialEq, Debug)]
pub struct About {
    /// Whose it is.
    pub user: String,
    /// What its data connections are proved with.
    pub key: [u8; 32],
    /// What it runs.
    pub request: RunRequest,
}

impl Cluster {
    /// The nodes as they are, if that has changed: to be handed to [`Cluster::restore_nodes`] of the next master.
    pub fn poll_nodes(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.are_nodes_changed) {
            return None;
        }
        let mut w = Writer::new();
        w.u32(self.scheduler.nodes_made());
        w.u32(self.nodes.len() as u32);
        for (id, node) in &self.nodes {
            let hello = Report::Hello(Box::new(node.hello.clone()));
            w.u32(id.number()).text(&node.name).bool(node.is_draining);
            w.bytes(&hello.encode());
        }
        Some(w.finish())
    }

    /// These nodes were known to the master before this one.
    ///
    /// # Errors
    /// If it wrote something else; then none is known.
    pub fn restore_nodes(&mut self, bytes: &[u8], now: Instant) -> Result<(), Malformed> {
        let r = &mut Reader::new(bytes);
        let (made, count) = (r.u32()?, r.u32()?);
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let (id, name) = (NodeId::from_number(r.u32()?), r.text()?.to_string());
            let is_draining = r.bool()?;
            let Report::Hello(hello) = Report::decode(r.bytes()?)? else {
                return Err(Malformed("a node is known by its hello"));
            };
            let mut member = Member::new(name, *hello, now);
            member.hello.held.clear();
            (member.is_awaited, member.is_draining) = (true, is_draining);
            if id.number() >= made || members.insert(id, member).is_some() {
                return Err(Malformed("a node has a number that is not its own"));
            }
        }
        for (id, member) in members {
            let spec = self.spec(&member.name, &member.hello);
            self.scheduler.handle_node_as(id, spec);
            self.scheduler.handle_suspected(id, true);
            self.scheduler.handle_drain(id, member.is_draining);
            self.nodes.insert(id, member);
        }
        self.scheduler.pass_over(made);
        Ok(())
    }

    /// What a job has become, in bytes, from which a later master can go on; none, while it is in the midst of something.
    pub fn condense(&self, id: pid::Job) -> Option<Vec<u8>> {
        let owned = self.jobs.get(&id).filter(|owned| owned.refusal.is_none())?;
        let mut w = Writer::new();
        w.bytes(&owned.job.encode()?);
        w.list(owned.streams.iter(), |w, (node, stream)| {
            stream.write(w.u32(node.number()));
        });
        Some(w.finish())
    }

    /// A job of the master before this one, which had become this, if that was written down, before it was told these. What it
    /// had told then is told to `told` once more, but that of output only the length is right.
    ///
    /// # Errors
    /// If what it had become was written by something else.
    pub fn restore_job(
        &mut self,
        id: pid::Job,
        about: About,
        (condensed, happenings): (Option<&[u8]>, impl Iterator<Item = Happening>),
        mut told: impl FnMut(Event, Option<String>),
        since: Instant,
    ) -> Result<(), Malformed> {
        let mut owned = Owned::new(id, about.clone(), since);
        let mut rooms = BTreeMap::new();
        let mut over = match condensed {
            None => owned.recall(id, &mut rooms, &mut told),
            Some(condensed) => {
                let r = &mut Reader::new(condensed);
                owned.job = Job::decode(id, &about, r.bytes()?)?;
                owned.streams =
                    r.list(|r| Ok((NodeId::from_number(r.u32()?), Stream::read(r)?)))?;
                rooms = owned.job.rooms();
                None
            }
        };
        for happening in happenings {
            match &happening {
                Happening::Report(node, ..) => {
                    if let Some(stream) = owned.streams.get_mut(node) {
                        let next = stream.reports.taken() + 1;
                        stream.reports.handle(next);
                    }
                }
                Happening::Granted(ask, place) => {
                    if let Some(room) = rooms.get_mut(ask) {
                        room.node = Some(place.node);
                    }
                }
                Happening::Refused(ask, _) => drop(rooms.remove(ask)),
                Happening::NodeLost(node, _) => drop(owned.streams.remove(node)),
                _ => {}
            }
            owned.hear_waits(&happening, since);
            let _ = owned.job.handle(happening); // What made no sense then makes none now, and does nothing.
            over = over.or(owned.recall(id, &mut rooms, &mut told));
        }
        for node in owned.streams.keys() {
            if let Some(member) = self.nodes.get_mut(node) {
                member.jobs.insert(id);
            }
        }
        self.jobs.insert(id, owned);
        if let Some(refusal) = over {
            self.actions.push_back(super::Action::Over(id, refusal));
        }
        for (ask, room) in rooms {
            self.restore_room(id, ask, room);
        }
        Ok(())
    }

    /// All jobs are there: what ran on nodes that are not was lost, and nobody has any of them.
    pub fn begin_again(&mut self, now: Instant) {
        let jobs: Vec<pid::Job> = self.jobs.keys().copied().collect();
        for id in jobs {
            let streams = self.jobs.get(&id).map(|owned| &owned.streams);
            let nodes = streams.into_iter().flat_map(|streams| streams.keys());
            let unknown = nodes.filter(|node| !self.nodes.contains_key(node));
            for node in unknown.copied().collect::<Vec<_>>() {
                self.lose_stream(node, id, &Loss::Unknown, now);
            }
            self.part_streams(id, now);
            self.leave_alone(id, now);
        }
        self.settle(now);
    }

    /// What was relayed is over: nobody knows what of it was on its way.
    fn part_streams(&mut self, id: pid::Job, now: Instant) {
        let streams = self.jobs.get(&id).map(|owned| &owned.streams);
        let nodes = streams.into_iter().flat_map(|streams| streams.keys());
        for node in nodes.copied().collect::<Vec<_>>() {
            self.with_job(Some(id), Happening::Parted(node), now);
        }
    }

    /// Whether nobody knows yet what is free.
    pub(super) fn is_settling(&self) -> bool {
        self.nodes.values().any(|node| node.is_awaited)
    }

    /// Asks for what was asked meanwhile, once no node is awaited any more.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.asked.is_empty() || self.is_settling() {
            return;
        }
        for (id, ask, room) in std::mem::take(&mut self.asked) {
            self.ask(id, ask, room);
            self.follow(id, now);
        }
        self.grant(now);
    }

    fn restore_room(&mut self, id: pid::Job, ask: u64, room: Room) {
        let ticket = self.new_ticket(id, ask);
        match room.node {
            Some(node) => self.scheduler.handle_held(ticket, node, room.resources),
            None => {
                let room = RoomAsk {
                    ticket,
                    resources: room.resources,
                    node: room.only,
                    near: room.near,
                    wait: room.wait,
                    apart: Vec::new(),
                };
                self.asked.push((id, ask, room));
            }
        }
    }
}

impl Owned {
    /// Takes note of what a job wants done, as of what was done long ago. Says how it is over, if it is.
    fn recall(
        &mut self,
        id: pid::Job,
        rooms: &mut BTreeMap<u64, Room>,
        told: &mut impl FnMut(Event, Option<String>),
    ) -> Option<Option<(OwnCode, String)>> {
        let mut over = None;
        while let Some(deed) = self.job.poll_deed() {
            match deed {
                Deed::Ask {
                    ask,
                    resources,
                    node: only,
                    near,
                    wait,
                } => {
                    let room = Room {
                        resources,
                        only,
                        near,
                        wait,
                        node: None,
                    };
                    rooms.insert(ask, room);
                }
                Deed::Release { ask } => drop(rooms.remove(&ask)),
                Deed::Order { order, .. } if is_relayed(&order) => {}
                Deed::Order { node, order, file } => self.push(id, node, order, file),
                Deed::Tell { event, by } => told(event, by),
                Deed::Pass {
                    pid,
                    stream,
                    packed,
                } => {
                    let bytes = vec![0; packed.stands_for()]; // Only how many they are counts.
                    told(Event::Output { pid, stream, bytes }, None);
                }
                Deed::TellTaken { .. } | Deed::Shun { .. } => {}
                Deed::Refuse { refusal } => self.refusal = Some(explain(&refusal)),
                Deed::Finish => over = Some(self.refusal.take()),
            }
        }
        over
    }
}

#[cfg(test)]
impl Cluster {
    /// Fails unless a job that is written down now, and read again, is the same: whatever it is told then, it wants the same
    /// done. The scenarios ask this after each of their steps.
    pub fn check_condensed(&self, id: pid::Job) {
        let Some(condensed) = self.condense(id) else {
            return;
        };
        let owned = &self.jobs[&id];
        let mut later = Cluster::new(self.name.clone());
        let about = About {
            user: owned.user.clone(),
            ..owned.job.about()
        };
        let told = |event, _| panic!("it told {event:?} before");
        let restored = later.restore_job(
            id,
            about,
            (Some(&condensed), std::iter::empty()),
            told,
            Instant::now(),
        );
        restored.expect("what was written is read");
        let again = &later.jobs[&id];
        assert_eq!(format!("{:?}", again.job), format!("{:?}", owned.job));
        for (node, stream) in &owned.streams {
            assert_eq!(again.streams[node].facts(), stream.facts());
        }
        assert_eq!(again.streams.len(), owned.streams.len());
        // Each room that somebody has or waits for, and no other.
        let of_job = |rooms: &std::collections::HashMap<(pid::Job, u64), _>| {
            let asks = rooms.keys().filter(|(job, _)| *job == id);
            asks.map(|(_, ask)| *ask)
                .collect::<std::collections::BTreeSet<u64>>()
        };
        assert_eq!(of_job(&later.rooms), of_job(&self.rooms));
    }
}
