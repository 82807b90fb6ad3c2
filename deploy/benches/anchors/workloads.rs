//! What is measured, and what is to be reached: one table.

use crate::{
    measure::{self, Measure},
    ours::{self, Task},
    programs::{Kind, Run},
};
use Measure::{Difference, Floor, Ours, OursOnOne, OursOver, Program};
use std::collections::BTreeMap;

/// Rows that belong side by side.
pub struct Workload {
    pub name: &'static str,
    pub unit: &'static str,
    pub rows: Vec<Row>,
    pub aims: Vec<Aim>,
    /// Too long to be run unasked.
    pub only_if_named: bool,
    /// What a value as measured is multiplied with to be in the unit.
    pub scale: f64,
}

pub struct Row {
    pub label: &'static str,
    pub measure: Measure,
}

/// A row of ours, the floors that it is held against, of which the best counts, and what it must reach.
pub struct Aim {
    pub ours: &'static str,
    pub floors: &'static [&'static str],
    pub bound: Bound,
}

/// What counts as reached.
#[derive(Clone, Copy)]
pub enum Bound {
    /// So many times the floor, or less of it.
    TimesFloorMax(f64),
    /// So many times the floor and so much more, or less of it.
    TimesFloorAndMax(f64, f64),
    /// So many times the floor, or more of it.
    TimesFloorMin(f64),
    Max(f64),
    Min(f64),
    /// Nothing is asked: the two are shown side by side.
    None,
}

/// The values of each row, one for each round that did not fail.
pub type Results = BTreeMap<&'static str, Vec<f64>>;

impl Workload {
    /// Whether it is meant by this word of the command line.
    pub fn is(&self, prefix: &str) -> bool {
        self.name.starts_with(prefix)
    }

    /// Measures one row after the other, and all of them again in the next round.
    pub fn run(&self, rounds: usize) -> Results {
        let mut results = Results::new();
        for round in 0..rounds {
            for row in &self.rows {
                match self.measure(row, &results, round) {
                    Ok(value) => results.entry(row.label).or_default().push(value),
                    Err(why) => eprintln!("anchors: {}, {}: {why}", self.name, row.label),
                }
            }
        }
        results
    }

    fn measure(&self, row: &Row, results: &Results, round: usize) -> Result<f64, String> {
        let earlier = |label| {
            let value = results
                .get(label)
                .and_then(|values: &Vec<f64>| values.get(round));
            value
                .copied()
                .ok_or(format!("there is no {label} to compare"))
        };
        let value = match &row.measure {
            Floor(words) => measure::floor(words)?,
            Ours(task) => crate::ours::run(*task)?,
            OursOver(channels, words) => measure::ours_over(channels, words)?,
            OursOnOne(words) => measure::ours_on_one(words)?,
            Program(run) => run.measure()?,
            Difference(ours, floor) => return Ok(earlier(ours)? - earlier(floor)?),
        };
        Ok(value * self.scale)
    }
}

/// All there are.
pub fn all() -> Vec<Workload> {
    vec![
        round_trip_small(),
        round_trip("rtt/1KiB", 1 << 10, &[SPINNING], Bound::None),
        round_trip("rtt/64KiB", 64 << 10, BEST, Bound::TimesFloorMax(1.0)),
        round_trip("rtt/1MiB", 1 << 20, BEST, Bound::TimesFloorMax(1.0)),
        round_trip("rtt/16MiB", 16 << 20, BEST, Bound::TimesFloorMax(1.0)),
        stream_small(),
        stream_large(),
        calls("task/latency", "us", Task::CallLatency, "call-latency"),
        calls(
            "task/throughput",
            "/s",
            Task::CallThroughput,
            "call-throughput",
        ),
        calls(
            "calls/s, 64 in flight",
            "/s",
            Task::CallsInFlight,
            "calls-in-flight",
        ),
        farm(),
        start(),
        start_many(
            "spawn-64+all-msgs",
            64,
            "leave",
            Task::StartMany { count: 64 },
            1.3,
        ),
        Workload {
            only_if_named: true,
            ..start_many(
                "1000 alive",
                1000,
                "stay",
                Task::StartAlive { count: 1000 },
                1.5,
            )
        },
        memory_alive(),
        held(
            "1 GiB value/memory beside it",
            Task::BesideHuge,
            "beside-huge",
            16.0,
        ),
        held(
            "stalled receiver/memory of the sender",
            Task::WhileStalled,
            "while-stalled",
            5.0,
        ),
        hello(),
        stdout(),
    ]
}

