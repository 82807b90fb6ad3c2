//! Nodes in the order of one amount that they have, each with a second: sorted blocks, and a tree of what each block has
//! at most of the second.
//!
//! Deliberately absent: what the amounts mean, and ties; a node is there once, and an entry is unlike any other by it.
//!
//! The first entry from some point on that has enough of both is in its own block, or in the next whose largest second
//! amount is enough, which the tree tells in as many steps as the logarithm of the number of blocks. Blocks rather than
//! single entries hang there because a processor is fast where memory lies together. Where a block is split or two become
//! one, the tree is made anew of what the blocks remember: a step for each block, once in some hundred changes.

use super::NodeId;

/// A set of entries in order.
#[derive(Debug)]
pub(super) struct Index {
    /// How many entries a block has before it is split.
    block_max: usize,
    blocks: Vec<Block>,
    /// A complete binary tree, its root at 1: the largest second amount in the blocks below each of its knots.
    most: Vec<u64>,
    len: usize,
}

/// What is sorted: by the first amount, then the second, then the node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    pub(super) first: u64,
    pub(super) second: u64,
    pub(super) node: NodeId,
}

/// Entries that lie together; there is one at least.
#[derive(Debug)]
struct Block {
    begin: Entry,
    /// The largest second amount in it.
    most: u64,
    entries: Vec<Entry>,
}

impl Default for Index {
    /// In tests with blocks so small that there are many.
    fn default() -> Index {
        Index::with_blocks_of(if cfg!(test) { 4 } else { BLOCK_MAX })
    }
}

impl Index {
    fn with_blocks_of(block_max: usize) -> Index {
        Index {
            block_max,
            blocks: Vec::new(),
            most: Vec::new(),
            len: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        if self.blocks.is_empty() {
            self.blocks.push(Block::new(vec![entry]));
            return self.plant();
        }
        let at = self.block_of(entry);
        let block = &mut self.blocks[at];
        let place = block.entries.partition_point(|other| *other < entry);
        block.entries.insert(place, entry);
        block.begin = block.entries[0];
        block.most = block.most.max(entry.second);
        count(block.entries.len());
        if block.entries.len() < self.block_max {
            return self.raise(at, entry.second);
        }
        let upper = block.entries.split_off(self.block_max / 2);
        block.most = block.second_max();
        self.blocks.insert(at + 1, Block::new(upper));
        self.plant();
    }

    /// Removes one that is there.
    pub(super) fn remove(&mut self, entry: Entry) {
        self.len -= 1;
        let at = self.block_of(entry);
        let block = &mut self.blocks[at];
        let place = block.entries.binary_search(&entry);
        block
            .entries
            .remove(place.expect("what is removed is there"));
        if let Some(begin) = block.entries.first() {
            block.begin = *begin;
        }
        if block.most == entry.second {
            block.most = block.second_max();
        }
        count(block.entries.len());
        let len = block.entries.len();
        let next = self.blocks.get(at + 1).map(|next| next.entries.len());
        if len == 0 {
            self.blocks.remove(at);
            self.plant();
        } else if next.is_some_and(|next| len + next <= self.block_max / 2) {
            let next = self.blocks.remove(at + 1);
            let block = &mut self.blocks[at];
            block.entries.extend(next.entries);
            block.most = block.most.max(next.most);
            self.plant();
        } else {
            self.lower(at, entry.second);
        }
    }

    /// The first, not before `from`, whose second amount is at least `second_min`.
    pub(super) fn first_from(&self, from: Entry, second_min: u64) -> Option<Entry> {
        if self.blocks.is_empty() {
            return None;
        }
        let at = self.block_of(from);
        let here = &self.blocks[at].entries;
        let here = &here[here.partition_point(|other| *other < from)..];
        let is_enough = |entry: &&Entry| entry.second >= second_min;
        count(here.len());
        let found = here.iter().find(is_enough).or_else(|| {
            let next = self.next_block(at + 1, second_min)?;
            self.blocks[next].entries.iter().find(is_enough)
        });
        found.copied()
    }

    /// The last ones, the last of all first.
    pub(super) fn last(&self, count_max: usize) -> Vec<Entry> {
        let blocks = self.blocks.iter().rev();
        let entries = blocks.flat_map(|block| block.entries.iter().rev());
        entries.take(count_max).copied().collect()
    }

    /// The block in which an entry is, or would be.
    fn block_of(&self, entry: Entry) -> usize {
        count(self.blocks.len().ilog2() as usize + 1);
        let after = self.blocks.partition_point(|block| block.begin <= entry);
        after.saturating_sub(1)
    }

    /// The first block from `at` on that has so much of the second amount.
    fn next_block(&self, at: usize, second_min: u64) -> Option<usize> {
        let leaves = self.most.len() / 2;
        if at >= self.blocks.len() {
            return None;
        }
        let mut knot = at + leaves;
        while self.most[knot] < second_min {
            count(1);
            while knot % 2 == 1 {
                count(1);
                knot /= 2; // Nothing is to the right of it below that one.
            }
            if knot == 0 {
                return None;
            }
            knot += 1;
        }
        while knot < leaves {
            count(1);
            knot *= 2;
            knot += usize::from(self.most[knot] < second_min);
        }
        let found = knot - leaves;
        (found < self.blocks.len()).then_some(found)
    }

    /// Makes the tree anew, since the blocks are others.
    fn plant(&mut self) {
        let leaves = self.blocks.len().next_power_of_two();
        self.most.clear();
        self.most.resize(2 * leaves, 0);
        count(2 * leaves);
        for (at, block) in self.blocks.iter().enumerate() {
            self.most[leaves + at] = block.most;
        }
        for knot in (1..leaves).rev() {
            self.most[knot] = self.most[2 * knot].max(self.most[2 * knot + 1]);
        }
    }

    /// A block has got an entry with so much.
    fn raise(&mut self, at: usize, second: u64) {
        let mut knot = self.most.len() / 2 + at;
        while knot > 0 && self.most[knot] < second {
            count(1);
            self.most[knot] = second;
            knot /= 2;
        }
    }

    /// A block has lost an entry with so much.
    fn lower(&mut self, at: usize, second: u64) {
        let mut knot = self.most.len() / 2 + at;
        if self.most[knot] > second {
            return;
        }
        self.most[knot] = self.blocks[at].most;
        while knot > 1 {
            count(1);
            knot /= 2;
            self.most[knot] = self.most[2 * knot].max(self.most[2 * knot + 1]);
        }
    }
}

impl Block {
    fn new(entries: Vec<Entry>) -> Block {
        let mut block = Block {
            begin: entries[0],
            most: 0,
            entries,
        };
        block.most = block.second_max();
        block
    }

