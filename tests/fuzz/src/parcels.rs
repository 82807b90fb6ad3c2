//! Programs as they arrive: a frame, and within it what to change of another program. And the files that go with them.

use crate::{Target, place, words};
use deploy_parcel::{Packed, Unpacker, delta, talk, tree};
use std::{
    cell::RefCell,
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
    time::Instant,
};

pub(crate) const FRAME: Target = Target {
    name: "frame",
    check: |input| {
        UNPACKER.with_borrow_mut(|unpacker| {
            for base in [None, Some(OLD)] {
                if unpacker.unpack(input, base, LEN_MAX, io::sink()).is_ok() {
                    words::accepted();
                }
            }
        });
        // What zstd allocates for a window of 16 MiB is not seen here. The lists of a change are no longer than the
        // program, and double as they grow.
        12 * LEN_MAX as usize + (256 << 10)
    },
    seeds: || {
        let packed = [
            Packed::whole(NEW).expect("there is memory"),
            Packed::change(OLD.to_vec(), NEW)
                .expect("there is memory")
                .expect("they are similar"),
        ];
        packed.map(bytes_of).to_vec()
    },
    short: 4_000,
};

thread_local! {
    static UNPACKER: RefCell<Unpacker> = RefCell::default();
}

pub(crate) const CHANGE: Target = Target {
    name: "change",
    check: |input| {
        let mut new = Vec::new();
        if delta::apply(OLD, input, LEN_MAX, Short(&mut new)).is_ok() {
            words::accepted();
            let again = change(OLD, &new);
            let mut same = Vec::new();
            delta::apply(OLD, again.as_slice(), LEN_MAX * 2, &mut same).expect("it was made so");
            assert!(same == new, "what is made of a change is the new program");
        }
        // An index of the old program, lists, and what they make.
        64 * (OLD.len() + input.len()) + 16 * LEN_MAX as usize
    },
    seeds: || vec![change(OLD, NEW), change(NEW, OLD), moved()],
    short: 200_000,
};

fn change(old: &[u8], new: &[u8]) -> Vec<u8> {
    let change = delta::make(old.to_vec(), new, u64::MAX).expect("it is in memory");
    change.expect("it may be of any length")
}

/// A change that says of the old program's text that it is a program whose references have moved.
fn moved() -> Vec<u8> {
    let word = OLD.first_chunk().expect("it is longer");
    let (symbols, data) = (3, 1);
    let mut moves = vec![2, 0, 16, 0, symbols, 0, 60];
    let mut address = u64::from_le_bytes(*word);
    while address >= 0x80 {
        moves.push(address as u8 | 0x80);
        address >>= 7;
    }
    moves.extend([address as u8, data]);
    moves.extend([0, 8, 100, 3]); // From 0 on by 4, from 100 on by 2.
    let plain = change(OLD, NEW);
    let rest = plain
        .strip_prefix(&[1, 0, 0, 0, 0])
        .expect("none have moved");
    [&(moves.len() as u32).to_le_bytes(), &moves[..], rest].concat()
}

thread_local! {
    static TALK_UNPACKER: RefCell<talk::Unpacker> =
        RefCell::new(talk::Unpacker::new().expect("there is memory"));
}

/// What a process wrote, as its person's client gets it: packed by a machine that may be anybody's.
pub(crate) const TALK: Target = Target {
    name: "talk",
    check: |input| {
        let Some((len, packed)) = input.split_first_chunk() else {
            return 4096;
        };
        let len = usize::from(u16::from_le_bytes(*len));
        TALK_UNPACKER.with_borrow_mut(|unpacker| {
            if let Ok(bytes) = unpacker.unpack(packed, len) {
                words::accepted();
                assert_eq!(bytes.len(), len, "neither more nor less than was said");
            }
        });
        len + 4096
    },
    seeds: || {
        let lines = "a line, and another one of the same kind\n".repeat(200);
        let packed = talk::Packer::default().pack(lines.as_bytes(), Instant::now());
        let packed = packed.expect("lines are like one another");
        let with = |len: usize, packed: &[u8]| [&(len as u16).to_le_bytes(), packed].concat();
        let short = bytes_of(Packed::whole(NEW).expect("there is memory"));
        vec![
            with(lines.len(), &packed),
            with(lines.len() - 1, &packed),
            with(9, &packed),
            with(NEW.len(), &short),
            with(NEW.len() + 1, &short),
        ]
    },
    short: 200_000,
};

/// Files as a node unpacks them for a job. Those who send them may do so without our program.
pub(crate) const FILES: Target = Target {
    name: "files",
    check: |input| {
        OUTER.with(|outer| files(input, outer));
        // A path of 64 KiB, in some copies; the files, and once more; names of a directory.
        (1 << 20) + 16 * input.len()
    },
    seeds: trees,
    short: 5_000,
};

