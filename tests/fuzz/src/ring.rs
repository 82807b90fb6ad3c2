//! Shared memory whose other side writes what it likes: counts, marks and bytes, between any two of our steps.
//!
//! The input is a script: the first byte says which end is ours and how long the ring is, each one after that chooses a step.
//! A plain model of what the file says goes along: so nothing is read twice, left out, or taken from elsewhere, and what cannot
//! be is refused, and only that.
//!
//! To make a ring takes longer than to play a script. So there are four, and each script begins on one of them as on a new
//! one: nothing in it, at the beginning of its bytes, no mark anywhere. Only how often it went round before, and which bytes
//! lie in it from then, is of scripts before, and the model knows both.
//!
//! Deliberately absent: another side that writes while we read, which is for threads (`lying_tests.rs` in `deploy`).

use crate::{Target, words};
use deploy_sys::ring::{Reader, Writer, make};
use std::{
    cell::RefCell,
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    sync::LazyLock,
};

pub(crate) const RING: Target =
    Target {
        name: "ring",
        check: |input| {
            let mut script = Script(input);
            let first = script.byte().unwrap_or(0);
            let which = usize::from(usize::from(first >> 1).is_multiple_of(LONG_EVERY));
            match first % 2 {
                0 => READING
                    .with_borrow_mut(|rings: &mut [Reading; 2]| read(script, &mut rings[which])),
                _ => WRITING
                    .with_borrow_mut(|rings: &mut [Writing; 2]| write(script, &mut rings[which])),
            }
            // The rings, when they are made; what is read or written at once, twice, and the bytes as they should be.
            1 << 20
        },
        seeds: || {
            let step = |what: u8, high: u8, low: u8| vec![what, high, low];
            let reading = [
                step(COUNT, 0, 100),
                step(ACT, 0, 30),
                step(ACT, 16, 0),
                step(PUT, 0, 200),
                step(COUNT, 16, 0),
                step(MARK, 0, 1),
                step(ACT, 15, 255),
                step(ACT, 128, 0),
                step(COUNT, 16, 1),
                step(ACT, 1, 0),
                step(SHORT, 0, 1),
                step(COUNT, 0, 40),
                step(ACT, 1, 0),
            ];
            let writing = [
                step(ACT, 1, 0),
                step(ACT, 16, 0),
                step(COUNT, 0, 200),
                step(MARK, 0, 1),
                step(ACT, 2, 0),
                step(ACT, 128, 0),
                step(COUNT, 16, 0),
                step(COUNT, 128, 1),
                step(ACT, 200, 0),
            ];
            let all = |first: u8, steps: Vec<u8>| [vec![first], steps].concat();
            let (reading, writing) = (reading.concat(), writing.concat());
            vec![
                all(0, reading.clone()),
                all(1, writing.clone()),
                // Long scripts, on the short ring.
                all(2, reading.repeat(8)),
                all(3, writing.repeat(8)),
            ]
        },
        short: 4_000,
    };

/// A ring of which we have the end that reads, and what lies in it.
struct Reading {
    file: File,
    reader: Reader,
    bytes: Vec<u8>,
    /// How many bytes were read.
    head: u64,
}

impl Reading {
    fn new(capacity: usize) -> Reading {
        let (file, reader) = make(capacity).expect("there is memory");
        Reading {
            file: file.into(),
            reader,
            bytes: vec![0; capacity],
            head: 0,
        }
    }

    /// As a new one.
    fn begin(&mut self) {
        let capacity = self.bytes.len();
        let left = capacity - self.head as usize % capacity;
        set(&self.file, TAIL_AT, self.head + left as u64);
        put_short(&self.file, (self.head as u32).wrapping_sub(1), 0);
        let read = self.reader.read(&mut vec![0; left]);
        assert_eq!(read.ok(), Some(left));
        self.head += left as u64;
        put_short(&self.file, self.head as u32, 0);
        set_mark(&self.file, WRITER_SLEEPS_AT, 0);
        self.reader.take_mark();
    }
}