fn round_trip_small() -> Workload {
    let rows = vec![
        row(SPINNING, floor("rtt unix spinning 8")),
        row(DEPLOY, Ours(Task::RoundTrip { bytes: 8 })),
        row(BLOCKING, floor("rtt unix blocking 8")),
        row("deploy, one CPU", OursOnOne("rtt 8")),
        row(
            "floor: AF_UNIX blocking, one CPU",
            floor("rtt-one-cpu unix blocking 8"),
        ),
    ];
    let aims = vec![
        aim(DEPLOY, &[SPINNING], Bound::TimesFloorMax(1.25)),
        aim(DEPLOY, &[BLOCKING], Bound::None),
        aim(
            "deploy, one CPU",
            &["floor: AF_UNIX blocking, one CPU"],
            Bound::TimesFloorMax(1.15),
        ),
    ];
    with_tcp(
        workload("rtt/8B", "us", rows, aims),
        &[
            (TCP_SPINNING, "rtt tcp spinning 8"),
            (TCP_BLOCKING, "rtt tcp blocking 8"),
        ],
        "rtt 8",
        Bound::TimesFloorMax(1.25),
        Bound::None,
    )
}

fn round_trip(
    name: &'static str,
    bytes: usize,
    floors: &'static [&'static str],
    bound: Bound,
) -> Workload {
    let rows = vec![
        row(SPINNING, floor(format!("rtt unix spinning {bytes}"))),
        row(DEPLOY, Ours(Task::RoundTrip { bytes })),
        row(BLOCKING, floor(format!("rtt unix blocking {bytes}"))),
    ];
    with_tcp(
        workload(name, "us", rows, vec![aim(DEPLOY, floors, bound)]),
        &[
            (TCP_SPINNING, &format!("rtt tcp spinning {bytes}")),
            (TCP_BLOCKING, &format!("rtt tcp blocking {bytes}")),
        ],
        &format!("rtt {bytes}"),
        Bound::None,
        Bound::None,
    )
}

fn stream_small() -> Workload {
    const SINGLE: &str = "floor: AF_UNIX, one write per message";
    const BATCHED: &str = "floor: AF_UNIX, 64KiB batches";
    let rows = vec![
        row(SINGLE, floor("stream unix 8 0")),
        row(DEPLOY, Ours(Task::Stream { bytes: 8 })),
        row(BATCHED, floor("stream unix 8 65536")),
    ];
    let aims = vec![
        aim(DEPLOY, &[BATCHED], Bound::Min(10e6)),
        aim(DEPLOY, &[SINGLE], Bound::None),
    ];
    with_tcp(
        workload("stream/8B", "msg/s", rows, aims),
        &[
            ("floor: TCP, one write per message", "stream tcp 8 0"),
            ("floor: TCP, 64KiB batches", "stream tcp 8 65536"),
        ],
        "stream 8",
        Bound::Min(10e6),
        Bound::None,
    )
}

