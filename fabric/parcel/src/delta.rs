//! One program as a change of another: which parts of it lie where in the old one, and by which bytes they differ.
//!
//! Deliberately absent: compression. What is made here is mostly small numbers that repeat, so it must follow.
//!
//! # Why programs differ as they do
//! A line more in a source moves all code behind it. What is moved is the same but for what leads across that line; so the old
//! program is first read with its references corrected (`moves.rs`). What is then left is a number here and there. So a
//! part is copied although it is not equal, as long as most of its bytes are, and the differences follow; those repeat, and
//! compress well.
//!
//! # The format
//! Numbers are of seven bits a byte, the lowest first, the eighth bit set in all but the last. Five lists, each behind the
//! length of all its bytes as `u32`, little-endian:
//! 1. moves, as `moves.rs` has them;
//! 2. parts: how many bytes to copy, how many new ones follow, how far the old program's cursor then jumps (lowest bit
//!    set: backwards);
//! 3. differences: over all copies, how many bytes are equal, how many after that differ;
//! 4. the differing bytes, new minus old;
//! 5. the new bytes.

pub use crate::base::{Base, Nonsense};
use crate::{
    base::nonsense,
    moves::{BLOCK_BYTES, Corrected, Moves},
    numbers,
    parts::{Part, Search},
    windows::Windows,
};
use std::{
    io::{self, Read, Write},
    ops::Range,
};

/// What makes `new` of `old`; nothing, if that is longer than `len_max`, or more work than [`apply`] does. Takes some 40 MiB of
/// memory and twice as much as comes of it, beside the old program.
///
/// # Errors
/// If the new program cannot be read.
pub fn make<B: Base + ?Sized>(
    mut old: Vec<u8>,
    new: &B,
    len_max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let Some(moves) = Moves::between(&old, new, len_max)? else {
        return Ok(None);
    };
    moves.apply(&mut old);
    let mut change = Change {
        moves: moves.encode(),
        ..Change::default()
    };
    let mut search = Search::of(&old, len_max);
    let mut work = Work::of(new.bytes()?);
    let mut old_end = 0;
    for window in Windows::of(new) {
        let window = &window?.bytes[..];
        let mut part = Part {
            old_start: old_end,
            ..Part::default()
        };
        let mut parts = search.parts(window);
        for next in parts.by_ref() {
            // It is looked at first, because what is not similar is all fresh.
            if change.len() + (next.new_start - part.new_end) as u64 > len_max
                || work.take(&next.old_range()).is_none()
            {
                return Ok(None);
            }
            change.add(&old, window, &part, next.new_start, next.old_start);
            part = next;
        }
        if parts.were_given_up() || change.len() + (window.len() - part.new_end) as u64 > len_max {
            return Ok(None);
        }
        change.add(&old, window, &part, window.len(), part.old_end());
        old_end = part.old_end();
    }
    Ok(Some(change.finish()))
}

/// Writes what a change makes of `old`, which may be `len_max` bytes. Nothing is reserved for lengths that are only announced,
/// and no more work is done than such a program is worth.
///
/// # Errors
/// If it is cut or makes no sense; what was written then is worth nothing.
pub fn apply<B: Base + ?Sized>(
    old: &B,
    mut change: impl Read,
    len_max: u64,
    out: impl Write,
) -> io::Result<()> {
    let list_max = len_max.saturating_add(LIST_BYTES_SPARE).min(LIST_BYTES_MAX);
    let mut list = || read_list(&mut change, list_max);
    let moves = Moves::decode(&list()?)?;
    let (parts, gaps, differing, fresh) = (list()?, list()?, list()?, list()?);
    let mut making = Making {
        old: &Corrected::new(old, moves),
        gaps: &gaps,
        differing: &differing,
        fresh: &fresh,
        equal: 0,
        different: 0,
        out,
        buffer: Vec::new(),
        work: Work::of(len_max),
    };
    let (mut parts, mut cursor) = (parts.as_slice(), 0_u64);
    while !parts.is_empty() {
        let (copied, fresh, jump) = (
            numbers::take(&mut parts)?,
            numbers::take(&mut parts)?,
            numbers::take(&mut parts)?,
        );
        making.copy(cursor, copied)?;
        making.add(fresh)?;
        let distance = jump >> 1;
        let end = cursor.wrapping_add(copied); // It was copied, so it is within.
        let moved = match jump & 1 {
            0 => end.checked_add(distance),
            _ => end.checked_sub(distance),
        };
        cursor = moved.ok_or_else(nonsense)?;
    }
    match making.gaps.is_empty() && making.differing.is_empty() && making.fresh.is_empty() {
        true => Ok(()),
        false => Err(nonsense()),
    }
}

/// The lists, as they grow.
#[derive(Default)]
struct Change {
    moves: Vec<u8>,
    parts: Vec<u8>,
    gaps: Vec<u8>,
    differing: Vec<u8>,
    fresh: Vec<u8>,
    /// Equal bytes since the last that differed.
    equal: u64,
}

