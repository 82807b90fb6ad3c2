//! What has moved between two programs, and the old one with each reference as it reads after that.
//!
//! # Why this is worth its trouble
//! A line more moves what lies behind it, and each call, pointer and table entry across that line changes: tens of
//! thousands of numbers, which are most of what two builds differ by. But all of them follow from some hundred moves. So these
//! travel first, the old program is read with its references corrected by them, and what is compared with that differs
//! where somebody has changed something.
//!
//! Deliberately absent: proof. A move that is wrong has both sides correct the same references wrongly, and the comparison
//! mends that.
//!
//! # How moves are found
//! By parts that both programs have, and then by where the references in those lead: what lies between two strings, or
//! holds nothing but zeroes in the file, is found by those who point to it, if there are a few.
//!
//! # The format
//! How many regions; for each how far behind the end of the one before it begins, its length, its address, and its kind
//! (0 code, 1 data, 2 table, 3 symbols). Then, to the end, moves: how far behind the one before it a move begins, and by how
//! much more than that it moves what lies there, with the sign in the lowest bit.

use crate::{
    base::{Base, nonsense},
    numbers,
    parts::{Part, Search},
    references::{self, Form},
    regions::{Kind, Region, Regions},
    windows::Windows,
};
use std::{cell::RefCell, collections::HashMap, io, ops::Range};

/// What has moved where.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Moves {
    /// The old program's.
    regions: Regions,
    /// From which address on what lies there has moved how far, in order.
    shifts: Vec<(u64, i64)>,
}

impl Moves {
    /// Those between two programs whose references can be told; nothing, if these are [not worth comparing](Search::of).
    pub(crate) fn between<B: Base + ?Sized>(
        old: &[u8],
        new: &B,
        strange_max: u64,
    ) -> io::Result<Option<Moves>> {
        let (regions, new_regions) = (Regions::of(old), Regions::of(new));
        if regions.is_empty() || new_regions.is_empty() {
            return Ok(Some(Moves::default()));
        }
        let Some(parts) = all_parts(old, new, strange_max)? else {
            return Ok(None);
        };
        let kept_parts = kept(parts);
        let mut votes = Votes::default();
        let mut shifts = Vec::new();
        for pair in pairs(&kept_parts, &regions, &new_regions) {
            if pair.region.kind != Kind::Symbols && pair.new_region.kind != Kind::Symbols {
                shifts.push((pair.address(), pair.shift()));
            }
            votes.count((&regions, old), (&new_regions, new), &pair)?;
        }
        shifts.sort_unstable();
        let mut shifts = votes.correct(&shifts);
        shifts.truncate(SHIFTS_MAX);
        Ok(Some(match shifts.iter().all(|(_, shift)| *shift == 0) {
            true => Moves::default(),
            false => Moves { regions, shifts },
        }))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut list = Vec::new();
        self.regions.put(&mut list);
        let (mut before, mut by) = (0, 0);
        for (address, shift) in &self.shifts {
            numbers::put(&mut list, address - before);
            numbers::put_signed(&mut list, shift.wrapping_sub(by));
            (before, by) = (*address, *shift);
        }
        list
    }

    pub(crate) fn decode(mut list: &[u8]) -> io::Result<Moves> {
        let list = &mut list;
        let regions = Regions::take(list)?;
        let (mut shifts, mut address, mut shift) = (Vec::new(), 0_u64, 0_i64);
        while !list.is_empty() && shifts.len() < SHIFTS_MAX {
            let next = address.checked_add(numbers::take(list)?);
            address = next.ok_or_else(nonsense)?;
            shift = shift.wrapping_add(numbers::take_signed(list)?);
            shifts.push((address, shift));
        }
        match list.is_empty() {
            true => Ok(Moves { regions, shifts }),
            false => Err(nonsense()),
        }
    }

    /// Corrects the references in all of the old program.
    pub(crate) fn apply(&self, old: &mut [u8]) {
        if !self.shifts.is_empty() {
            self.correct(old, 0);
        }
    }

