//! Nodes in the order of one amount that they have, each with a second: a treap, whose steps cost the logarithm of its
//! size.
//!
//! Deliberately absent: what the amounts mean, and ties; a node is there once, and an entry is unlike any other by it.
//!
//! Each entry knows the largest second amount of all that hang below it. So the first entry from some point on that has
//! enough of both is found without looking at those that have not.

use super::NodeId;

/// A set of entries in order.
#[derive(Debug)]
pub(super) struct Index {
    slots: Vec<Slot>,
    vacant: Vec<Link>,
    root: Link,
    slots_made: u32,
}

/// What is sorted: by the first amount, then the second, then the node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry {
    pub(super) first: u64,
    pub(super) second: u64,
    pub(super) node: NodeId,
}

type Link = u32;

#[derive(Debug)]
struct Slot {
    entry: Entry,
    /// The largest second amount here and below.
    second_max: u64,
    /// Random, and not smaller than those below: that keeps the tree flat.
    weight: u32,
    left: Link,
    right: Link,
}

impl Default for Index {
    fn default() -> Index {
        Index {
            slots: Vec::new(),
            vacant: Vec::new(),
            root: NONE,
            slots_made: 0,
        }
    }
}

impl Index {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, entry: Entry) {
        let new = self.slot(entry);
        self.root = self.insert_below(self.root, new);
    }

    /// Removes one that is there.
    pub(super) fn remove(&mut self, entry: Entry) {
        self.root = self.remove_below(self.root, entry);
    }

    /// The first, not before `from`, whose second amount is at least `second_min`.
    pub(super) fn first_from(&self, from: Entry, second_min: u64) -> Option<Entry> {
        self.first_below(self.root, from, second_min)
    }

    /// The last ones, the last of all first.
    pub(super) fn last(&self, count_max: usize) -> Vec<Entry> {
        let mut found = Vec::new();
        self.last_below(self.root, count_max, &mut found);
        found
    }

    fn first_below(&self, at: Link, from: Entry, second_min: u64) -> Option<Entry> {
        let slot = self.slots.get(at as usize)?;
        if slot.second_max < second_min {
            return None;
        }
        if slot.entry < from {
            return self.first_below(slot.right, from, second_min);
        }
        self.first_below(slot.left, from, second_min)
            .or_else(|| (slot.entry.second >= second_min).then_some(slot.entry))
            .or_else(|| self.first_below(slot.right, from, second_min))
    }

    fn last_below(&self, at: Link, count_max: usize, found: &mut Vec<Entry>) {
        let Some(slot) = self.slots.get(at as usize) else {
            return;
        };
        self.last_below(slot.right, count_max, found);
        if found.len() < count_max {
            found.push(slot.entry);
            self.last_below(slot.left, count_max, found);
        }
    }

    fn insert_below(&mut self, at: Link, new: Link) -> Link {
        if at == NONE {
            return new;
        }
        let entry = self.slots[new as usize].entry;
        if self.slots[new as usize].weight > self.slots[at as usize].weight {
            let (left, right) = self.split(at, entry);
            self.slots[new as usize].left = left;
            self.slots[new as usize].right = right;
            self.sum_up(new);
            return new;
        }
        if entry < self.slots[at as usize].entry {
            let left = self.insert_below(self.slots[at as usize].left, new);
            self.slots[at as usize].left = left;
        } else {
            let right = self.insert_below(self.slots[at as usize].right, new);
            self.slots[at as usize].right = right;
        }
        self.sum_up(at);
        at
    }

    fn remove_below(&mut self, at: Link, entry: Entry) -> Link {
        assert!(at != NONE, "what is removed is there");
        let Slot { left, right, .. } = self.slots[at as usize];
        match entry.cmp(&self.slots[at as usize].entry) {
            std::cmp::Ordering::Equal => {
                self.vacant.push(at);
                return self.merge(left, right);
            }
            std::cmp::Ordering::Less => {
                self.slots[at as usize].left = self.remove_below(left, entry);
            }
            std::cmp::Ordering::Greater => {
                self.slots[at as usize].right = self.remove_below(right, entry);
            }
        }
        self.sum_up(at);
        at
    }

    /// Those before an entry, and those after it.
    fn split(&mut self, at: Link, entry: Entry) -> (Link, Link) {
        if at == NONE {
            return (NONE, NONE);
        }
        let Slot { left, right, .. } = self.slots[at as usize];
        let parts = if self.slots[at as usize].entry < entry {
            let (before, after) = self.split(right, entry);
            self.slots[at as usize].right = before;
            (at, after)
        } else {
            let (before, after) = self.split(left, entry);
            self.slots[at as usize].left = after;
            (before, at)
        };
        self.sum_up(at);
        parts
    }

    /// All of `left`, then all of `right`.
    fn merge(&mut self, left: Link, right: Link) -> Link {
        let weight = |at: Link| self.slots.get(at as usize).map(|slot| slot.weight);
        match (weight(left), weight(right)) {
            (None, _) => right,
            (_, None) => left,
            (Some(ours), Some(theirs)) if ours > theirs => {
                let below = self.merge(self.slots[left as usize].right, right);
                self.slots[left as usize].right = below;
                self.sum_up(left);
                left
            }
            _ => {
                let below = self.merge(left, self.slots[right as usize].left);
                self.slots[right as usize].left = below;
                self.sum_up(right);
                right
            }
        }
    }

    fn sum_up(&mut self, at: Link) {
        let Slot { left, right, .. } = self.slots[at as usize];
        let below = |at: Link| {
            self.slots
                .get(at as usize)
                .map_or(0, |slot| slot.second_max)
        };
        let below = below(left).max(below(right));
        let slot = &mut self.slots[at as usize];
        slot.second_max = slot.entry.second.max(below);
    }

    fn slot(&mut self, entry: Entry) -> Link {
        self.slots_made = self.slots_made.wrapping_add(1);
        let slot = Slot {
            entry,
            second_max: entry.second,
            weight: scattered(self.slots_made),
            left: NONE,
            right: NONE,
        };
        if let Some(at) = self.vacant.pop() {
            self.slots[at as usize] = slot;
            return at;
        }
        self.slots.push(slot);
        (self.slots.len() - 1) as Link
    }
}

/// Numbers one after another, made to look like random ones. The same run always makes the same tree.
fn scattered(number: u32) -> u32 {
    let mixed = (number ^ (number >> 16)).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x846c_a68b);
    mixed ^ (mixed >> 16)
}

/// Beyond every slot.
const NONE: Link = Link::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn depth(index: &Index, at: Link) -> usize {
        let Some(slot) = index.slots.get(at as usize) else {
            return 0;
        };
        1 + depth(index, slot.left).max(depth(index, slot.right))
    }

    proptest! {
        #[test]
        fn it_finds_what_a_sorted_set_finds(
            changes in prop::collection::vec((0u64..6, 0u64..6, 0u32..6), 1..200),
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

    #[test]
    fn it_stays_flat() {
        let mut index = Index::default();
        let entry = |number: u32| Entry {
            first: u64::from(number),
            second: 0,
            node: NodeId(number),
        };
        (0..100_000).for_each(|number| index.insert(entry(number)));
        (0..90_000).for_each(|number| index.remove(entry(number)));
        let depth = depth(&index, index.root);
        assert!(depth < 60, "10,000 entries in order lie {depth} deep");
    }
}
