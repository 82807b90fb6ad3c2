//! Which parts of a new program are mostly the same as some of an old one.
//!
//! Deliberately absent: what they differ by.

use crate::search::Index;
use std::ops::Range;

/// A part of the new program that is mostly the same as one of the old.
#[derive(Clone, Default, Debug)]
pub(crate) struct Part {
    pub new_start: usize,
    pub new_end: usize,
    pub old_start: usize,
}

impl Part {
    /// Around two places that are equal, as far as most bytes are; not before `limit` in the new program.
    fn around(old: &[u8], new: &[u8], (old_at, new_at): (usize, usize), limit: usize) -> Part {
        let ahead = old[old_at..].iter().zip(&new[new_at..]);
        let ahead = worthwhile(ahead.map(|(old, new)| old == new));
        let behind = old[..old_at].iter().rev();
        let behind = behind.zip(new[limit..new_at].iter().rev());
        let behind = worthwhile(behind.map(|(old, new)| old == new));
        Part {
            new_start: new_at - behind,
            new_end: new_at + ahead,
            old_start: old_at - behind,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.new_end - self.new_start
    }

    /// The same, of a window that begins at this place of the new program.
    pub(crate) fn behind(self, window_start: usize) -> Part {
        Part {
            new_start: window_start + self.new_start,
            new_end: window_start + self.new_end,
            ..self
        }
    }

    pub(crate) fn old_end(&self) -> usize {
        self.old_start + self.len()
    }

    pub(crate) fn old_range(&self) -> Range<u64> {
        self.old_start as u64..self.old_end() as u64
    }

    /// Where in the new program lies what is at this place of the old one.
    pub(crate) fn new_place(&self, old_place: u64) -> u64 {
        old_place - self.old_start as u64 + self.new_start as u64
    }
}

/// How far to go so that the most bytes are equal beyond those that are not; looks past some that are not.
fn worthwhile(equal: impl Iterator<Item = bool>) -> usize {
    let (mut score, mut best, mut len) = (0_i64, 0, 0);
    for (passed, is_equal) in equal.enumerate() {
        score += if is_equal { 1 } else { -DIFFERENT_COSTS };
        if score > best {
            (best, len) = (score, passed + 1);
        } else if score < best - PATIENCE {
            break;
        }
    }
    len
}

/// Looks for the parts of one new program.
pub(crate) struct Search<'o> {
    old: &'o [u8],
    index: Index,
    /// How many places of the new program may yet be like none of the old.
    strange_left: u64,
}

impl<'o> Search<'o> {
    /// Indexes the old program. To look for what is in no part takes longest: with more of it than `strange_max` bytes the
    /// two are not worth comparing.
    pub(crate) fn of(old: &'o [u8], strange_max: u64) -> Search<'o> {
        Search {
            old,
            index: Index::new(old),
            strange_left: strange_max,
        }
    }

    /// The parts of the next window of the new program, with places from where that begins.
    pub(crate) fn parts<'s>(&'s mut self, new: &'s [u8]) -> Parts<'s, 'o> {
        Parts {
            search: self,
            new,
            at: 0,
            end: 0,
        }
    }
}

/// The parts of a window, in its order. Where too much of the program is in none, they end early.
pub(crate) struct Parts<'s, 'o> {
    search: &'s mut Search<'o>,
    new: &'s [u8],
    at: usize,
    end: usize,
}

impl Parts<'_, '_> {
    /// Whether so much of the new program was in no part that the rest was not looked at.
    pub(crate) fn were_given_up(&self) -> bool {
        self.search.strange_left == 0 && self.at < self.new.len()
    }
}

impl Iterator for Parts<'_, '_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let old = self.search.old;
        while self.at < self.new.len() && self.search.strange_left > 0 {
            let found = self.search.index.find(old, self.new, self.at, self.end);
            if let Some(found) = found {
                let part = Part::around(old, self.new, found, self.end);
                (self.at, self.end) = (part.new_end, part.new_end);
                return Some(part);
            }
            self.at += 1;
            self.search.strange_left -= 1;
        }
        None
    }
}

/// In tables most bytes are zero, so that two places of one are half equal, whatever they hold. With this a part goes on only
/// where two of three bytes are.
const DIFFERENT_COSTS: i64 = 2;
/// A part ends when this much was lost since it was best.
const PATIENCE: i64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_strange_is_not_looked_at_to_its_end() {
        let noise = |seed: u32, at: u32| (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(9);
        let program = |seed| -> Vec<u8> {
            let numbers = (0..1000).map(|at| noise(seed, at));
            numbers.flat_map(u32::to_le_bytes).collect()
        };
        let (old, new) = (program(1 << 20), program(1 << 30));
        let mut search = Search::of(&old, 500);
        let mut parts = search.parts(&new);
        assert!(parts.next().is_none() && parts.were_given_up());
        assert_eq!(parts.at, 500);
        assert!(search.parts(&old).were_given_up());
        let mut search = Search::of(&old, 5000);
        let mut parts = search.parts(&new);
        assert!(parts.next().is_none() && !parts.were_given_up());
        let half = [&new[..400], &old[..]].concat();
        let mut search = Search::of(&old, 500);
        let mut parts = search.parts(&half);
        assert_eq!(parts.by_ref().map(|part| part.len()).sum::<usize>(), 4000);
        assert!(!parts.were_given_up());
    }
}