impl Change {
    /// A part, what follows it up to `fresh_end`, and where the old program's cursor is then to be.
    fn add(&mut self, old: &[u8], new: &[u8], part: &Part, fresh_end: usize, cursor: usize) {
        let copied = &new[part.new_start..part.new_end];
        self.compare(&old[part.old_start..part.old_end()], copied);
        let fresh = &new[part.new_end..fresh_end];
        self.fresh.extend(fresh);
        numbers::put(&mut self.parts, copied.len() as u64);
        numbers::put(&mut self.parts, fresh.len() as u64);
        let jump = match cursor.checked_sub(part.old_end()) {
            Some(forwards) => (forwards as u64) << 1,
            None => ((part.old_end() - cursor) as u64) << 1 | 1,
        };
        numbers::put(&mut self.parts, jump);
    }

    /// Of all lists together.
    fn len(&self) -> u64 {
        let lists = [&self.parts, &self.gaps, &self.differing, &self.fresh];
        (self.moves.len() + lists.map(Vec::len).iter().sum::<usize>()) as u64
    }

    fn compare(&mut self, old: &[u8], new: &[u8]) {
        let mut at = 0;
        while at < new.len() {
            let differ = |(old, new): (&u8, &u8)| old != new;
            let same = |(old, new): (&u8, &u8)| old == new;
            let mut rest = old[at..].iter().zip(&new[at..]);
            let equal = rest.position(differ).unwrap_or(new.len() - at);
            self.equal += equal as u64;
            at += equal;
            let mut rest = old[at..].iter().zip(&new[at..]);
            let different = rest.position(same).unwrap_or(new.len() - at);
            if different == 0 {
                return;
            }
            numbers::put(&mut self.gaps, std::mem::take(&mut self.equal));
            numbers::put(&mut self.gaps, different as u64);
            let both = old[at..at + different].iter().zip(&new[at..]);
            self.differing
                .extend(both.map(|(old, new)| new.wrapping_sub(*old)));
            at += different;
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut change = Vec::new();
        for list in [
            self.moves,
            self.parts,
            self.gaps,
            self.differing,
            self.fresh,
        ] {
            let len = u32::try_from(list.len()).expect("programs that are changed are far shorter");
            change.extend(len.to_le_bytes());
            change.extend(list);
        }
        change
    }
}

/// What is left of the lists, and where the result goes.
struct Making<'c, B: ?Sized, W> {
    old: &'c B,
    gaps: &'c [u8],
    differing: &'c [u8],
    fresh: &'c [u8],
    /// How many bytes are equal yet, and then differ, before the next gap is read.
    equal: u64,
    different: u64,
    out: W,
    buffer: Vec<u8>,
    work: Work,
}

impl<B: Base + ?Sized, W: Write> Making<'_, B, W> {
    /// Copies from the old program, with the differences.
    fn copy(&mut self, from: u64, len: u64) -> io::Result<()> {
        let end = from.checked_add(len).ok_or_else(nonsense)?;
        if end > self.old.bytes()? || self.work.take(&(from..end)).is_none() {
            return Err(nonsense());
        }
        let mut at = from;
        while at < end {
            let piece = (end - at).min(PIECE_BYTES as u64);
            self.buffer.resize(piece as usize, 0);
            self.old.read_at(&mut self.buffer, at)?;
            self.correct()?;
            self.out.write_all(&self.buffer)?;
            at += piece;
        }
        Ok(())
    }

    fn correct(&mut self) -> io::Result<()> {
        let mut at = 0;
        while at < self.buffer.len() {
            if self.equal == 0 && self.different == 0 {
                if self.gaps.is_empty() {
                    return Ok(()); // The rest is equal.
                }
                self.equal = numbers::take(&mut self.gaps)?;
                self.different = numbers::take(&mut self.gaps)?;
            }
            let left = (self.buffer.len() - at) as u64;
            let equal = self.equal.min(left);
            self.equal -= equal;
            at += equal as usize;
            let different = self.different.min(left - equal);
            self.different -= different;
            let differences = take(&mut self.differing, different)?;
            for (byte, difference) in self.buffer[at..].iter_mut().zip(differences) {
                *byte = byte.wrapping_add(*difference);
            }
            at += different as usize;
        }
        Ok(())
    }

    fn add(&mut self, len: u64) -> io::Result<()> {
        let bytes = take(&mut self.fresh, len)?;
        self.out.write_all(bytes)
    }
}

/// What may yet be copied. To correct the references in a block takes 10 us, and who copies a byte has a whole block corrected:
/// so a change of some MiB could cost minutes, if it were made to.
struct Work {
    left: u64,
    /// The block that was corrected last, and is at hand.
    last: Option<u64>,
}

impl Work {
    /// As much as a program of this length is worth.
    fn of(len: u64) -> Work {
        let blocks = (len / BLOCK_BYTES as u64).saturating_mul(TIMES_CORRECTED_MAX);
        Work {
            left: (blocks.min(BLOCKS_MAX) + BLOCKS_FREE) * BLOCK_COSTS,
            last: None,
        }
    }

