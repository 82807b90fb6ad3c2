//! The library, through its public interface, between processes that are spawned: one that measures, and its children.
//! The process that runs the rounds sleeps meanwhile.

use crate::{
    held, pooled,
    samples::{STREAM, median, median_of, median_trip_us},
};
use deploy::{Builder, ChannelError, Pid, Receiver, Sender};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    time::{Duration, Instant},
};

/// What a process measures.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Task {
    /// Microseconds for a number of eight bytes, or for a `Vec` of so many, to a child and back.
    RoundTrip { bytes: usize },
    /// Messages a second, one way, numbers of eight bytes or a `Vec` of so many.
    Stream { bytes: usize },
    /// The same with text, or with numbers of eight bytes.
    StreamOf { kind: Kind, bytes: usize },
    /// Microseconds for a call on a pool, awaited before the next.
    CallLatency,
    /// Calls a second on a pool, a thousand begun at once.
    CallThroughput,
    /// Calls a second on a pool, 64 of them out at any time.
    CallsInFlight,
    /// Milliseconds for 2000 calls of a millisecond.
    Farm,
    /// Microseconds from asking for a child until it was heard.
    Start,
    /// Milliseconds from asking for so many children until all were heard.
    StartMany { count: usize },
    /// The same, but all stay alive until then.
    StartAlive { count: usize },
    /// How many MiB each of so many that are alive has for itself: the median.
    MemoryAlive { count: usize },
    /// MiB beside a value of 1 GiB.
    BesideHuge,
    /// MiB of what is offered to who does not read.
    WhileStalled,
}

/// Values that go as one piece of memory, as bytes do.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Kind {
    Text,
    Numbers,
}

impl Task {
    /// The task that these words name.
    pub fn parse(words: &[&str]) -> Task {
        let number = |word: &str| {
            word.parse()
                .expect("the table of workloads has a number here")
        };
        match *words {
            ["rtt", bytes] => Task::RoundTrip {
                bytes: number(bytes),
            },
            ["stream", bytes] => Task::Stream {
                bytes: number(bytes),
            },
            ["beside-huge"] => Task::BesideHuge,
            ["while-stalled"] => Task::WhileStalled,
            ["call-latency"] => Task::CallLatency,
            ["call-throughput"] => Task::CallThroughput,
            ["calls-in-flight"] => Task::CallsInFlight,
            _ => panic!("there is no task {words:?}"),
        }
    }
}

/// Has a process measure it. Every wait ends: a library that hangs is a row that failed.
pub fn run(task: Task) -> Result<f64, String> {
    let process = Builder::new()
        .link(true)
        .spawn(measure, task)
        .map_err(|error| error.to_string())?;
    let result = Receiver::<f64>::new(process).recv_timeout(TASK_TIME_MAX);
    if result.is_err() {
        process.kill().map_err(|error| error.to_string())?;
    }
    process.wait().map_err(|error| error.to_string())?;
    result.map_err(|error| error.to_string())
}

/// The process that measures.
fn measure(parent: Pid, task: Task) {
    let result = match task {
        Task::RoundTrip { bytes: 8 } => round_trip(7_u64),
        Task::RoundTrip { bytes } => round_trip(vec![7_u8; bytes]),
        Task::Stream { bytes: 8 } => stream(0_u64, |last| last + 1),
        Task::Stream { bytes } => stream(vec![7_u8; bytes], Vec::clone),
        Task::StreamOf { kind, bytes } => match kind {
            Kind::Text => stream("7".repeat(bytes), String::clone),
            Kind::Numbers => stream(vec![7.0_f64; bytes / 8], Vec::clone),
        },
        Task::CallLatency => pooled::latency(),
        Task::CallThroughput => pooled::throughput(),
        Task::CallsInFlight => pooled::in_flight(),
        Task::Farm => pooled::farm(),
        Task::Start => start(),
        Task::StartMany { count } => median_of(1, BURSTS, || start_many(count)),
        Task::StartAlive { count } => start_alive(count).0,
        Task::MemoryAlive { count } => start_alive(count).1,
        Task::BesideHuge => held::beside_huge(),
        Task::WhileStalled => held::while_stalled(),
    };
    let sender = Sender::<f64>::new(parent);
    sender.send(result).expect("whoever asked waits");
}

/// What a benchmark sends.
trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

fn round_trip<T: Message>(message: T) -> f64 {
    let peer = child(echo::<T>, ());
    let (sender, receiver) = (Sender::<T>::new(peer), Receiver::<T>::new(peer));
    let mut message = Some(message);
    let median = median_trip_us(|| {
        let out = message.take().expect("it came back");
        sender.send(out).expect("the peer receives");
        message = Some(receiver.recv().expect("the peer answers"));
    });
    drop(sender);
    end(peer);
    median
}

