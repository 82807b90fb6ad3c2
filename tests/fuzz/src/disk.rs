//! What a master that is started again finds on its disk. A disk can hand back anything; what bears the right sum was written
//! by a master, perhaps one that was mistaken.

use crate::{Target, place, words};
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
        desk::{Label, Retold},
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
    sync::LazyLock,
    time::Instant,
};

/// Entries, each behind its length, to which the sums are added; or a file as it is, by the first byte. What can be read is
/// what a job was told, and it is told that again. Mostly the beginning is right, and what is no entry is left out: or hardly any file
/// would be read.
pub(crate) const JOURNAL: Target = Target {
    name: "journal",
    check: |input| {
        let Some((choice, entries)) = input.split_first() else {
            return 0;
        };
        let file = match choice % 8 {
            0 => entries.to_vec(),
            1 => with_sums(Vec::new(), entries, |_| true),
            _ => with_sums(BEGINNING.clone(), entries, is_entry),
        };
        if let Ok(earlier) = Earlier::read(file) {
            words::accepted();
            go_on(&earlier);
        }
        // The longest output of which only the length was written down; entries, what they say, and what a job keeps of it.
        (65 << 20) + 1000 * input.len()
    },
    seeds: || {
        let first = without_sums(&BEGINNING);
        let with = |choice: u8, parts: &[&[u8]]| [&[choice], &parts.concat()[..]].concat();
        let told: Vec<_> = happenings()
            .iter()
            .map(|one| entry(&one.encode()))
            .collect();
        let mut seeds: Vec<_> = told.iter().map(|one| with(2, &[one])).collect();
        seeds.push(with(2, &[&told.concat()]));
        let condensed = entry(&[&[CONDENSED], &condensed_job()[..]].concat());
        seeds.push(with(2, &[&condensed, &told.concat()]));
        seeds.push(with(1, &[&first, &condensed, &told[0]]));
        let whole = with_sums(BEGINNING.clone(), &condensed, |_| true);
        seeds.push(with(0, &[&whole]));
        seeds
    },
    short: 20_000,
};