    /// To copy this; nothing, if it is too much.
    fn take(&mut self, range: &Range<u64>) -> Option<()> {
        let (first, end) = (
            range.start / BLOCK_BYTES as u64,
            range.end.div_ceil(BLOCK_BYTES as u64),
        );
        let is_at_hand = self.last == Some(first);
        let blocks = end.saturating_sub(first + u64::from(is_at_hand));
        if blocks > 0 {
            self.last = Some(end - 1);
        }
        self.left = self.left.checked_sub(1 + blocks * BLOCK_COSTS)?;
        Some(())
    }
}

fn read_list(change: &mut impl Read, len_max: u64) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    change.read_exact(&mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    if len > len_max {
        return Err(nonsense());
    }
    let mut list = Vec::new();
    match change.take(len).read_to_end(&mut list)? as u64 == len {
        true => Ok(list),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn take<'l>(list: &mut &'l [u8], len: u64) -> io::Result<&'l [u8]> {
    let len = usize::try_from(len).map_err(|_| nonsense())?;
    let (taken, rest) = list.split_at_checked(len).ok_or_else(nonsense)?;
    *list = rest;
    Ok(taken)
}

/// All lists of a change lie in memory, and together are no longer if they are well meant.
pub(crate) const LIST_BYTES_MAX: u64 = 32 << 20;
/// Of the lists in a change none is longer than the program by more.
const LIST_BYTES_SPARE: u64 = 64;
/// What it costs to correct a block, where a copy of what is at hand costs one.
const BLOCK_COSTS: u64 = 8;
/// Where programs are similar each block is copied from once. Of two builds of 100 MB in different directories, with symbols, whose
/// change just fits the lists, it was 18 times.
const TIMES_CORRECTED_MAX: u64 = 24;
/// Some ten seconds.
const BLOCKS_MAX: u64 = 1 << 20;
/// Small programs may have many parts: 64 MiB, a fifth of a second.
const BLOCKS_FREE: u64 = 16 << 10;
/// What is written at once.
const PIECE_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(old: &[u8], new: &[u8]) -> Vec<u8> {
        make(old.to_vec(), new, u64::MAX).unwrap().unwrap()
    }

    fn applied(old: &[u8], change: &[u8]) -> io::Result<Vec<u8>> {
        let mut new = Vec::new();
        apply(old, change, 1 << 20, &mut new)?;
        Ok(new)
    }

    #[test]
    fn what_has_moved_is_little() {
        // Numbers that grow, as distances in code do, and one more line in the middle.
        let program = |shift: u32| -> Vec<u8> {
            (0..50_000_u32)
                .flat_map(|place| {
                    let far = place % 5 == 0;
                    let number = place.wrapping_mul(2_654_435_761);
                    let number = if far { place << 3 | shift } else { number };
                    number.to_le_bytes()
                })
                .collect()
        };
        let (old, mut new) = (program(0), program(4));
        new.splice(100_000..100_000, *b"one more line");
        let change = made(&old, &new);
        assert!(change.len() < 40_000, "{}", change.len());
        assert!(applied(&old, &change).unwrap() == new);
    }

    #[test]
    fn a_change_of_another_program_is_told_or_wrong_but_never_longer() {
        let old: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        let mut new = old.clone();
        new.rotate_left(500);
        let change = made(&old, &new);
        assert!(applied(&old, &change).unwrap() == new);
        assert!(applied(&old[..1000], &change).is_err());
        assert!((0..change.len()).all(|cut| applied(&old, &change[..cut]).is_err()));
    }

    #[test]
    fn a_change_that_makes_much_work_of_little_is_refused() {
        let old = vec![7; 1 << 20];
        let change_of = |part: [u8; 3], count: usize| {
            let change = Change {
                moves: Moves::default().encode(),
                parts: part.repeat(count),
                ..Change::default()
            };
            change.finish()
        };
        let (byte_and_back, nothing) = ([1, 0, 3], [0, 0, 0]);
        let few = applied(&old, &change_of(byte_and_back, BLOCKS_FREE as usize)).unwrap();
        assert_eq!(few.len() as u64, BLOCKS_FREE);
        // The lists have room for ten million, of which each could have a block corrected.
        for part in [byte_and_back, nothing] {
            let error = applied(&old, &change_of(part, 300_000)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let mut work = Work::of(0);
        let blocks = |from: u64| from * BLOCK_BYTES as u64..from * BLOCK_BYTES as u64 + 1;
        let to_and_fro = (0..).map(|number| blocks(number % 2));
        let done = to_and_fro.take_while(|range| work.take(range).is_some());
        assert!((done.count() as u64) < BLOCKS_FREE);
    }

    proptest! {
        #[test]
        fn what_is_made_of_it_is_the_new_one(
            old in proptest::collection::vec(0_u8..3, 0..400),
            new in proptest::collection::vec(0_u8..3, 0..400),
            cut in 0_usize..400,
        ) {
            let mixed = [&new[..cut.min(new.len())], &old[cut.min(old.len())..], &new].concat();
            for new in [&new, &mixed] {
                prop_assert_eq!(&applied(&old, &made(&old, new)).unwrap(), new);
            }
        }

        #[test]
        fn any_bytes_are_a_change_or_not(change in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = applied(b"an old program", &change);
        }
    }
}