fn stream_large() -> Workload {
    const VALUES: &str = "floor: AF_UNIX, each made and kept";
    let bytes = 1 << 20;
    let rows = vec![
        row("floor: AF_UNIX", floor(format!("stream unix {bytes} 0"))),
        row(DEPLOY, Ours(Task::Stream { bytes })),
        row(VALUES, floor(format!("stream-values unix {bytes}"))),
    ];
    let aims = vec![
        aim(DEPLOY, &["floor: AF_UNIX"], Bound::Min(8.8)),
        aim(DEPLOY, &[VALUES], Bound::None),
    ];
    let mut workload = with_tcp(
        workload("stream/1MiB", "GB/s", rows, aims),
        &[
            ("floor: TCP", &format!("stream tcp {bytes} 0")),
            (TCP_VALUES, &format!("stream-values tcp {bytes}")),
        ],
        &format!("stream {bytes}"),
        Bound::TimesFloorMin(0.95),
        Bound::Min(1.5),
    );
    for (label, kind) in [
        ("deploy, String", ours::Kind::Text),
        ("deploy, Vec<f64>", ours::Kind::Numbers),
    ] {
        workload
            .rows
            .push(row(label, Ours(Task::StreamOf { kind, bytes })));
        workload.aims.push(aim(label, &[DEPLOY], Bound::None));
    }
    let values = aim(DEPLOY_TCP, &[TCP_VALUES], Bound::TimesFloorMin(0.95));
    workload.aims.push(values);
    workload.scale = bytes as f64 / 1e9;
    workload
}

/// Functions on a pool. One call is held against a round trip of the same bytes, made by hand.
fn calls(name: &'static str, unit: &'static str, task: Task, words: &'static str) -> Workload {
    const BY_HAND: &str = "deploy, by hand";
    let bytes = 8;
    let mut rows = vec![row(DEPLOY, Ours(task))];
    let aims = match task {
        Task::CallLatency => {
            rows.push(row(BY_HAND, Ours(Task::RoundTrip { bytes })));
            vec![aim(DEPLOY, &[BY_HAND], Bound::TimesFloorAndMax(1.5, 10.0))]
        }
        Task::CallThroughput => vec![aim(DEPLOY, &[], Bound::Min(150e3))],
        _ => vec![aim(DEPLOY, &[], Bound::Min(200e3))],
    };
    with_tcp(
        workload(name, unit, rows, aims),
        &[],
        words,
        Bound::None,
        Bound::None,
    )
}

fn farm() -> Workload {
    const IDEAL: &str = "floor: one thread, divided by processors";
    let rows = vec![row(IDEAL, floor("farm")), row(DEPLOY, Ours(Task::Farm))];
    let aims = vec![aim(DEPLOY, &[IDEAL], Bound::TimesFloorMax(1.05))];
    workload("farm/2000x1ms", "ms", rows, aims)
}

fn start() -> Workload {
    let rows = vec![
        row(RE_EXEC, floor("start tcp")),
        row(DEPLOY, Ours(Task::Start)),
        row(RE_EXEC_SOCKET, floor("start socket")),
    ];
    let aims = vec![
        aim(DEPLOY, &[RE_EXEC], Bound::TimesFloorMax(1.3)),
        aim(DEPLOY, &[RE_EXEC_SOCKET], Bound::None),
    ];
    workload("spawn+first-msg", "us", rows, aims)
}

fn start_many(name: &'static str, count: usize, then: &str, task: Task, times: f64) -> Workload {
    let rows = vec![
        row(RE_EXEC, floor(format!("start-many tcp {count} {then}"))),
        row(DEPLOY, Ours(task)),
        row(
            RE_EXEC_SOCKET,
            floor(format!("start-many socket {count} {then}")),
        ),
    ];
    let aims = vec![
        aim(DEPLOY, &[RE_EXEC], Bound::TimesFloorMax(times)),
        aim(DEPLOY, &[RE_EXEC_SOCKET], Bound::None),
    ];
    workload(name, "ms", rows, aims)
}

fn memory_alive() -> Workload {
    let rows = vec![row(DEPLOY, Ours(Task::MemoryAlive { count: 1000 }))];
    let aims = vec![aim(DEPLOY, &[], Bound::Max(2.5))];
    Workload {
        only_if_named: true,
        ..workload("1000 alive/memory of each", "MiB", rows, aims)
    }
}

