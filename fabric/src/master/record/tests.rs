//! Records, written and read in one hand.

use super::{layout::file_name, *};
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