/// Our end reads, and the script writes.
fn read(mut script: Script<'_>, ring: &mut Reading) {
    ring.begin();
    let Reading {
        file,
        reader,
        bytes,
        head,
    } = ring;
    let capacity = bytes.len();
    let (mut tail, mut buffer) = (*head, Vec::with_capacity(2 * capacity));
    // What stands beside the tail, and from which count on.
    let (mut short_from, mut short) = (*head as u32, 0u8);
    while let Some((step, value)) = script.step() {
        match step {
            COUNT => {
                tail = count(*head, value);
                set(file, TAIL_AT, tail);
            }
            MARK => set_mark(file, WRITER_SLEEPS_AT, value),
            PUT => put(file, bytes, value),
            SHORT => {
                short_from = (*head as u32).wrapping_add(u32::from(value / 256));
                short = value as u8;
                put_short(file, short_from, short);
            }
            _ => {
                let wanted = wanted(value, capacity);
                let unread = tail.wrapping_sub(*head);
                let expected = match unread {
                    0 => Err(io::ErrorKind::WouldBlock),
                    _ if unread > capacity as u64 => Err(io::ErrorKind::InvalidData),
                    _ => Ok(unread.min(wanted as u64) as usize),
                };
                let found = read_once(reader, value % 2 == 0, wanted, &mut buffer);
                assert_eq!(found, expected);
                let is_beside = unread <= SHORT_BYTES && short_from == *head as u32;
                let begin = *head as usize % capacity;
                let (behind, before) = (&bytes[begin..], &bytes[..begin]);
                let there = buffer.len().min(behind.len());
                match is_beside {
                    true => assert!(buffer.iter().all(|byte| *byte == short), "at {head}"),
                    false => {
                        assert!(buffer[..there] == behind[..there], "at {head}");
                        assert!(
                            buffer[there..] == before[..buffer.len() - there],
                            "at {head}"
                        );
                    }
                }
                *head += buffer.len() as u64;
                assert_eq!(get(file, HEAD_AT), *head);
                // It may sleep only where nothing is there.
                let may_sleep = match value % 2 {
                    0 => reader.listen(),
                    _ => reader.lie_down(),
                };
                assert_eq!(may_sleep, tail == *head);
                reader.take_mark();
            }
        }
    }
}

/// Has `buffer` be what was read, in one of two ways.
fn read_once(
    reader: &mut Reader,
    into_slice: bool,
    wanted: usize,
    buffer: &mut Vec<u8>,
) -> Result<usize, io::ErrorKind> {
    buffer.clear();
    let read = match into_slice {
        true => {
            buffer.resize(wanted, 0);
            reader.read(buffer)
        }
        false => reader.read_onto(buffer, wanted),
    };
    let count = *read.as_ref().unwrap_or(&0);
    assert!(into_slice || buffer.len() == count);
    buffer.truncate(count);
    read.map_err(|error| error.kind())
}

/// A ring of which we have the end that writes, and what lies in it.
struct Writing {
    file: File,
    writer: Writer,
    bytes: Vec<u8>,
    /// How many bytes were written.
    tail: u64,
}

impl Writing {
    fn new(capacity: usize) -> Writing {
        let (file, _reader) = make(capacity).expect("there is memory");
        Writing {
            writer: Writer::map(file.as_fd(), capacity).expect("it is one"),
            file: file.into(),
            bytes: vec![0; capacity],
            tail: 0,
        }
    }

    /// As a new one.
    fn begin(&mut self) {
        let capacity = self.bytes.len();
        self.all_is_read();
        let begin = self.tail as usize % capacity;
        let left = self.bytes[begin..].to_vec();
        let written = self.writer.write(&left, &[]);
        assert_eq!(written.ok(), Some(left.len()));
        self.tail += left.len() as u64;
        self.all_is_read();
        set_mark(&self.file, READER_SLEEPS_AT, 0);
    }

    /// And the writer has seen that.
    fn all_is_read(&mut self) {
        set(&self.file, HEAD_AT, self.tail);
        let room = self.writer.room_for(self.bytes.len());
        assert_eq!(room.ok(), Some(self.bytes.len()));
    }
}

/// Our end writes, and the script reads.
fn write(mut script: Script<'_>, ring: &mut Writing) {
    ring.begin();
    let Writing {
        file,
        writer,
        bytes,
        tail,
    } = ring;
    let capacity = bytes.len();
    let mut room = Room::new(capacity, *tail);
    while let Some((step, value)) = script.step() {
        match step {
            COUNT => {
                room.head = count(room.seen, value);
                set(file, HEAD_AT, room.head);
            }
            MARK => set_mark(file, READER_SLEEPS_AT, value),
            PUT => put(file, bytes, value),
            SHORT => put_short(file, u32::from(value), value as u8), // Only we read it, and we write.
            _ => {
                let begin = room.tail;
                let all = &PATTERN[begin as usize % 256..][..wanted(value, capacity)];
                let (first, second) = all.split_at(all.len() / 3);
                let expected = room.write(&[first.len(), second.len()]);
                let written = writer.write(first, second).map_err(|error| error.kind());
                assert_eq!(written, expected);
                *tail = room.tail;
                assert_eq!(get(file, TAIL_AT), room.tail);
                for (at, byte) in (begin..room.tail).zip(all) {
                    bytes[at as usize % capacity] = *byte;
                }
                if written == Err(io::ErrorKind::InvalidData) {
                    assert!(!writer.await_room(), "the next write says it again");
                    break;
                }
                let quarter = room.look(capacity as u64 / 4);
                let waits = quarter.is_some_and(|room| room < capacity as u64 / 4);
                assert_eq!(writer.await_room(), waits);
                writer.wake();
            }
        }
    }
    let mut there = vec![0; capacity];
    file.read_exact_at(&mut there, BYTES_AT)
        .expect("it is as long");
    assert!(there == *bytes, "what was written lies where it belongs");
}