fn held(name: &'static str, task: Task, words: &str, most: f64) -> Workload {
    let rows = vec![row(DEPLOY, Ours(task))];
    let workload = workload(name, "MiB", rows, vec![aim(DEPLOY, &[], Bound::Max(most))]);
    Workload {
        only_if_named: true,
        ..with_tcp(workload, &[], words, Bound::Max(most), Bound::Max(most))
    }
}

fn hello() -> Workload {
    const PLAIN: &str = "floor: bare program";
    const OVER: &str = "deploy over bare";
    let rows = vec![
        row(PLAIN, Program(Run::Hello(Kind::Plain))),
        row(DEPLOY, Program(Run::Hello(Kind::Deployed))),
        row(OVER, Difference(DEPLOY, PLAIN)),
    ];
    let aims = vec![
        aim(DEPLOY, &[PLAIN], Bound::None),
        aim(OVER, &[], Bound::Max(3.0)),
    ];
    workload("hello", "ms", rows, aims)
}

fn stdout() -> Workload {
    const PIPE: &str = "floor: one pipe";
    let rows = vec![
        row(PIPE, Program(Run::Lines(Kind::Plain))),
        row(DEPLOY, Program(Run::Lines(Kind::Deployed))),
    ];
    let aims = vec![aim(DEPLOY, &[PIPE], Bound::TimesFloorMin(1.0))];
    workload("stdout-forward", "MB/s", rows, aims)
}

/// The same as between two machines: with the floors of that, and what is to be reached with and without encryption.
fn with_tcp(
    mut workload: Workload,
    floors: &[(&'static str, &str)],
    words: &str,
    proved: Bound,
    encrypted: Bound,
) -> Workload {
    let mut floors = floors.iter();
    if let Some((label, floor_words)) = floors.next() {
        workload.rows.push(row(label, floor(*floor_words)));
    }
    for (label, channels, bound) in [
        (DEPLOY_TCP, "tcp-plain", proved),
        (DEPLOY_ENCRYPTED, "tcp", encrypted),
    ] {
        let measure = OursOver(channels, words.to_string());
        workload.rows.push(row(label, measure));
        workload.aims.push(aim(label, TCP_FLOORS, bound));
    }
    for (label, floor_words) in floors {
        workload.rows.push(row(label, floor(*floor_words)));
    }
    workload
}

fn workload(name: &'static str, unit: &'static str, rows: Vec<Row>, aims: Vec<Aim>) -> Workload {
    Workload {
        name,
        unit,
        rows,
        aims,
        only_if_named: false,
        scale: 1.0,
    }
}

fn row(label: &'static str, measure: Measure) -> Row {
    Row { label, measure }
}

fn floor(words: impl Into<String>) -> Measure {
    Floor(words.into())
}

fn aim(ours: &'static str, floors: &'static [&'static str], bound: Bound) -> Aim {
    Aim {
        ours,
        floors,
        bound,
    }
}

const DEPLOY: &str = "deploy";
const SPINNING: &str = "floor: AF_UNIX spinning";
const BLOCKING: &str = "floor: AF_UNIX blocking";
const DEPLOY_TCP: &str = "deploy tcp";
const DEPLOY_ENCRYPTED: &str = "deploy tcp encrypted";
const TCP_SPINNING: &str = "floor: TCP spinning";
const TCP_BLOCKING: &str = "floor: TCP blocking";
/// A value is made, moved away, and somebody else's: a floor that sends the same bytes again and again from one buffer
/// into another does less than any channel of values can.
const TCP_VALUES: &str = "floor: TCP, each made and kept";
/// Of these a workload has those that it has.
const TCP_FLOORS: &[&str] = &[TCP_SPINNING, "floor: TCP, 64KiB batches", "floor: TCP"];
const BEST: &[&str] = &[SPINNING, BLOCKING];
const RE_EXEC: &str = "floor: re-exec self, TCP connect back";
const RE_EXEC_SOCKET: &str = "floor: re-exec self, inherited socket";