    /// Corrects whole blocks, the first of which lies at `at` in the file. Each is looked at by itself, so that it does not matter
    /// which are read together; what stands across two is left as it is.
    fn correct(&self, blocks: &mut [u8], mut at: u64) {
        for block in blocks.chunks_mut(BLOCK_BYTES) {
            let end = at.saturating_add(block.len() as u64);
            for (region, range) in self.regions.within(at..end) {
                let (start, end) = ((range.start - at) as usize, (range.end - at) as usize);
                let bytes = &mut block[start..end];
                let before = bytes.to_vec();
                let place = region.address_of(range.start);
                references::each(&self.regions, region, (&before, place), |reference| {
                    let moved = match reference.form {
                        Form::Pointer => 0,
                        Form::Distance { place, .. } => self.shift(place),
                    };
                    reference.correct(bytes, self.shift(reference.target), moved);
                });
            }
            at = end;
        }
    }

    /// How far what lies there has moved.
    fn shift(&self, address: u64) -> i64 {
        shift(&self.shifts, address)
    }
}

fn shift(shifts: &[(u64, i64)], address: u64) -> i64 {
    let behind = shifts.partition_point(|(start, _)| *start <= address);
    behind.checked_sub(1).map_or(0, |at| shifts[at].1)
}

/// Those that say something of where things have moved; nothing, if the programs are not worth comparing.
fn all_parts<B: Base + ?Sized>(
    old: &[u8],
    new: &B,
    strange_max: u64,
) -> io::Result<Option<Vec<Part>>> {
    let mut search = Search::of(old, strange_max);
    let mut all = Vec::new();
    for window in Windows::of(new) {
        let window = window?;
        let mut parts = search.parts(&window.bytes);
        let long = parts.by_ref().filter(|part| part.len() >= PART_MIN);
        all.extend(long.map(|part| part.behind(window.start)));
        if parts.were_given_up() {
            return Ok(None);
        }
    }
    Ok(Some(all))
}

/// The longer ones of some parts, in the old program's order. Where two share a place of it, the shorter was met by accident.
fn kept(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(|part| part.old_start);
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        let overlaps = |last: &Part| last.old_end() > part.old_start;
        while kept
            .last()
            .is_some_and(|last| overlaps(last) && last.len() < part.len())
        {
            kept.pop();
        }
        if !kept.last().is_some_and(overlaps) {
            kept.push(part);
        }
    }
    kept
}

/// What both programs have in a region of theirs.
struct Pair<'r> {
    region: &'r Region,
    range: Range<u64>,
    new_region: &'r Region,
    new_at: u64,
}

impl Pair<'_> {
    fn address(&self) -> u64 {
        self.region.address_of(self.range.start)
    }

    fn shift(&self) -> i64 {
        let new_address = self.new_region.address_of(self.new_at);
        new_address.wrapping_sub(self.address()) as i64
    }
}

fn pairs<'r>(
    parts: &'r [Part],
    regions: &'r Regions,
    new_regions: &'r Regions,
) -> impl Iterator<Item = Pair<'r>> {
    let ranges = parts.iter().flat_map(|part| {
        let within = regions.within(part.old_range());
        within.map(move |(region, range)| (part, region, range))
    });
    ranges.filter_map(|(part, region, range)| {
        let new_at = part.new_place(range.start);
        Some(Pair {
            region,
            new_region: new_regions.in_file(new_at)?,
            range,
            new_at,
        })
    })
}

/// Where references of the old program lead in the new one: for each address the move that most of them agree on, as far as
/// that is seen in one pass, and by how many more.
#[derive(Default)]
struct Votes(HashMap<u64, (i64, u32)>);

