//! Reading what was kept of a record, from anywhere in it.
//!
//! Deliberately absent: what was not written yet, and who reads (`desk.rs`).

use super::{
    Record,
    layout::{HEAD_BYTES, Head, Segment, file_name},
};
use deploy_wire::client::Position;
use std::{fs::File, io, os::unix::fs::FileExt};

/// Somebody's place in a record.
#[derive(Default, Debug)]
pub struct Cursor {
    /// What comes next.
    pub next: Position,
    place: Option<Place>,
}

impl Cursor {
    /// Before the event of this position.
    pub fn at(next: Position) -> Cursor {
        Cursor { next, place: None }
    }
}

/// A segment that is being read; it can be read to its end also when it was dropped meanwhile.
#[derive(Debug)]
struct Place {
    first: u64,
    file: File,
    offset: u64,
}

/// What lies behind a cursor.
#[derive(Debug)]
pub enum Found {
    /// The next events, at least one. The cursor stands behind them.
    Events(Vec<Kept>),
    /// The next events were not kept: it goes on here, and so does the cursor.
    Gap(Position),
    /// Nothing more, so far.
    End,
}

/// An event that was kept.
#[derive(PartialEq, Eq, Debug)]
pub struct Kept {
    /// The message that tells of it.
    pub message: Vec<u8>,
    /// Its bytes of output.
    pub output: u32,
}

impl Record {
    /// What lies behind a cursor: events of about this many bytes, and none behind the one by which they have so much output;
    /// or one.
    ///
    /// # Errors
    /// If the disk fails, or something that is not ours is in the directory.
    pub fn read(&self, cursor: &mut Cursor, bytes: usize, output: u64) -> io::Result<Found> {
        loop {
            if self.ends_before(cursor.next) {
                return Ok(Found::End);
            }
            if cursor.place.is_none() {
                cursor.place = self.place(cursor.next.sequence)?;
            }
            let Some(place) = &mut cursor.place else {
                cursor.next = self.written;
                return Ok(Found::Gap(cursor.next));
            };
            let end = self.end_of(place)?;
            if place.offset < end {
                let written = self.written.sequence;
                let much = (bytes, output);
                if let Some(found) = take(place, &mut cursor.next, written, end, much)? {
                    return Ok(found);
                }
                continue;
            }
            // Behind this segment: there is a later one, or what follows was not kept.
            let read = place.first;
            let later = |segment: &&Segment| segment.first.sequence > read;
            let later = self.open_first(self.segments.iter().filter(later))?;
            let Some(later) = later else {
                cursor.next = self.written;
                return Ok(Found::Gap(cursor.next));
            };
            cursor.place = Some(later);
        }
    }

    /// The segment where an event is, or would be, or the first behind it.
    fn place(&self, sequence: u64) -> io::Result<Option<Place>> {
        let is_before = |segment: &Segment| segment.first.sequence <= sequence;
        let before = self.segments.iter().take_while(|one| is_before(one));
        let skipped = before.count().saturating_sub(1);
        self.open_first(self.segments.iter().skip(skipped))
    }

    /// The first of these segments that has not been dropped meanwhile.
    fn open_first<'a>(
        &self,
        mut segments: impl Iterator<Item = &'a Segment>,
    ) -> io::Result<Option<Place>> {
        let opened = segments.find_map(|segment| {
            match File::open(self.dir.join(file_name(segment.first))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                opened => Some(opened.map(|file| Place {
                    first: segment.first.sequence,
                    file,
                    offset: 0,
                })),
            }
        });
        opened.transpose()
    }

    fn end_of(&self, place: &Place) -> io::Result<u64> {
        let mut segments = self.segments.iter();
        match segments.find(|segment| segment.first.sequence == place.first) {
            Some(segment) => Ok(segment.bytes),
            None => Ok(place.file.metadata()?.len()),
        }
    }
}

/// Takes events from a place, behind `next`. Nothing if all that was read is before it.
fn take(
    place: &mut Place,
    next: &mut Position,
    written: u64,
    end: u64,
    (bytes, output): (usize, u64),
) -> io::Result<Option<Found>> {
    let mut buffer = read_at(place, end, bytes.max(HEAD_BYTES))?;
    let output_until = next.output.saturating_add(output);
    let mut events = Vec::new();
    let mut offset = 0;
    while let Some(head) = buffer.get(offset..offset + HEAD_BYTES).map(Head::read) {
        let whole = HEAD_BYTES + head.message_bytes;
        if offset == 0 && buffer.len() < whole {
            buffer = read_at(place, end, whole)?; // One that is longer than was asked for.
        }
        let Some(message) = buffer.get(offset + HEAD_BYTES..offset + whole) else {
            break;
        };
        if head.at.sequence >= written {
            return Err(damaged());
        }
        if head.at.sequence > next.sequence {
            if events.is_empty() {
                place.offset += offset as u64;
                *next = head.at;
                return Ok(Some(Found::Gap(head.at)));
            }
            break;
        }
        if head.at.sequence == next.sequence {
            next.sequence += 1;
            next.output = head.at.output.saturating_add(head.output.into());
            events.push(Kept {
                message: message.to_vec(),
                output: head.output,
            });
        }
        offset += whole;
        if !events.is_empty() && next.output >= output_until {
            break;
        }
    }
    if offset == 0 {
        return Err(damaged());
    }
    place.offset += offset as u64;
    Ok((!events.is_empty()).then_some(Found::Events(events)))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a record of a job is damaged")
}

fn read_at(place: &Place, end: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let left = usize::try_from(end - place.offset).unwrap_or(usize::MAX);
    let mut buffer = vec![0; bytes.min(left)];
    place.file.read_exact_at(&mut buffer, place.offset)?;
    Ok(buffer)
}
