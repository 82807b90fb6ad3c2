//! What in a program's bytes looks like a reference, and where that leads.
//!
//! Deliberately absent: an exact reading of machine code. What is taken for a reference and is none costs some bytes, and
//! nothing else: whoever makes a change and whoever applies it see the same.

use crate::regions::{Kind, Region, Regions, TABLE_HEAD};

/// Something that says where something else is.
pub(crate) struct Reference {
    /// Where in the bytes it stands.
    pub at: usize,
    pub form: Form,
    /// The address that it leads to.
    pub target: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// An address, in eight bytes.
    Pointer,
    /// A distance from an address, in four bytes; it changes when `place` moves.
    Distance { from: u64, place: u64 },
}

impl Reference {
    /// Where it leads if it reads so, and what it counts from has moved so far.
    pub(crate) fn target_in(&self, bytes: &[u8], moved: i64) -> Option<u64> {
        let from = match self.form {
            Form::Pointer => return pointer(bytes, self.at),
            Form::Distance { from, .. } => from.wrapping_add(moved as u64),
        };
        distance(bytes, self.at, from)
    }

    /// Writes that its target and what it counts from have moved so far.
    pub(crate) fn correct(&self, bytes: &mut [u8], target_moved: i64, moved: i64) {
        let target = self.target.wrapping_add(target_moved as u64);
        match self.form {
            Form::Pointer => bytes[self.at..][..8].copy_from_slice(&target.to_le_bytes()),
            Form::Distance { from, .. } => {
                let distance = target.wrapping_sub(from.wrapping_add(moved as u64)) as u32;
                bytes[self.at..][..4].copy_from_slice(&distance.to_le_bytes());
            }
        }
    }
}

/// Tells of each in these bytes of a region, the first of which is loaded at `address`.
pub(crate) fn each(
    regions: &Regions,
    region: &Region,
    (bytes, address): (&[u8], u64),
    mut found: impl FnMut(Reference),
) {
    let look = Look {
        regions,
        head: region.address.wrapping_sub(TABLE_HEAD),
        bytes,
        address,
    };
    let mut at = 0;
    while at + 4 <= bytes.len() {
        let reference = match region.kind {
            Kind::Code => look.in_code(at),
            Kind::Data => look.in_data(at),
            Kind::Table => look.in_table(at),
            Kind::Symbols => look.pointer(at),
        };
        at += match reference.as_ref().map(|reference| reference.form) {
            None => 1,
            Some(Form::Pointer) => 8,
            Some(Form::Distance { .. }) => 4,
        };
        reference.map(&mut found);
    }
}

struct Look<'l> {
    regions: &'l Regions,
    head: u64,
    bytes: &'l [u8],
    address: u64,
}

impl Look<'_> {
    /// The last four bytes of calls and jumps, and of what is addressed from the instruction's end.
    fn in_code(&self, at: usize) -> Option<Reference> {
        let before = self.bytes[at.checked_sub(2)?..].first_chunk()?;
        let is_reference = match before {
            [_, 0xe8 | 0xe9] | [0x0f, 0x80..=0x8f] => true,
            [_, operands] => operands & 0xc7 == 0x05,
        };
        let place = self.place(at);
        let from = place.wrapping_add(4);
        is_reference.then(|| self.distance(at, from, place, None))?
    }

    /// Pointers, the tables of `match`, and what leads from a function's frame (`.eh_frame`) to the function and, behind its
    /// length of four, to its own table.
    fn in_data(&self, at: usize) -> Option<Reference> {
        let place = self.place(at);
        let to = |kind| self.distance(at, place, place, Some(kind));
        match place % 8 {
            0 => self.pointer(at).or_else(|| to(Kind::Code)),
            4 => to(Kind::Code),
            1 | 5 if self.bytes[at.checked_sub(1)?] == 4 => to(Kind::Data),
            _ => None,
        }
    }

    fn in_table(&self, at: usize) -> Option<Reference> {
        let is_aligned = self.place(at).is_multiple_of(4);
        is_aligned.then(|| self.distance(at, self.head, self.head, None))?
    }

    fn pointer(&self, at: usize) -> Option<Reference> {
        let target = pointer(self.bytes, at).filter(|target| *target >= POINTER_MIN)?;
        self.regions.kind_at(target)?;
        Some(Reference {
            at,
            form: Form::Pointer,
            target,
        })
    }

    fn distance(&self, at: usize, from: u64, place: u64, to: Option<Kind>) -> Option<Reference> {
        let target = distance(self.bytes, at, from)?;
        let kind = self.regions.kind_at(target)?;
        to.is_none_or(|to| to == kind).then_some(Reference {
            at,
            form: Form::Distance { from, place },
            target,
        })
    }

    fn place(&self, at: usize) -> u64 {
        self.address.wrapping_add(at as u64)
    }
}

fn pointer(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn distance(bytes: &[u8], at: usize, from: u64) -> Option<u64> {
    let distance = i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    Some(from.wrapping_add(i64::from(distance) as u64))
}

/// Below that are headers, and numbers that mean something else.
const POINTER_MIN: u64 = 0x200;
