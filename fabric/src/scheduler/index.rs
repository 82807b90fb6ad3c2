//! Nodes in the order of one amount that they have, each with a second: sorted blocks, and a tree of what each block has
//! at most of the second.
//!
//! Deliberately absent: what the amounts mean, and ties; a node is there once, and an entry is unlike any other by it.
//!
//! The first entry from some point on that has enough of both is in its own block, or in the next whose largest second
//! amount is enough, which the tree tells in as many steps as the logarithm of the number of blocks. Blocks rather than
//! single entries hang there because a processor is fast where memory lies together.

use super::NodeId;

/// A set of entries in order.
#[derive(Debug, Default)]
pub(super) struct Index {
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
    entries: Vec<Entry>,
}

impl Index {
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
        if block.entries.len() < BLOCK_MAX {
            return self.raise(at, entry.second);
        }
        let upper = block.entries.split_off(BLOCK_MAX / 2);
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
        let len = block.entries.len();
        let next = self.blocks.get(at + 1).map(|next| next.entries.len());
        if len == 0 {
            self.blocks.remove(at);
            self.plant();
        } else if next.is_some_and(|next| len + next <= BLOCK_MAX / 2) {
            let next = self.blocks.remove(at + 1);
            self.blocks[at].entries.extend(next.entries);
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
            while knot % 2 == 1 {
                knot /= 2; // Nothing is to the right of it below that one.
            }
            if knot == 0 {
                return None;
            }
            knot += 1;
        }
        while knot < leaves {
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
        for (at, block) in self.blocks.iter().enumerate() {
            self.most[leaves + at] = block.second_max();
        }
        for knot in (1..leaves).rev() {
            self.most[knot] = self.most[2 * knot].max(self.most[2 * knot + 1]);
        }
    }

    /// A block has got an entry with so much.
    fn raise(&mut self, at: usize, second: u64) {
        let mut knot = self.most.len() / 2 + at;
        while knot > 0 && self.most[knot] < second {
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
        self.most[knot] = self.blocks[at].second_max();
        while knot > 1 {
            knot /= 2;
            self.most[knot] = self.most[2 * knot].max(self.most[2 * knot + 1]);
        }
    }
}

impl Block {
    fn new(entries: Vec<Entry>) -> Block {
        let begin = entries[0];
        Block { begin, entries }
    }

    fn second_max(&self) -> u64 {
        let seconds = self.entries.iter().map(|entry| entry.second);
        seconds.max().unwrap_or(0)
    }
}

/// Some cache lines, fewer steps than the tree saves. In tests so small that there are many.
const BLOCK_MAX: usize = if cfg!(test) { 4 } else { 64 };

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
