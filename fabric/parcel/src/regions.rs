//! Which parts of a program for Linux hold references, and of what kind, as its header says.
//!
//! Deliberately absent: sections, which what travels has no more; and trust in the header. Where it makes no sense there are
//! no regions.

use crate::{
    base::{Base, nonsense},
    numbers,
};
use std::{io, ops::Range};

/// The regions of a program, in the order of the file; they do not overlap.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Regions(Vec<Region>);

/// A part of a program with references of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    /// Where it lies in the file.
    pub start: u64,
    /// How long it is there.
    pub len: u64,
    /// Where it is loaded.
    pub address: u64,
    /// What its references are like.
    pub kind: Kind,
}

/// How references are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// In instructions of x86-64.
    Code,
    /// Pointers, and distances from where they lie.
    Data,
    /// Distances from where a table's head begins: `.eh_frame_hdr`, without that head.
    Table,
    /// Not loaded: symbols, and what debuggers want. Pointers that lie anywhere.
    Symbols,
}

impl Regions {
    /// Those of a program of 64 bits, little-endian.
    pub(crate) fn of<B: Base + ?Sized>(program: &B) -> Regions {
        let program_len = program.bytes().unwrap_or(0);
        let regions = read(program, program_len).unwrap_or_default();
        let mut end = 0;
        let are_sound = regions.iter().all(|region| {
            let follows = region.start >= end;
            end = region.end();
            follows && region.address.checked_add(region.len).is_some()
        });
        match are_sound && regions.len() <= COUNT_MAX && end <= program_len {
            true => Regions(regions),
            false => Regions::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What lies in this range of the file, region by region.
    pub(crate) fn within(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (&Region, Range<u64>)> + '_ {
        let parts = self.0.iter().map(move |region| {
            let (start, end) = (range.start.max(region.start), range.end.min(region.end()));
            (region, start..end)
        });
        parts.filter(|(_, part)| !part.is_empty())
    }

    /// The region at this place of the file.
    pub(crate) fn in_file(&self, at: u64) -> Option<&Region> {
        let mut all = self.0.iter();
        all.find(|region| at.wrapping_sub(region.start) < region.len)
    }

    /// What is loaded at an address, or may lie behind the last that is (`.bss`).
    pub(crate) fn kind_at(&self, address: u64) -> Option<Kind> {
        let loaded = || self.0.iter().filter(|region| region.kind != Kind::Symbols);
        let holds = |region: &&Region| address.wrapping_sub(region.address) < region.len;
        let behind = |region: &Region| {
            address.wrapping_sub(region.address.wrapping_add(region.len)) < BEHIND_MAX
        };
        let found = loaded().find(holds);
        let found = found.or_else(|| loaded().next_back().filter(|last| behind(last)));
        found.map(|region| region.kind)
    }

    pub(crate) fn put(&self, list: &mut Vec<u8>) {
        numbers::put(list, self.0.len() as u64);
        let mut end = 0;
        for region in &self.0 {
            numbers::put(list, region.start - end);
            numbers::put(list, region.len);
            numbers::put(list, region.address);
            numbers::put(list, region.kind as u64);
            end = region.end();
        }
    }

    pub(crate) fn take(list: &mut &[u8]) -> io::Result<Regions> {
        let count = numbers::take(list)?;
        if count > COUNT_MAX as u64 {
            return Err(nonsense());
        }
        let (mut regions, mut end) = (Vec::new(), 0_u64);
        for _ in 0..count {
            let start = end.checked_add(numbers::take(list)?);
            let region = Region {
                start: start.ok_or_else(nonsense)?,
                len: numbers::take(list)?,
                address: numbers::take(list)?,
                kind: kind(numbers::take(list)?)?,
            };
            let ends = [region.start, region.address].map(|start| start.checked_add(region.len));
            if ends.contains(&None) {
                return Err(nonsense());
            }
            end = region.end();
            regions.push(region);
        }
        Ok(Regions(regions))
    }
}

impl Region {
    /// Where it ends in the file.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len
    }

    /// Where something is loaded that lies at this place of the file.
    pub(crate) fn address_of(&self, at: u64) -> u64 {
        self.address + (at - self.start)
    }

    /// The same region from one place of the file to another, as one of a kind of its own.
    fn part(&self, range: Range<u64>, kind: Kind) -> Region {
        Region {
            start: range.start,
            len: range.end - range.start,
            address: self.address_of(range.start),
            kind,
        }
    }
}

fn kind(number: u64) -> io::Result<Kind> {
    let kinds = [Kind::Code, Kind::Data, Kind::Table, Kind::Symbols];
    let found = kinds.into_iter().find(|kind| *kind as u64 == number);
    found.ok_or_else(nonsense)
}

/// Nothing where the program ends before what it speaks of.
fn read<B: Base + ?Sized>(program: &B, program_len: u64) -> Option<Vec<Region>> {
    if array(program, 0)? != *MAGIC {
        return None;
    }
    let is_x86 = u16::from_le_bytes(array(program, 18)?) == X86_64;
    let headers = u64::from_le_bytes(array(program, 32)?);
    let count = u16::from_le_bytes(array(program, 56)?);
    let (mut regions, mut table) = (Vec::new(), None);
    for number in 0..u64::from(count) {
        let header = headers.checked_add(number * HEADER_BYTES)?;
        let word = |at: u64| Some(u32::from_le_bytes(array(program, header.checked_add(at)?)?));
        let long = |at: u64| Some(u64::from_le_bytes(array(program, header.checked_add(at)?)?));
        let (start, address, len) = (long(8)?, long(16)?, long(32)?);
        start.checked_add(len)?;
        let kind = match (word(0)?, word(4)? & EXECUTABLE) {
            (LOAD, 0) => Kind::Data,
            (LOAD, _) if is_x86 => Kind::Code,
            (UNWIND_TABLE, _) if len > TABLE_HEAD => {
                table = Some(start + TABLE_HEAD..start + len);
                continue;
            }
            _ => continue,
        };
        if len > 0 {
            regions.push(Region {
                start,
                len,
                address,
                kind,
            });
        }
    }
    regions.sort_by_key(|region| region.start);
    if let Some(table) = table {
        cut_out(&mut regions, table);
    }
    let end = regions.last()?.end();
    if end < program_len {
        regions.push(Region {
            start: end,
            len: program_len - end,
            address: 0,
            kind: Kind::Symbols,
        });
    }
    Some(regions)
}

fn cut_out(regions: &mut Vec<Region>, table: Range<u64>) {
    let holds = |region: &Region| region.start < table.start && table.end < region.end();
    let Some(at) = regions.iter().position(holds) else {
        return;
    };
    let whole = regions.remove(at);
    let parts = [
        whole.part(whole.start..table.start, whole.kind),
        whole.part(table.clone(), Kind::Table),
        whole.part(table.end..whole.end(), whole.kind),
    ];
    regions.splice(at..at, parts);
}

fn array<const N: usize>(program: &(impl Base + ?Sized), at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    program.read_at(&mut bytes, at).ok().map(|()| bytes)
}

/// How long the head of that table is.
pub(crate) const TABLE_HEAD: u64 = 12;
/// Programs have four to ten; and each address is looked for in all.
const COUNT_MAX: usize = 64;
/// What is not in the file is seldom longer, and numbers that are no addresses are mostly small.
const BEHIND_MAX: u64 = 64 << 10;
const MAGIC: &[u8; 6] = b"\x7fELF\x02\x01";
const X86_64: u16 = 62;
const HEADER_BYTES: u64 = 56;
const LOAD: u32 = 1;
const UNWIND_TABLE: u32 = 0x6474_e550;
const EXECUTABLE: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_test_has_regions_of_each_kind() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let regions = Regions::of(own.as_slice());
        let has = |kind| regions.0.iter().any(|region| region.kind == kind);
        assert!(has(Kind::Data) && has(Kind::Table) && has(Kind::Symbols));
        assert_eq!(has(Kind::Code), cfg!(target_arch = "x86_64"));
        let mut list = Vec::new();
        regions.put(&mut list);
        assert_eq!(Regions::take(&mut list.as_slice()).unwrap(), regions);
        assert!(Regions::of(&own[..2000]).is_empty());
    }

    proptest! {
        #[test]
        fn a_header_may_say_anything(places in proptest::collection::vec((0_usize..1024, any::<u8>()), 1..8)) {
            let own = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let mut bytes = vec![0; 1024];
            io::Read::read_exact(&mut &own, &mut bytes).unwrap();
            for (place, byte) in places {
                bytes[place] = byte;
            }
            prop_assert!(Regions::of(bytes.as_slice()).0.iter().all(|region| region.end() <= 1024));
        }
    }
}
