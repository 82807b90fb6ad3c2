//! A roster in bytes, from which the same one is made again.
//!
//! Deliberately absent: what it has decided and nobody has done yet. Who writes one down asks for that first.

use super::{Member, Roster, Stage, past::Past};
use crate::signal_set::SignalSet;
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
        write_numbers(&mut w, fates.iter());
        w.list(ways, |w, way| {
            w.bytes(&status_bytes(*way));
        });
        w.u32(self.members.len() as u32);
        for (number, member) in &self.members {
            member.write(w.u32(*number));
        }
        w.finish()
    }

    /// The roster of this job that these bytes say.
    ///
    /// # Errors
    /// If they were written by something else.
    pub fn decode(job: Job, bytes: &[u8]) -> Result<Roster, Malformed> {
        let r = &mut Reader::new(bytes);
        let persons_signals = SignalSet::from_bits(r.u64()?);
        let (fates, ways) = (read_numbers(r)?, r.list(read_status)?);
        let past = Past::from_parts(fates, ways);
        let members = (0..r.u32()?).map(|_| Ok((r.u32()?, Member::read(r)?)));
        Ok(Roster {
            job,
            members: members.collect::<Result<_, Malformed>>()?,
            past: past.ok_or(Malformed("an end is of no kind"))?,
            actions: VecDeque::new(),
            persons_signals,
        })
    }
}

impl Member {
    fn write(&self, w: &mut Writer) {
        write_option(w, self.parent);
        write_numbers(w, self.linked_children.iter());
        write_numbers(w, self.late_children.iter());
        w.u64(self.missed.bits());
        match self.stage {
            Stage::Alive => w.u8(0),
            Stage::Dead(status) => w.u8(1).bytes(&status_bytes(status)),
        };
        write_option(w, self.doom.map(doom_number));
        write_numbers(w, self.peers.iter());
        w.u32(self.waiters.len() as u32);
        for (waiter, id) in &self.waiters {
            w.u32(*waiter).u64(*id);
        }
        write_numbers(w, self.awaited.iter());
    }

    fn read(r: &mut Reader<'_>) -> Result<Member, Malformed> {
        Ok(Member {
            parent: r.option(Reader::u32)?,
            linked_children: read_numbers(r)?,
            late_children: read_numbers(r)?,
            missed: SignalSet::from_bits(r.u64()?),
            stage: match r.u8()? {
                0 => Stage::Alive,
                1 => Stage::Dead(read_status(r)?),
                _ => return Err(Malformed("an unknown stage of a process")),
            },
            doom: r.option(|r| doom_of(r.u32()?))?,
            peers: read_numbers(r)?,
            waiters: (0..r.u32()?)
                .map(|_| Ok((r.u32()?, r.u64()?)))
                .collect::<Result<_, Malformed>>()?,
            awaited: read_numbers(r)?,
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

fn write_option(w: &mut Writer, number: Option<u32>) {
    w.option(number, |w, number| {
        w.u32(number);
    });
}

fn write_numbers<'a>(w: &mut Writer, numbers: impl ExactSizeIterator<Item = &'a u32>) {
    w.u32(numbers.len() as u32);
    for number in numbers {
        w.u32(*number);
    }
}

fn read_numbers<C: FromIterator<u32>>(r: &mut Reader<'_>) -> Result<C, Malformed> {
    (0..r.u32()?).map(|_| r.u32()).collect()
}
