//! A roster in bytes, from which the same one is made again.
//!
//! Deliberately absent: what it has decided and nobody has done yet. Who writes one down asks for that first.

use super::{Member, Roster, Stage, past::Past};
use crate::signals::SignalSet;
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    control::Notice,
    exit::{ExitStatus, Reason},
    pid::Job,
};
use std::collections::VecDeque;

impl Roster {
    /// Its bytes.
    ///
    /// # Panics
    /// If there is something to [do](Roster::poll_action).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.actions.is_empty(), "who writes it down has asked");
        let mut w = Writer::new();
        w.u64(self.persons_signals.bits());
        let (fates, ways) = self.past.parts();
        w.list(fates, write_number);
        w.list(ways, |w, way| {
            w.bytes(&status_bytes(*way));
        });
        w.list(&self.members, |w, (number, member)| {
            member.write(w.u32(*number));
        });
        w.finish()
    }

    /// The roster of this job that these bytes say.
    ///
    /// # Errors
    /// If they were written by something else.
    pub fn decode(job: Job, bytes: &[u8]) -> Result<Roster, Malformed> {
        let r = &mut Reader::new(bytes);
        let persons_signals = SignalSet::from_bits(r.u64()?);
        let (fates, ways) = (r.list(Reader::u32)?, r.list(read_status)?);
        let past = Past::from_parts(fates, ways);
        Ok(Roster {
            job,
            members: r.list(|r| Ok((r.u32()?, Member::read(r)?)))?,
            past: past.ok_or(Malformed("an end is of no kind"))?,
            actions: VecDeque::new(),
            persons_signals,
        })
    }

    /// Whether it is about `count` processes, of which something is left of these, who live or do not.
    pub fn is_about(&self, count: u32, left: impl Iterator<Item = (u32, bool)>) -> bool {
        let members = self.members.iter();
        let members = members.map(|(number, member)| (*number, member.stage == Stage::Alive));
        self.past.given() == count && left.eq(members)
    }
}

impl Member {
    fn write(&self, w: &mut Writer) {
        w.option(self.parent.as_ref(), write_number);
        w.list(&self.linked_children, write_number);
        w.list(&self.late_children, write_number);
        w.u64(self.missed.bits());
        match self.stage {
            Stage::Alive => w.u8(0),
            Stage::Dead(status) => w.u8(1).bytes(&status_bytes(status)),
        };
        w.option(self.doom.map(doom_number).as_ref(), write_number);
        w.list(&self.peers, write_number);
        w.list(&self.waiters, |w, (waiter, id)| {
            w.u32(*waiter).u64(*id);
        });
        w.list(&self.awaited, write_number);
    }

    fn read(r: &mut Reader<'_>) -> Result<Member, Malformed> {
        Ok(Member {
            parent: r.option(Reader::u32)?,
            linked_children: r.list(Reader::u32)?,
            late_children: r.list(Reader::u32)?,
            missed: SignalSet::from_bits(r.u64()?),
            stage: match r.u8()? {
                0 => Stage::Alive,
                1 => Stage::Dead(read_status(r)?),
                _ => return Err(Malformed("an unknown stage of a process")),
            },
            doom: r.option(|r| doom_of(r.u32()?))?,
            peers: r.list(Reader::u32)?,
            waiters: r.list(|r| Ok((r.u32()?, r.u64()?)))?,
            awaited: r.list(Reader::u32)?,
        })
    }
}

/// As the wire has it, which has no way of its own to say just a status.
fn status_bytes(status: ExitStatus) -> Vec<u8> {
    let status = Some(status);
    Notice::Waited { id: 0, status }.encode()
}

fn read_status(r: &mut Reader<'_>) -> Result<ExitStatus, Malformed> {
    match Notice::decode(r.bytes()?)? {
        Notice::Waited {
            status: Some(status),
            ..
        } => Ok(status),
        _ => Err(Malformed("a status is not one")),
    }
}

/// The reasons for which a roster has somebody killed.
const DOOMS: [Reason; 3] = [Reason::Linked, Reason::Killed, Reason::Interrupted];

fn doom_number(reason: Reason) -> u32 {
    let found = DOOMS.iter().position(|doom| *doom == reason);
    found.expect("a roster knows no other reason") as u32
}

fn doom_of(number: u32) -> Result<Reason, Malformed> {
    let doom = DOOMS.get(number as usize).copied();
    doom.ok_or(Malformed("a reason is none of a roster's"))
}

fn write_number(w: &mut Writer, number: &u32) {
    w.u32(*number);
}