fn echo<T: Message>(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<T>::new(parent), Receiver::<T>::new(parent));
    for message in receiver.iter() {
        let message = message.expect("the peer lives");
        sender.send(message).expect("the peer receives");
    }
}

fn stream<T: Message>(first: T, next: impl Fn(&T) -> T) -> f64 {
    let peer = child(count::<T>, ());
    let counts = Receiver::<u64>::new(peer);
    counts.recv().expect("the peer is ready");
    let sender = Sender::<T>::new(peer);
    let messages_per_look = (CLOCK_BYTES / size_of_val(&first)).max(1);
    let start = Instant::now();
    let mut message = first;
    let mut sent = 0;
    while start.elapsed() < STREAM {
        for _ in 0..messages_per_look {
            let following = next(&message);
            sender.send(message).expect("the peer receives");
            message = following;
            sent += 1;
        }
    }
    drop(sender);
    let received = counts.recv().expect("the peer counts");
    let took = start.elapsed();
    assert_eq!(received, sent, "every message arrived");
    end(peer);
    sent as f64 / took.as_secs_f64()
}

fn count<T: Message>(parent: Pid, (): ()) {
    let counts = Sender::<u64>::new(parent);
    counts.send(0).expect("the peer waits for us");
    let receiver = Receiver::<T>::new(parent);
    let mut count = 0;
    loop {
        match receiver.recv() {
            Ok(_) => count += 1,
            Err(ChannelError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    counts.send(count).expect("the peer waits for the count");
}

fn start() -> f64 {
    median_of(STARTS_WARM_UP, STARTS, || {
        let start = Instant::now();
        let newborn = child(greet, ());
        hear::<u64>(newborn);
        let took = start.elapsed();
        end(newborn);
        took.as_secs_f64() * 1e6
    })
}

fn greet(parent: Pid, (): ()) {
    let sender = Sender::<u64>::new(parent);
    sender.send(7).expect("the parent waits for it");
}

/// Milliseconds.
fn start_many(count: usize) -> f64 {
    let start = Instant::now();
    let newborns: Vec<Pid> = (0..count).map(|_| child(greet, ())).collect();
    for newborn in &newborns {
        hear::<u64>(*newborn);
    }
    let took = start.elapsed();
    newborns.into_iter().for_each(end);
    took.as_secs_f64() * 1e3
}

/// Milliseconds for all, MiB of each.
fn start_alive(count: usize) -> (f64, f64) {
    let start = Instant::now();
    let newborns: Vec<Pid> = (0..count).map(|_| child(greet_and_stay, ())).collect();
    for newborn in &newborns {
        hear::<u64>(*newborn);
    }
    let took = start.elapsed();
    let mut private_mib = Vec::new();
    for newborn in newborns {
        // Now that all are there, it is told to look, and goes when it has said what it saw.
        drop(Sender::<u64>::new(newborn));
        private_mib.push(hear::<f64>(newborn));
        end(newborn);
    }
    (took.as_secs_f64() * 1e3, median(&mut private_mib))
}

fn greet_and_stay(parent: Pid, (): ()) {
    greet(parent, ());
    let receiver = Receiver::<u64>::new(parent);
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
    let sender = Sender::<f64>::new(parent);
    sender.send(private_mib()).expect("the parent waits for it");
}

/// What this process has that no other shares.
fn private_mib() -> f64 {
    let maps = fs::read_to_string("/proc/self/smaps_rollup").expect("a process may look at itself");
    let kib: f64 = maps
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
        .sum();
    kib / 1024.0
}

/// A child that ends with this process, should this one fail.
fn child<A: Serialize + DeserializeOwned>(worker: impl Fn(Pid, A) + Copy, arg: A) -> Pid {
    let child = Builder::new().link(true).spawn(worker, arg);
    child.expect("the machine has room for it")
}

fn hear<T: Message>(newborn: Pid) -> T {
    let receiver = Receiver::<T>::new(newborn);
    receiver.recv().expect("it says its word")
}

fn end(child: Pid) {
    child.wait().expect("it was spawned");
}

/// Longer than any task takes on a machine that is slow and busy.
const TASK_TIME_MAX: Duration = Duration::from_secs(60);

/// So that the clock is not looked at more often than it is worth.
const CLOCK_BYTES: usize = 8 << 10;

const STARTS: usize = 100;

const STARTS_WARM_UP: usize = 10;

/// How often many are started.
const BURSTS: usize = 3;
