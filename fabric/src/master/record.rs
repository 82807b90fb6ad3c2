//! What has happened in one job, kept on the disk within a bound: events in the order of their numbers, the oldest dropped
//! first.
//!
//! A record has two halves: the loop's, which numbers events and reads those that were written ([`Record`]), and the scribe's,
//! which writes ([`Pen`]).
//!
//! Deliberately absent: what the events say; who reads them (`desk.rs`); and any promise beyond a crash of the machine, for
//! what the system has taken is written.
//!
//! # On the disk
//! A directory of files, *segments*, each called by the position of its first event. An event is a head of `HEAD_BYTES`
//! (length of its message `u32`, its number `u64`, bytes of output before it `u64`, bytes of output in it `u32`, little
//! end first) and the message that tells a client of it. A reader sees by the numbers where something is missing: a
//! segment that was dropped, or what came while the disk took nothing.

mod pen;

use deploy_trust::framing::Message;
use deploy_wire::client::Position;
pub use pen::{Pen, Piece, Written};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The events of one job.
#[derive(Debug)]
pub struct Record {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    /// Where the next event goes.
    next: Position,
    /// Events that are to be written together.
    unwritten: Vec<Unwritten>,
    unwritten_from: Position,
    /// Before it all is written, or never will be.
    written: Position,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment ends when it is so long.
    pub segment_bytes: u64,
    /// The oldest segment goes when all together are longer.
    pub record_bytes: u64,
}

