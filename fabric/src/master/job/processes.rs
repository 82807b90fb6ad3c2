//! The processes of a job: all that there is to know of those of which something is left, and of the others where they were,
//! in four bytes. So a job may have millions over its life.
//!
//! Deliberately absent: how they ended, which the roster remembers.

use super::{Process, Stage};
use crate::scheduler::NodeId;
use deploy_wire::bytes::{Malformed, Reader, Writer};
use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
};

/// By number, from when room was granted.
#[derive(Default, Debug)]
pub(super) struct Processes {
    left: BTreeMap<u32, Process>,
    nodes: Vec<NodeId>,
}

impl Processes {
    /// How many there ever were.
    pub fn count(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// One more, with the next number.
    pub fn push(&mut self, process: Process) {
        let number = self.count();
        self.nodes.push(process.node);
        self.left.insert(number, process);
    }

    /// One of which something is left.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Process> {
        self.left.get_mut(&number)
    }

    /// All of which something is left, in the order of their numbers.
    pub fn left(&self) -> impl Iterator<Item = (u32, &Process)> {
        self.left.iter().map(|(number, process)| (*number, process))
    }

    /// How far one has come; nothing, if there never was such a one.
    pub fn stage(&self, number: u32) -> Option<Stage> {
        match self.left.get(&number) {
            Some(process) => Some(process.stage),
            None => (number < self.count()).then_some(Stage::Gone),
        }
    }

    /// Where one is, or was.
    pub fn node(&self, number: u32) -> Option<NodeId> {
        self.nodes.get(number as usize).copied()
    }

    /// Nothing is left of this one.
    pub fn forget(&mut self, number: u32) {
        self.left.remove(&number);
    }

    /// They in bytes.
    pub fn write(&self, w: &mut Writer) {
        w.list(self.nodes.iter(), |w, node| {
            w.u32(node.number());
        });
        w.list(self.left.iter(), |w, (number, process)| {
            process.write(w.u32(*number));
        });
    }

    /// What that has written.
    pub fn read(r: &mut Reader<'_>) -> Result<Processes, Malformed> {
        Ok(Processes {
            nodes: r.list(|r| Ok(NodeId::from_number(r.u32()?)))?,
            left: r.list(|r| Ok((r.u32()?, Process::read(r)?)))?,
        })
    }
}

/// One of which something is left.
///
/// # Panics
/// If nothing is, or there never was such a one.
impl Index<u32> for Processes {
    type Output = Process;

    fn index(&self, number: u32) -> &Process {
        self.left.get(&number).expect(IS_LEFT)
    }
}

impl IndexMut<u32> for Processes {
    fn index_mut(&mut self, number: u32) -> &mut Process {
        self.left.get_mut(&number).expect(IS_LEFT)
    }
}

const IS_LEFT: &str = "what is told of a process is looked at before";