/// What a writer knows of its room, and what the script says of it.
struct Room {
    capacity: u64,
    tail: u64,
    /// The latest count that the writer has believed.
    seen: u64,
    head: u64,
}

impl Room {
    /// All that was written was read.
    fn new(capacity: usize, tail: u64) -> Room {
        Room {
            capacity: capacity as u64,
            tail,
            seen: tail,
            head: tail,
        }
    }

    /// The script's count is looked at only where less is free, as far as is known; nothing, where it cannot be.
    fn look(&mut self, wanted: u64) -> Option<u64> {
        if self.capacity - (self.tail - self.seen) < wanted {
            if !(self.seen..=self.tail).contains(&self.head) {
                return None;
            }
            self.seen = self.head;
        }
        Some(self.capacity - (self.tail - self.seen))
    }

    /// What comes of writing runs of these lengths.
    fn write(&mut self, lengths: &[usize]) -> Result<usize, io::ErrorKind> {
        let mut written = 0;
        for length in lengths {
            let mut left = *length as u64;
            while left > 0 {
                let wanted = left.min(16 << 10);
                let room = self.look(wanted).ok_or(io::ErrorKind::InvalidData)?;
                if room == 0 {
                    break;
                }
                self.tail += wanted.min(room);
                written += wanted.min(room) as usize;
                left -= wanted.min(room);
            }
        }
        match written {
            0 if lengths.iter().any(|length| *length > 0) => Err(io::ErrorKind::WouldBlock),
            written => Ok(written),
        }
    }
}

/// A count near this one, most often; half of the values are further on, and some anything.
fn count(near: u64, value: u16) -> u64 {
    match value >> 12 {
        0..=7 => near.wrapping_add(value.into()),
        8 => near.wrapping_sub((value & 0xfff).into()),
        9 => near.wrapping_add(u64::from(value & 0xfff) << 4),
        10 => u64::MAX - u64::from(value & 0xfff),
        high => u64::from(value & 0xfff) << (high * 4),
    }
}

/// How many bytes are read or written by a step: not more than twice what fits.
fn wanted(value: u16, capacity: usize) -> usize {
    usize::from(value) % (2 * capacity + 1)
}

fn put(file: &File, bytes: &mut [u8], value: u16) {
    let at = usize::from(value) % (bytes.len() - 64);
    let now = [value as u8; 64];
    bytes[at..at + 64].copy_from_slice(&now);
    file.write_all_at(&now, BYTES_AT + at as u64)
        .expect("it is as long");
}

fn put_short(file: &File, from: u32, byte: u8) {
    let now = [&from.to_ne_bytes()[..], &[byte; SHORT_BYTES as usize]].concat();
    file.write_all_at(&now, SHORT_FROM_AT)
        .expect("it is as long");
}

fn set(file: &File, at: u64, count: u64) {
    file.write_all_at(&count.to_ne_bytes(), at)
        .expect("it is as long");
}

fn set_mark(file: &File, at: u64, value: u16) {
    let mark = [0, 1, 1 << 31, u32::MAX, value.into()][usize::from(value) % 5];
    file.write_all_at(&u32::to_ne_bytes(mark), at)
        .expect("it is as long");
}

fn get(file: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).expect("it is as long");
    u64::from_ne_bytes(bytes)
}

/// What is left of it.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// What to do, and a number for it.
    fn step(&mut self) -> Option<(u8, u16)> {
        let what = self.byte()? % 8;
        let value = u16::from_be_bytes([self.byte()?, self.byte()?]);
        words::given(1);
        Some((what, value))
    }
}

thread_local! {
    static READING: RefCell<[Reading; 2]> = RefCell::new(CAPACITIES.map(Reading::new));
    static WRITING: RefCell<[Writing; 2]> = RefCell::new(CAPACITIES.map(Writing::new));
}

/// What is written, from anywhere in its first round on.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bytes = (0..256 + 2 * CAPACITIES[1]).map(|at| at as u8 ^ 0x5a);
    bytes.collect()
});

/// Every so many-th script has the long one, which takes longer to be looked at.
const CAPACITIES: [usize; 2] = [4 << 10, 32 << 10];
const LONG_EVERY: usize = 8;

const COUNT: u8 = 0;
const MARK: u8 = 1;
const PUT: u8 = 2;
const SHORT: u8 = 3;
/// More of them are ours.
const ACT: u8 = 4;

/// Where what lies: as `ring/memory.rs` of `deploy_sys` says.
const TAIL_AT: u64 = 0;
const SHORT_FROM_AT: u64 = 8;
const SHORT_BYTES: u64 = 52;
const HEAD_AT: u64 = 128;
const READER_SLEEPS_AT: u64 = 256;
const WRITER_SLEEPS_AT: u64 = 384;
const BYTES_AT: u64 = 4096;