#[derive(Clone, Debug)]
struct Segment {
    first: Position,
    bytes: u64,
}

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
    /// A new one in this directory, which its pen [makes](Pen::create).
    pub fn new(dir: PathBuf) -> Record {
        Record {
            dir,
            segments: VecDeque::new(),
            next: Position::default(),
            unwritten: Vec::new(),
            unwritten_from: Position::default(),
            written: Position::default(),
        }
    }

    /// The one in this directory, whose next event is this one, or else the first that is not there. What was written of it
    /// and later ones goes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn resume(
        dir: PathBuf,
        limits: Limits,
        next: Option<Position>,
    ) -> io::Result<(Record, Pen)> {
        let (pen, end) = Pen::resume(dir.clone(), limits, next)?;
        let next = next.unwrap_or(end);
        let record = Record {
            segments: pen.segments.clone(),
            next,
            unwritten_from: next,
            written: next,
            ..Record::new(dir)
        };
        Ok((record, pen))
    }

    /// Where the next event goes.
    pub fn next(&self) -> Position {
        self.next
    }

    /// What it takes of the disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds the next event: the message that tells of it, and its bytes of output. It is read when it was written.
    pub fn push(&mut self, message: Message, output: u32) {
        let head = Head {
            message_bytes: message.len(),
            at: self.next,
            output,
        };
        let head = head.bytes();
        self.unwritten.push(Unwritten { head, message });
        self.next.sequence += 1;
        self.next.output += u64::from(output);
    }

    /// What was added since the last time, for its pen.
    pub fn poll_piece(&mut self) -> Option<Piece> {
        let events = std::mem::take(&mut self.unwritten);
        let from = std::mem::replace(&mut self.unwritten_from, self.next);
        (!events.is_empty()).then_some(Piece {
            events,
            from,
            until: self.next,
        })
    }

    /// A piece was written.
    pub fn handle_written(&mut self, written: Written) {
        self.segments = written.segments;
        self.written = written.until;
    }

    /// Whether all that was added is written, or never will be.
    pub fn is_written(&self) -> bool {
        self.written.sequence == self.next.sequence
    }

    /// The directory that it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What lies behind a cursor: events of about this many bytes, and none behind the one by which they have so much output;
    /// or one.
    ///
    /// # Errors
    /// If the disk fails, or something that is not ours is in the directory.
    pub fn read(&self, cursor: &mut Cursor, bytes: usize, output: u64) -> io::Result<Found> {
        loop {
            if cursor.next.sequence >= self.written.sequence {
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

/// What a segment is called, by its first position.
fn file_name(first: Position) -> String {
    let Position { sequence, output } = first;
    format!("{sequence:016x}-{output:016x}")
}

/// The position that a segment is called by.
fn position(name: &str) -> Option<Position> {
    let (sequence, output) = name.split_once('-')?;
    let number = |text: &str| {
        let digits = Some(text).filter(|text| text.len() == 16)?;
        u64::from_str_radix(digits, 16).ok()
    };
    Some(Position {
        sequence: number(sequence)?,
        output: number(output)?,
    })
}

/// Removes the record in this directory, and what else is there of its job.
pub fn remove(dir: &Path) {
    // If it cannot be removed now, a later master finds it too old.
    let _ = fs::remove_dir_all(dir);
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

/// An event that is to be written. Its message is the one that those are told who read along.
#[derive(Debug)]
struct Unwritten {
    head: [u8; HEAD_BYTES],
    message: Message,
}

/// What stands before each message.
struct Head {
    message_bytes: usize,
    at: Position,
    output: u32,
}

impl Head {
    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let len = u32::try_from(self.message_bytes).expect("a message of the wire is shorter");
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.at.sequence.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.at.output.to_le_bytes());
        bytes[20..].copy_from_slice(&self.output.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Head {
        let u32_at = |at: usize| {
            let four = bytes[at..at + 4].try_into();
            u32::from_le_bytes(four.expect("four are four"))
        };
        let u64_at = |at: usize| {
            let eight = bytes[at..at + 8].try_into();
            u64::from_le_bytes(eight.expect("eight are eight"))
        };
        Head {
            message_bytes: u32_at(0) as usize,
            at: Position {
                sequence: u64_at(4),
                output: u64_at(12),
            },
            output: u32_at(20),
        }
    }
}

const HEAD_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::OpenOptions;

    const LIMITS: Limits = Limits {
        segment_bytes: 200,
        record_bytes: 1000,
    };

    /// Both halves of one, and what lies between them, in one hand.
    struct Both {
        record: Record,
        pen: Pen,
    }

    impl Both {
        fn flush(&mut self) -> io::Result<()> {
            let Some(piece) = self.record.poll_piece() else {
                return Ok(());
            };
            let mut written = self.pen.write(&piece);
            let error = written.error.take();
            self.record.handle_written(written);
            error.map_or(Ok(()), Err)
        }
    }

    impl std::ops::Deref for Both {
        type Target = Record;

        fn deref(&self) -> &Record {
            &self.record
        }
    }

    impl std::ops::DerefMut for Both {
        fn deref_mut(&mut self) -> &mut Record {
            &mut self.record
        }
    }

    fn record(dir: &tempfile::TempDir) -> Both {
        let path = dir.path().join("record");
        let pen = Pen::create(path.clone(), LIMITS).unwrap();
        let record = Record::new(path);
        Both { record, pen }
    }

    /// Numbered messages of various lengths, whose output is their number's last digit.
    fn add(record: &mut Both, count: u64) {
        for added in 0..count {
            let sequence = record.next().sequence;
            record.push(message(sequence).into(), (sequence % 10) as u32);
            if added % 3 == 0 || added + 1 == count {
                record.flush().unwrap();
            }
        }
    }

    fn message(sequence: u64) -> Vec<u8> {
        format!("{sequence}{}", "x".repeat((sequence % 90) as usize)).into_bytes()
    }

    /// Reads to the end: each event, and how many were missing before.
    fn read(record: &Record, cursor: &mut Cursor, bytes: usize) -> (Vec<Kept>, u64) {
        let (mut events, mut missing) = (Vec::new(), 0);
        loop {
            let before = cursor.next.sequence;
            match record.read(cursor, bytes, u64::MAX).unwrap() {
                Found::Events(found) => events.extend(found),
                Found::Gap(at) => missing += at.sequence - before,
                Found::End => return (events, missing),
            }
        }
    }

    fn numbers(events: &[Kept]) -> Vec<u64> {
        let number = |kept: &Kept| {
            let text = String::from_utf8(kept.message.clone()).unwrap();
            let number = text.trim_end_matches('x').parse().unwrap();
            assert_eq!(
                (&kept.message, kept.output),
                (&message(number), (number % 10) as u32)
            );
            number
        };
        events.iter().map(number).collect()
    }

    #[test]
    fn what_was_added_is_read_from_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = record(&dir);
        add(&mut record, 12);
        for first in 0..13 {
            for bytes in [1, 100, 10_000] {
                let mut cursor = Cursor::default();
                cursor.next.sequence = first;
                let (events, missing) = read(&record, &mut cursor, bytes);
                assert_eq!(numbers(&events), (first..12).collect::<Vec<_>>());
                assert_eq!(missing, 0);
                assert_eq!(cursor.next.sequence, record.next().sequence);
            }
        }
    }

    #[test]
    fn no_more_output_is_read_than_somebody_has_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = record(&dir);
        add(&mut record, 10); // With 0 to 9 bytes of output.
        let mut cursor = Cursor::default();
        for (room, expected) in [
            (3, vec![0, 1, 2]),
            (0, vec![3]),
            (1, vec![4]),
            (12, vec![5, 6, 7]),
        ] {
            match record.read(&mut cursor, 10_000, room).unwrap() {
                Found::Events(events) => assert_eq!(numbers(&events), expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(numbers(&read(&record, &mut cursor, 10_000).0), [8, 9]);
    }

    #[test]
    fn the_oldest_goes_first_and_a_reader_learns_how_much_it_missed() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = record(&dir);
        let mut slow = Cursor::default();
        add(&mut record, 3);
        assert_eq!(numbers(&read(&record, &mut slow, 10).0), [0, 1, 2]);
        add(&mut record, 300);
        assert!(record.bytes() <= LIMITS.record_bytes);
        let files = fs::read_dir(dir.path().join("record")).unwrap();
        let bytes: u64 = files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(bytes, record.bytes());
        for mut cursor in [slow, Cursor::default()] {
            let before = cursor.next;
            let (events, missing) = read(&record, &mut cursor, 100);
            let numbers = numbers(&events);
            assert_eq!(numbers.last(), Some(&302));
            assert!(numbers.is_sorted());
            assert_eq!(numbers.len() as u64 + missing, 303 - before.sequence);
            assert_eq!(cursor.next, record.next());
        }
    }

    #[test]
    fn a_disk_without_room_costs_what_comes_meanwhile_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = record(&dir);
        add(&mut record, 3);
        // Nothing can be begun in a directory that is gone.
        let (path, away) = (dir.path().join("record"), dir.path().join("away"));
        fs::rename(&path, &away).unwrap();
        record.pen.file = None;
        record.push(message(3).into(), 3);
        assert!(record.flush().is_err(), "it is told once");
        record.push(message(4).into(), 4);
        record.flush().unwrap();
        fs::rename(&away, &path).unwrap();
        let mut cursor = Cursor::default();
        let (events, missing) = read(&record, &mut cursor, 100);
        assert_eq!((numbers(&events), missing), (vec![0, 1, 2], 2));
        add(&mut record, 2);
        let (events, missing) = read(&record, &mut cursor, 100);
        assert_eq!((numbers(&events), missing), (vec![5, 6], 0));
        let (events, missing) = read(&record, &mut Cursor::default(), 100);
        assert_eq!((numbers(&events), missing), (vec![0, 1, 2, 5, 6], 2));
    }

    #[test]
    fn it_goes_with_its_job() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = record(&dir);
        add(&mut record, 3);
        remove(record.dir());
        assert!(!dir.path().join("record").exists());
    }

    #[test]
    fn it_is_taken_up_where_it_is_said_to_end_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        for until in 0..=30 {
            let mut whole = record(&dir);
            let mut next = Position::default();
            for _ in 0..30 {
                if whole.next().sequence == until {
                    next = whole.next();
                }
                add(&mut whole, 1);
            }
            if until == 30 {
                next = whole.next();
            }
            fs::write(path.join("journal"), "something else").unwrap();
            // The last write may have been cut anywhere.
            let last = whole.segments.back().unwrap();
            let path_of_last = path.join(file_name(last.first));
            let file = OpenOptions::new().write(true).open(path_of_last);
            file.unwrap().set_len(last.bytes.saturating_sub(5)).unwrap();
            let (record, pen) = Record::resume(path.clone(), LIMITS, Some(next)).unwrap();
            let mut again = Both { record, pen };
            add(&mut again, 5);
            let (events, missing) = read(&again, &mut Cursor::default(), 1000);
            let numbers = numbers(&events);
            assert_eq!(numbers.len() as u64 + missing, until + 5);
            assert!(numbers.is_sorted() && numbers.ends_with(&[until + 4]));
            remove(again.dir());
        }
    }

    proptest! {
        #[test]
        fn each_event_is_read_once_and_whole_or_missed(
            steps in proptest::collection::vec((0_u64..20, 1_usize..400), 1..30),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut record = record(&dir);
            let mut cursor = Cursor::default();
            for (count, bytes) in steps {
                add(&mut record, count);
                let before = cursor.next.sequence;
                let (events, missing) = read(&record, &mut cursor, bytes);
                prop_assert_eq!(before + missing + events.len() as u64, record.next().sequence);
                let numbers = numbers(&events);
                prop_assert!(numbers.is_sorted());
                prop_assert_eq!(cursor.next, record.next());
            }
        }
    }
}