impl Votes {
    /// What the references in a pair say.
    fn count<B: Base + ?Sized>(
        &mut self,
        (regions, old): (&Regions, &[u8]),
        (new_regions, new): (&Regions, &B),
        pair: &Pair<'_>,
    ) -> io::Result<()> {
        // What a table counts from moves by itself.
        if pair.region.kind != pair.new_region.kind || pair.region.kind == Kind::Table {
            return Ok(());
        }
        let bytes = &old[pair.range.start as usize..pair.range.end as usize];
        let mut new_bytes = vec![0; bytes.len()];
        new.read_at(&mut new_bytes, pair.new_at)?;
        references::each(regions, pair.region, (bytes, pair.address()), |reference| {
            let kind = regions.kind_at(reference.target);
            let target = reference.target_in(&new_bytes, pair.shift());
            let target = target.filter(|target| new_regions.kind_at(*target) == kind);
            if let Some(target) = target {
                let shift = target.wrapping_sub(reference.target) as i64;
                self.cast(reference.target, shift);
            }
        });
        Ok(())
    }

    fn cast(&mut self, target: u64, shift: i64) {
        let (most, lead) = self.0.entry(target).or_insert((shift, 0));
        match *most == shift {
            true => *lead += 1,
            false if *lead == 0 => (*most, *lead) = (shift, 1),
            false => *lead -= 1,
        }
    }

    /// These shifts, and beside them what enough references say.
    fn correct(self, shifts: &[(u64, i64)]) -> Vec<(u64, i64)> {
        let heard = self
            .0
            .into_iter()
            .filter(|(_, (_, lead))| *lead >= LEAD_MIN);
        let mut heard: Vec<(u64, i64)> = heard.map(|(at, (shift, _))| (at, shift)).collect();
        heard.sort_unstable();
        let mut all: Vec<(u64, i64)> = Vec::new();
        let mut shifts = shifts.iter().peekable();
        for (address, shift) in heard {
            while let Some(shift) = shifts.next_if(|(start, _)| *start <= address) {
                all.push(*shift);
            }
            all.push((address, shift));
        }
        all.extend(shifts);
        all.dedup_by_key(|(_, shift)| *shift); // The first stays, and what it says goes on.
        all
    }
}

/// An old program that is read with its references corrected.
pub(crate) struct Corrected<'b, B: ?Sized> {
    old: &'b B,
    moves: Moves,
    /// The last block that was read, and where it begins: short parts lie beside each other.
    last: RefCell<(u64, Vec<u8>)>,
}

impl<'b, B: ?Sized> Corrected<'b, B> {
    pub(crate) fn new(old: &'b B, moves: Moves) -> Corrected<'b, B> {
        let last = RefCell::default();
        Corrected { old, moves, last }
    }

    /// Fills `bytes` from the last block, if all of them are there.
    fn read_last(&self, bytes: &mut [u8], at: u64) -> bool {
        let last = self.last.borrow();
        let within = at
            .checked_sub(last.0)
            .and_then(|at| usize::try_from(at).ok());
        let found = within.and_then(|at| last.1.get(at..)?.get(..bytes.len()));
        if let Some(found) = found {
            bytes.copy_from_slice(found);
        }
        found.is_some()
    }
}

impl<B: Base + ?Sized> Base for Corrected<'_, B> {
    fn bytes(&self) -> io::Result<u64> {
        self.old.bytes()
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        if self.moves.shifts.is_empty() {
            return self.old.read_at(bytes, at);
        }
        if self.read_last(bytes, at) {
            return Ok(());
        }
        let skipped = at % BLOCK_BYTES as u64;
        let end = at.checked_add(bytes.len() as u64).ok_or_else(nonsense)?;
        let (start, end) = (at - skipped, end.next_multiple_of(BLOCK_BYTES as u64));
        let end = end.min(self.bytes()?);
        let mut blocks = vec![0; end.checked_sub(start).ok_or_else(nonsense)? as usize];
        self.old.read_at(&mut blocks, start)?;
        self.moves.correct(&mut blocks, start);
        let wanted = blocks
            .get(skipped as usize..)
            .and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(wanted.ok_or_else(nonsense)?);
        let last = blocks.len().saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES;
        blocks.drain(..last);
        *self.last.borrow_mut() = (start + last as u64, blocks);
        Ok(())
    }
}