/// The same, where no file is made.
pub(crate) const TREE: Target = Target {
    name: "tree",
    check: |input| {
        let mut rest = input;
        while let Ok(Some(head)) = tree::next_head(&mut rest) {
            words::given(1);
            let mut parts = head.path.components();
            assert!(parts.all(|part| matches!(part, Component::Normal(_))));
            assert!(head.path.file_name().is_some(), "it is below");
            let Ok(len) = usize::try_from(head.len) else {
                break;
            };
            rest = rest.get(len..).unwrap_or_default();
        }
        // A path, and what it is made of.
        (128 << 10) + 2 * input.len()
    },
    seeds: trees,
    short: 100_000,
};

fn trees() -> Vec<Vec<u8>> {
    let entry = |kind: u8, path: &str, content: Option<&[u8]>| {
        let mut bytes = vec![kind];
        bytes.extend((path.len() as u16).to_le_bytes());
        bytes.extend(path.as_bytes());
        if let Some(content) = content {
            bytes.extend((content.len() as u64).to_le_bytes());
            bytes.extend(content);
        }
        bytes
    };
    let (directory, file, program) = (1, 2, 3);
    let mut huge = entry(file, "huge", Some(b"x"));
    let len_at = huge.len() - 9;
    huge[len_at..len_at + 8].fill(0xff);
    vec![
        [
            entry(directory, "data", None),
            entry(file, "data/x.txt", Some(b"x")),
            entry(program, "run.sh", Some(b"#!/bin/sh\n")),
        ]
        .concat(),
        (0..12)
            .map(|n| match n % 3 {
                0 => entry(directory, &format!("d{n}"), None),
                _ => entry(file, &format!("d{}/{n}", n / 3 * 3), Some(b"some words")),
            })
            .collect::<Vec<_>>()
            .concat(),
        entry(file, "../outside", Some(b"x")),
        entry(directory, "a/../../b", None),
        entry(file, "/dev/null", Some(b"x")),
        [
            entry(file, "a", Some(b"1")),
            entry(file, "a/b", Some(b"2")),
            entry(file, "a", Some(b"3")),
        ]
        .concat(),
        entry(directory, &"d/".repeat(5), None),
        entry(file, "a\0b", Some(b"x")),
        // Links and devices, if there were such kinds.
        entry(4, "link", Some(b"/etc/passwd")),
        huge,
    ]
}

/// Takes no more than a program may have.
struct Short<'n>(&'n mut Vec<u8>);

impl io::Write for Short<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > LEN_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bytes_of(mut packed: Packed<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packed.read_to_end(&mut bytes).expect("it is in memory");
    bytes
}

/// Has these files made within a directory, which is empty before and after.
fn files(input: &[u8], outer: &Outer) {
    let root = &outer.root;
    let is_whole = tree::unpack(input, root).is_ok();
    let made = fs::read_dir(&outer.path).expect("it is there").count();
    assert_eq!(made, 1, "something was made outside");
    let (entries, bytes) = all_below(root);
    assert!(bytes <= input.len() as u64);
    // What was made, and what was refused.
    words::given(entries as u64 + u64::from(!is_whole));
    if is_whole {
        words::accepted();
        let all = [PathBuf::from(".")];
        let packed = tree::pack(root, &all, u64::MAX).expect("what was made can be read");
        let again = outer.path.join("again");
        fs::create_dir(&again).expect("a directory can be made");
        tree::unpack(packed.as_slice(), &again).expect("it was packed so");
        let same = tree::pack(&again, &all, u64::MAX).expect("what was made can be read");
        assert!(same == packed, "what is packed comes back");
        fs::remove_dir_all(&again).expect("it was made here");
    }
    if entries > 0 {
        fs::remove_dir_all(root).expect("it was made here");
        fs::create_dir(root).expect("a directory can be made");
    }
}

/// How many entries are below this directory, where nothing may be but directories and files, and how many bytes are in them.
fn all_below(directory: &Path) -> (usize, u64) {
    let (mut entries, mut bytes) = (0, 0);
    for entry in fs::read_dir(directory).expect("it is there") {
        let entry = entry.expect("it can be read");
        let facts = entry.metadata().expect("it is there");
        assert!(facts.is_dir() || facts.is_file(), "{:?}", entry.path());
        let (below, within) = match facts.is_dir() {
            true => all_below(&entry.path()),
            false => (0, facts.len()),
        };
        entries += 1 + below;
        bytes += within;
    }
    (entries, bytes)
}

/// A directory with one in it, which both go when it is dropped.
struct Outer {
    path: PathBuf,
    root: PathBuf,
}

thread_local! {
    /// One for all inputs: to make and remove directories takes longer than all that is looked at.
    static OUTER: Outer = Outer::new();
}

impl Outer {
    fn new() -> Outer {
        let path = place::new("files");
        let root = path.join("root");
        fs::create_dir_all(&root).expect("a directory can be made");
        Outer { path, root }
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const LEN_MAX: u64 = 4096;
const OLD: &[u8] = b"an old program with some lines of code, one behind the other, and numbers: 1000 2000 3000 4000";
const NEW: &[u8] = b"a new program with some lines of code and more, one behind the other, and numbers: 1004 2004 3004";