pub(crate) const LIVES: Target = Target {
    name: "lives",
    check: |input| {
        if let Ok(lives) = Lives::decode(input) {
            words::accepted();
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

/// What there is to say of a job that is over.
pub(crate) const LABEL: Target = Target {
    name: "label",
    check: |input| {
        if Label::read(input).is_ok() {
            words::accepted();
        }
        200 * input.len() + 4096
    },
    seeds: || {
        let label = |is_over: bool| {
            let mut w = Writer::new();
            w.u32(1).text("ada").text("hello::main").u64(1_700_000_000);
            w.option(is_over.then_some(()), |w, ()| {
                w.u64(1_700_000_100).u64(9).u64(1000);
                w.option(Some(()), |w, ()| {
                    w.u8(70).text("it is over");
                });
                w.bytes(&(LIVES.seeds)()[0]);
            });
            w.finish()
        };
        vec![label(false), label(true)]
    },
    short: 50_000,
};

/// A segment of a record, which is read: the last, of which what makes no sense is cut off first; or one with another behind
/// it, of which all is looked at.
pub(crate) const SEGMENT: Target = Target {
    name: "segment",
    check: |input| {
        SEGMENTS.with(|directories| check_segment(input, directories));
        64 * input.len() + (256 << 10)
    },
    seeds: || {
        let few: &[&str] = &["one", "two", ""];
        [few, &["b"].repeat(100), &["a longer one", "b"].repeat(50)]
            .map(written)
            .to_vec()
    },
    short: 5_000,
};

/// The nodes that a master knew.
pub(crate) const NODES: Target = Target {
    name: "nodes",
    check: |input| {
        let mut cluster = Cluster::new("head".to_string());
        if cluster.restore_nodes(input, Instant::now()).is_ok() {
            words::accepted();
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
    let mut file = BEGINNING.clone();
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

fn entry(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

/// Those of these entries that are wanted, behind this.
fn with_sums(mut file: Vec<u8>, mut entries: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    while let Some((len, rest)) = entries.split_first_chunk() {
        let len = rest.len().min(u32::from_le_bytes(*len) as usize);
        let (entry, rest) = rest.split_at(len);
        words::given(1);
        if is_wanted(entry) {
            journal::add(&mut file, entry);
        }
        entries = rest;
    }
    file
}

/// Whether it says what a job was told, or what it had become.
fn is_entry(entry: &[u8]) -> bool {
    entry.starts_with(&[CONDENSED]) || Happening::decode(entry).is_ok()
}

fn without_sums(entry: &[u8]) -> Vec<u8> {
    let (len, rest) = entry.split_at(4);
    [
        len,
        &rest[rest.len() - u32::from_le_bytes(len.try_into().expect("four are four")) as usize..],
    ]
    .concat()
}

fn check_segment(input: &[u8], Directories { alone, followed }: &Directories) {
    let is_alone = input.len().is_multiple_of(2);
    let place = if is_alone { alone } else { followed };
    fs::write(place.join(FIRST), input).expect("there is room for it");
    words::given(segment(place, None) + 1);
    if is_alone {
        // And what is left of it, up to there.
        let sequence = u64::from(*input.first().unwrap_or(&0));
        let output = 0;
        segment(alone, Some(Position { sequence, output }));
    }
}

/// Goes on with the record in this directory, and reads it. Returns how many events that were.
fn segment(dir: &Path, next: Option<Position>) -> u64 {
    let Ok((record, mut pen)) = Record::resume(dir.to_owned(), LIMITS, next) else {
        return 0;
    };
    let (mut cursor, mut count) = (Cursor::default(), 0);
    while let Ok(found @ (Found::Events(_) | Found::Gap(_))) =
        record.read(&mut cursor, 1000, u64::MAX)
    {
        if let Found::Events(events) = found {
            count += events.len() as u64;
        }
        assert!(
            cursor.next.sequence <= record.next().sequence,
            "it ends there"
        );
    }
    pen.seal();
    count
}

/// A segment with these messages.
fn written(messages: &[&str]) -> Vec<u8> {
    let path = place::new("record");
    let mut pen = Pen::create(path.clone(), LIMITS).expect("a directory can be made");
    let mut record = Record::new(path.clone());
    for message in messages {
        record.push(message.as_bytes().to_vec().into(), 3);
    }
    let piece = record.poll_piece().expect("there are some");
    pen.write(&piece);
    let bytes = fs::read(path.join(FIRST)).expect("it was written");
    fs::remove_dir_all(&path).expect("it was made here");
    bytes
}

/// Two directories, and in the second one a segment that begins where no mutated one gets to. Both go when it is dropped.
struct Directories {
    alone: PathBuf,
    followed: PathBuf,
}

impl Directories {
    fn new() -> Directories {
        let [alone, followed] = ["alone", "followed"].map(|name| {
            let path = place::new(name);
            fs::create_dir(&path).expect("a directory can be made");
            path
        });
        let mut event = written(&["the last"]);
        event[4..12].copy_from_slice(&LATER.to_le_bytes());
        let name = format!("{LATER:016x}-{:016x}", 0);
        fs::write(followed.join(name), event).expect("there is room for it");
        Directories { alone, followed }
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.alone);
        let _ = fs::remove_dir_all(&self.followed);
    }
}

thread_local! {
    static SEGMENTS: Directories = Directories::new();
}

/// A journal of a job that was told nothing.
static BEGINNING: LazyLock<Vec<u8>> = LazyLock::new(|| journal::first(&about()));

/// As `journal.rs` says.
const CONDENSED: u8 = 255;
const JOB: Job = Job::from_bits(7);
const LIMITS: Limits = Limits {
    segment_bytes: 200,
    record_bytes: 1000,
};
/// Far behind all that is in one.
const LATER: u64 = 1000;
/// The segment that begins at the beginning.
const FIRST: &str = "0000000000000000-0000000000000000";
