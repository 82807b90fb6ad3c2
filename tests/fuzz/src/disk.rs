//! What a master that is started again finds on its disk. A disk can hand back anything; what bears the right sum was written
//! by a master, perhaps one that was mistaken.

use crate::{Target, place};
use deploy_wire::{
    bytes::Writer,
    client::{Answer, Ask, Position, RunRequest},
    event::{Event, Stream},
    job::JobReport,
    node::Report,
    pid::Job,
    samples,
};
use fabric::{
    master::{
        cluster::{About, Cluster},
        desk::Retold,
        happening::Happening,
        journal::{self, Earlier},
        lives::Lives,
        place::Place,
        record::{Cursor, Found, Limits, Pen, Record},
    },
    scheduler::NodeId,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Entries, each behind its length, to which the sums are added; or a file as it is, by the first byte. What can be read is
/// what a job was told, and it is told that again.
pub(crate) const JOURNAL: Target = Target {
    name: "journal",
    check: |input| {
        let Some((choice, entries)) = input.split_first() else {
            return 0;
        };
        let file = match choice % 4 {
            0 => entries.to_vec(),
            _ => with_sums(entries),
        };
        if let Ok(earlier) = Earlier::read(file) {
            go_on(&earlier);
        }
        // The longest output of which only the length was written down; entries, what they say, and what a job keeps of it.
        (65 << 20) + 1000 * input.len()
    },
    seeds: || {
        let first = without_sums(&journal::first(&about()));
        let with = |rest: &[&Happening]| {
            let mut entries = first.clone();
            rest.iter()
                .for_each(|happening| push(&mut entries, &happening.encode()));
            [&[1], &entries[..]].concat()
        };
        let told = happenings();
        let mut seeds: Vec<_> = told.iter().map(|one| with(&[one])).collect();
        seeds.push(with(&told.iter().collect::<Vec<_>>()));
        let mut condensed = first.clone();
        push(&mut condensed, &[&[255], &condensed_job()[..]].concat());
        push(&mut condensed, &told[0].encode());
        seeds.push([&[1], &condensed[..]].concat());
        seeds.push([&[0], &with_sums(&condensed)[..]].concat());
        seeds
    },
    short: 20_000,
};

pub(crate) const LIVES: Target = Target {
    name: "lives",
    check: |input| {
        if let Ok(lives) = Lives::decode(input) {
            lives.views(None, &[]);
            Lives::decode(&lives.encode()).expect("it was written here");
        }
        200 * input.len() + 4096
    },
    seeds: || {
        let mut lives = Lives::default();
        let events = samples::client::answers()
            .into_iter()
            .filter_map(|answer| match answer {
                Answer::Event { event, .. } => Some(event),
                _ => None,
            });
        for (sequence, event) in events.enumerate() {
            lives.handle_event(sequence as u64, &event, Some("ada".to_string()));
        }
        vec![lives.encode()]
    },
    short: 50_000,
};

/// A segment of a record, as the only one there. It is read, and gone on with.
pub(crate) const SEGMENT: Target = Target {
    name: "segment",
    check: |input| {
        SEGMENTS.with(|dir| {
            segment(input, dir, None);
            let sequence = u64::from(*input.first().unwrap_or(&0));
            let output = 0;
            segment(input, dir, Some(Position { sequence, output }));
        });
        64 * input.len() + (64 << 10)
    },
    seeds: || {
        let path = place::new("record");
        let mut pen = Pen::create(path.clone(), LIMITS).expect("a directory can be made");
        let mut record = Record::new(path.clone());
        for message in ["one", "two", ""] {
            record.push(message.as_bytes().to_vec().into(), 3);
        }
        let piece = record.poll_piece().expect("there are three");
        pen.write(&piece);
        let bytes = fs::read(path.join(FIRST)).expect("it was written");
        fs::remove_dir_all(path).expect("it was made here");
        vec![bytes]
    },
    short: 5_000,
};

/// The nodes that a master knew.
pub(crate) const NODES: Target = Target {
    name: "nodes",
    check: |input| {
        let mut cluster = Cluster::new("head".to_string());
        if cluster.restore_nodes(input, Instant::now()).is_ok() {
            cluster.begin_again(Instant::now());
        }
        4000 * input.len() + (64 << 10)
    },
    seeds: || {
        let hello = samples::node::reports()
            .into_iter()
            .find(|report| matches!(report, Report::Hello(_)));
        let hello = hello.expect("it is a message").encode();
        let mut w = Writer::new();
        w.u32(7).u32(2);
        for (number, name) in [(2, "n1"), (6, "n2")] {
            w.u32(number).text(name).bool(number == 2).bytes(&hello);
        }
        vec![w.finish()]
    },
    short: 20_000,
};

/// As a master that is started again has a job go on.
fn go_on(earlier: &Earlier) -> Option<Cluster> {
    let mut cluster = Cluster::new("head".to_string());
    let (mut retold, condensed) = match earlier.condensed() {
        None => (Retold::default(), None),
        Some(bytes) => {
            let (retold, condensed) = Retold::of_condensed(bytes).ok()?;
            (retold, Some(condensed))
        }
    };
    let now = Instant::now();
    let told = (condensed, earlier.happenings());
    let tell = |event: Event, by| retold.handle(&event, by);
    cluster
        .restore_job(JOB, earlier.about.clone(), told, tell, now)
        .ok()?;
    Some(cluster)
}

fn about() -> About {
    let request = samples::client::asks()
        .into_iter()
        .find_map(|ask| match ask {
            Ask::Run(request) => Some(*request),
            _ => None,
        });
    About {
        user: "ada".to_string(),
        key: [3; 32],
        request: RunRequest {
            is_here: false,
            ..request.expect("it is a message")
        },
    }
}

/// The beginning of a job, and everything else that can be told to one.
fn happenings() -> Vec<Happening> {
    let node = NodeId::from_number(0);
    let place = Place {
        node,
        name: "n1".to_string(),
        address: None,
    };
    let reports = samples::job::reports();
    let reports = reports.into_iter().map(|report| {
        let file = matches!(report, JobReport::Output { .. }).then(|| b"file".to_vec());
        Happening::Report(node, report, file)
    });
    let ada = || "ada".to_string();
    [
        Happening::Granted(0, place.clone()),
        Happening::Granted(1, place),
    ]
    .into_iter()
    .chain(reports)
    .chain([
        Happening::Credit(7),
        Happening::Input(b"typed".to_vec()),
        Happening::Unread(Stream::Stdout),
        Happening::Noted(0, ada()),
        Happening::Parted(node),
        Happening::Signal(2, ada()),
        Happening::Kill(Some(1), ada()),
        Happening::NodeLost(node, ada()),
        Happening::Kill(None, ada()),
    ])
    .collect()
}

/// What a job has become that was told the first of that.
fn condensed_job() -> Vec<u8> {
    let mut file = journal::first(&about());
    for happening in &happenings()[..2] {
        journal::add(&mut file, &happening.encode());
    }
    let earlier = Earlier::read(file).expect("it was written here");
    let cluster = go_on(&earlier).expect("it was told so");
    let state = cluster
        .condense(JOB)
        .expect("it is in the midst of nothing");
    let mut w = Writer::new();
    w.u64(1).u64(0);
    w.bytes(&Lives::default().encode()).bytes(&state);
    w.finish()
}

fn push(entries: &mut Vec<u8>, entry: &[u8]) {
    entries.extend((entry.len() as u32).to_le_bytes());
    entries.extend(entry);
}

fn with_sums(mut entries: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    while let Some((len, rest)) = entries.split_first_chunk() {
        let len = rest.len().min(u32::from_le_bytes(*len) as usize);
        let (entry, rest) = rest.split_at(len);
        journal::add(&mut file, entry);
        entries = rest;
    }
    file
}

fn without_sums(entry: &[u8]) -> Vec<u8> {
    let (len, rest) = entry.split_at(4);
    [
        len,
        &rest[rest.len() - u32::from_le_bytes(len.try_into().expect("four are four")) as usize..],
    ]
    .concat()
}

fn segment(input: &[u8], dir: &Path, next: Option<Position>) {
    fs::write(dir.join(FIRST), input).expect("there is room for it");
    let Ok((record, mut pen)) = Record::resume(dir.to_owned(), LIMITS, next) else {
        return;
    };
    let mut cursor = Cursor::default();
    while let Ok(Found::Events(_) | Found::Gap(_)) = record.read(&mut cursor, 100, u64::MAX) {
        assert!(
            cursor.next.sequence <= record.next().sequence,
            "it ends there"
        );
    }
    pen.seal();
}

thread_local! {
    static SEGMENTS: PathBuf = {
        let path = place::new("segment");
        fs::create_dir(&path).expect("a directory can be made");
        path
    };
}

const JOB: Job = Job::from_bits(7);
const LIMITS: Limits = Limits {
    segment_bytes: 200,
    record_bytes: 1000,
};
/// The segment that begins at the beginning.
const FIRST: &str = "0000000000000000-0000000000000000";