    fn second_max(&self) -> u64 {
        let seconds = self.entries.iter().map(|entry| entry.second);
        seconds.max().unwrap_or(0)
    }
}

/// Counts what takes time, where a test asks how much that is.
#[inline]
fn count(_steps: usize) {
    #[cfg(test)]
    tests::STEPS.set(tests::STEPS.get() + _steps);
}

/// Some cache lines, fewer steps than the tree saves.
const BLOCK_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{cell::Cell, collections::BTreeSet};

    thread_local! {
        pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    /// Steps of a placement: a search, and a node that moves within the order.
    fn steps(nodes: u32) -> f64 {
        let mut index = Index::with_blocks_of(BLOCK_MAX);
        let mut random = 1_u64;
        let mut below = |end: u64| {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (random >> 33) % end
        };
        let mut entry = |node| Entry {
            first: below(1 << 20),
            second: below(1 << 20),
            node: NodeId(node),
        };
        let mut entries: Vec<Entry> = (0..nodes).map(&mut entry).collect();
        entries.iter().for_each(|entry| index.insert(*entry));
        STEPS.set(0);
        const PLACEMENTS: u32 = 100_000;
        for placement in 0..PLACEMENTS {
            let node = placement.wrapping_mul(2_654_435_761) % nodes;
            let sought = entry(node);
            index.first_from(sought, sought.second);
            let before = std::mem::replace(&mut entries[node as usize], entry(node));
            index.remove(before);
            index.insert(entries[node as usize]);
        }
        STEPS.get() as f64 / f64::from(PLACEMENTS)
    }

    #[test]
    fn steps_grow_no_faster_than_the_logarithm() {
        let [few, many] = [100, 10_000].map(steps);
        println!("{few:.0} steps with 100 nodes, {many:.0} with 10,000");
        // Twice as many digits.
        assert!(many <= 2.0 * few, "{few} {many}");
    }

    proptest! {
        #[test]
        fn it_finds_what_a_sorted_set_finds(
            changes in prop::collection::vec((0u64..6, 0u64..6, 0u32..6), 1..300),
            (first, second_min) in (0u64..7, 0u64..7),
        ) {
            let (mut index, mut plain) = (Index::default(), BTreeSet::new());
            for (first, second, node) in changes {
                let entry = Entry { first, second, node: NodeId(node) };
                match plain.remove(&entry) {
                    true => index.remove(entry),
                    false => {
                        plain.insert(entry);
                        index.insert(entry);
                    }
                }
            }
            let from = Entry { first, second: 0, node: NodeId(0) };
            let expect = plain.range(from..).find(|entry| entry.second >= second_min);
            prop_assert_eq!(index.first_from(from, second_min), expect.copied());
            prop_assert_eq!(index.last(3), plain.iter().rev().take(3).copied().collect::<Vec<_>>());
            prop_assert_eq!(index.len(), plain.len());
        }
    }
}
