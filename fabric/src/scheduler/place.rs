//! The nodes that go by one word (any, a name, a label), arranged to be searched, and the line of those who wait there.
//!
//! Deliberately absent: what is granted, and which nodes may be given any more.

use super::{
    Ask, NodeId,
    index::{Entry, Index},
};
use deploy_wire::resources::{Cpu, Mem, Resources};
use std::collections::BTreeMap;

/// Nodes, and who waits for one of them.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// What people call it: a node's name, a label, or nothing for all nodes together.
    pub(super) word: Option<String>,
    /// Those on which something may be placed, by what they have free.
    pub(super) open: Shelf,
    /// All, by what they have.
    pub(super) all: Shelf,
    /// Those who wait, in the order of asking.
    pub(super) line: BTreeMap<u64, Ask>,
    /// Those who wait for a node to come back, because none that is here could ever hold them.
    pub(super) stranded: BTreeMap<u64, Ask>,
    /// The node that the first of the line is sure to get some day: nobody who asked later waits for room there.
    pub(super) kept: Option<NodeId>,
}

impl Place {
    /// Whether one of its nodes has enough for this, if nobody else had anything, and it may be there.
    pub(super) fn can_hold(&self, ask: &Ask) -> bool {
        let is_apart = |node: NodeId| ask.apart.contains(&node);
        self.all.closest(ask.resources, is_apart).is_some()
    }

    /// Whether it is of no use any more.
    pub(super) fn is_empty(&self) -> bool {
        self.all.len() == 0 && self.line.is_empty() && self.stranded.is_empty()
    }
}

/// Nodes by how much they have of everything.
///
/// First by accelerators, so that who needs none is not put where they are; among those with the same number in order of
/// memory and in order of processors.
/// A class that has become empty stays: nodes move between the same few all the time.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    classes: BTreeMap<u32, Class>,
}

#[derive(Debug, Default)]
struct Class {
    by_mem: Index,
    by_cpu: Index,
}

impl Shelf {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.classes.values().map(|class| class.by_mem.len()).sum()
    }

    /// Puts a node there that has so much.
    pub(super) fn insert(&mut self, node: NodeId, has: Resources) {
        let class = self.classes.entry(has.gpu).or_default();
        class.by_mem.insert(by_mem(node, has));
        class.by_cpu.insert(by_cpu(node, has));
    }

    /// Takes a node away that was put there with so much.
    pub(super) fn remove(&mut self, node: NodeId, had: Resources) {
        let class = self.classes.get_mut(&had.gpu).expect("the node is here");
        class.by_mem.remove(by_mem(node, had));
        class.by_cpu.remove(by_cpu(node, had));
    }

    /// Of those that fit with the fewest accelerators: the one with the least memory, and the one with the fewest
    /// processors. Nodes to pass over cost a search each.
    pub(super) fn closest(
        &self,
        asked: Resources,
        pass_over: impl Fn(NodeId) -> bool,
    ) -> Option<[NodeId; 2]> {
        self.classes.range(asked.gpu..).find_map(|(_, class)| {
            let (mem, cpu) = (asked.mem.bytes(), asked.cpu.millionths());
            Some([
                first(&class.by_mem, mem, cpu, &pass_over)?,
                first(&class.by_cpu, cpu, mem, &pass_over)?,
            ])
        })
    }

    /// The nodes with the most accelerators, and among those with the most memory.
    pub(super) fn largest(&self, count_max: usize) -> Vec<(NodeId, Resources)> {
        let of_class = |(gpu, class): (&u32, &Class)| {
            let gpu = *gpu;
            let entries = class.by_mem.last(count_max).into_iter();
            entries.map(move |entry| (entry.node, resources(entry, gpu)))
        };
        let classes = self.classes.iter().rev();
        classes.flat_map(of_class).take(count_max).collect()
    }
}

fn first(
    index: &Index,
    first: u64,
    second_min: u64,
    pass_over: &impl Fn(NodeId) -> bool,
) -> Option<NodeId> {
    let mut from = Entry {
        first,
        second: second_min,
        node: NodeId(0),
    };
    loop {
        let found = index.first_from(from, second_min)?;
        if !pass_over(found.node) {
            return Some(found.node);
        }
        from = Entry {
            node: NodeId(found.node.0 + 1),
            ..found
        };
    }
}

fn by_mem(node: NodeId, has: Resources) -> Entry {
    Entry {
        first: has.mem.bytes(),
        second: has.cpu.millionths(),
        node,
    }
}

fn by_cpu(node: NodeId, has: Resources) -> Entry {
    Entry {
        first: has.cpu.millionths(),
        second: has.mem.bytes(),
        node,
    }
}

/// What an entry by memory stands for.
fn resources(entry: Entry, gpu: u32) -> Resources {
    Resources {
        mem: Mem::B * entry.first,
        cpu: Cpu::from_millionths(entry.second),
        gpu,
    }
}