/// What is shorter says little of where things have moved.
const PART_MIN: usize = 32;
/// A move that few references tell costs more than they do.
const LEAD_MIN: u32 = 3;
/// Ten times as many as there are in programs of 100 MB; they lie in memory, 16 bytes each.
const SHIFTS_MAX: usize = 1 << 20;
/// Who copies some bytes has a block corrected, so blocks are small; of a thousand references one stands across two.
pub(crate) const BLOCK_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta;

    /// A program of many functions that call one another and are pointed to, some of them longer by some bytes.
    fn program(longer: &[usize]) -> Vec<u8> {
        let noise = |seed: usize| (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let len = |function| if longer.contains(&function) { 150 } else { 120 };
        let starts: Vec<usize> = (0..FUNCTIONS)
            .scan(0, |end, function| {
                *end += len(function);
                Some(*end - len(function))
            })
            .collect();
        let mut code = Vec::new();
        for function in 0..FUNCTIONS {
            for call in 0..8 {
                code.extend(&noise(8 * function + call).to_le_bytes()[..5]);
                let called = starts[noise(function * call) as usize % FUNCTIONS];
                code.push(0xe8);
                let from = code.len() + 4;
                code.extend((called as i32 - from as i32).to_le_bytes());
            }
            code.resize(starts[function] + len(function), 0x90);
        }
        let mut bytes = vec![0; HEADERS];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[56] = 2;
        let data_len = 8 * FUNCTIONS as u64;
        let code_len = code.len() as u64;
        let headers = [
            (4_u64, HEADERS as u64, 0x1000, data_len),
            (5, HEADERS as u64 + data_len, 0x10000, code_len),
        ];
        for (number, (flags, start, address, len)) in headers.into_iter().enumerate() {
            let header = [1 | flags << 32, start, address, address, len, len, 0];
            let header: Vec<u8> = header.into_iter().flat_map(u64::to_le_bytes).collect();
            bytes[64 + 56 * number..][..56].copy_from_slice(&header);
        }
        let pointers = starts.iter().map(|start| 0x10000 + *start as u64);
        bytes.extend(pointers.flat_map(u64::to_le_bytes));
        bytes.extend(code);
        bytes
    }

    fn moved(old: &[u8], new: &[u8]) -> Moves {
        Moves::between(old, new, u64::MAX).unwrap().unwrap()
    }

    #[test]
    fn references_across_a_move_cost_nothing() {
        let old = program(&[]);
        let new = program(&[300, 301, 800]);
        let moves = moved(&old, &new);
        let told = (moves.shifts.len(), moves.encode().len());
        assert!(told < (10, 60), "{told:?}");
        assert_eq!(Moves::decode(&moves.encode()).unwrap(), moves);
        let changed = |old: &[u8], new: &[u8]| {
            delta::make(old.to_vec(), new, u64::MAX)
                .unwrap()
                .unwrap()
                .len()
        };
        let differ = |old: &[u8]| changed(old, &new);
        // The same bytes, where nobody can tell that they are a program.
        let plain = |bytes: &[u8]| [b"no", bytes].concat();
        let unaided = changed(&plain(&old), &plain(&new));
        assert!(
            10 * differ(&old) < unaided,
            "{} and {unaided}",
            differ(&old)
        );
    }

    #[test]
    fn what_is_read_in_pieces_is_corrected_alike() {
        let (old, new) = (program(&[]), program(&[5, 700]));
        let moves = moved(&old, &new);
        let mut whole = old.clone();
        moves.apply(&mut whole);
        let corrected = Corrected::new(old.as_slice(), moves);
        for (at, len) in [
            (0, 1),
            (1, 4000),
            (4095, 2),
            (4096, 9),
            (9000, 5000),
            (old.len() - 3, 3),
            (0, old.len()),
        ] {
            let mut piece = vec![0; len];
            corrected.read_at(&mut piece, at as u64).unwrap();
            assert!(piece == whole[at..at + len]);
        }
        assert!(
            corrected
                .read_at(&mut [0; 4], old.len() as u64 - 3)
                .is_err()
        );
        assert!(corrected.read_at(&mut [0; 4], u64::MAX - 1).is_err());
    }

    const FUNCTIONS: usize = 1000;
    const HEADERS: usize = 64 + 2 * 56;
}
