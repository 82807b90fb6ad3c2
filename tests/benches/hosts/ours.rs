//! What is deployed: two processes that measure, wherever they are told to be, and one that prints.

use deploy::*;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// Has a process measure on host `here`, with those that it starts on host `there`; prints what it came to.
pub fn measure(task: &str, here: &str, there: &str) {
    init(Resources::default());
    if here == HERE {
        return println!("{}", value(task, there));
    }
    let arg = (task.to_string(), there.to_string());
    let process = Builder::new().node(here).link(true).spawn(run, arg);
    let process = process.unwrap_or_else(|error| panic!("{error}"));
    let value = Receiver::<f64>::new(process).recv();
    println!("{}", value.expect("it measures"));
}

fn run(parent: Pid, (task, there): (String, String)) {
    let sender = Sender::<f64>::new(parent);
    let value = value(&task, &there);
    sender.send(value).expect("whoever asked waits");
}

fn value(task: &str, there: &str) -> f64 {
    match task {
        "spawn" => start(there),
        "spawn-300" => start_many(there, 300),
        "rtt" => round_trip(there),
        "stream-8" => stream(there, 0_u64, |last| last + 1),
        "stream-1MiB" => stream(there, vec![7_u8; MIB], Vec::clone) * MIB as f64 / 1e9,
        _ => panic!("there is no task {task}"),
    }
}

/// Microseconds from asking for a child until it was heard: the median.
fn start(there: &str) -> f64 {
    let sample = |_| {
        let start = Instant::now();
        let newborn = child(there, greet);
        hear(newborn);
        let took = start.elapsed();
        newborn.wait().expect("it was spawned");
        took.as_secs_f64() * 1e6
    };
    (0..STARTS_WARM_UP).map(sample).for_each(drop);
    median((0..STARTS).map(sample).collect())
}

/// Milliseconds until so many were heard, which live on until then, on these hosts in turn.
fn start_many(hosts: &str, count: usize) -> f64 {
    let hosts: Vec<&str> = hosts.split(',').collect();
    let start = Instant::now();
    let newborns: Vec<Pid> = (0..count)
        .map(|index| child(hosts[index % hosts.len()], greet_and_stay))
        .collect();
    newborns.iter().copied().for_each(hear);
    let took = start.elapsed();
    for newborn in newborns {
        drop(Sender::<u64>::new(newborn));
        newborn.wait().expect("it was spawned");
    }
    took.as_secs_f64() * 1e3
}

fn greet(parent: Pid, (): ()) {
    let sender = Sender::<u64>::new(parent);
    sender.send(7).expect("the parent waits for it");
}

fn greet_and_stay(parent: Pid, (): ()) {
    greet(parent, ());
    let receiver = Receiver::<u64>::new(parent);
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
}

fn round_trip(there: &str) -> f64 {
    let peer = child(there, echo);
    let (sender, receiver) = (Sender::<u64>::new(peer), Receiver::<u64>::new(peer));
    super::floors::median_trip_us(|| {
        sender.send(7).expect("the peer receives");
        receiver.recv().expect("the peer answers");
    })
}

fn echo(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    while let Ok(value) = receiver.recv() {
        sender.send(value).expect("the peer receives");
    }
}

/// Messages a second.
fn stream<T: Message>(there: &str, first: T, next: impl Fn(&T) -> T) -> f64 {
    let peer = child(there, count::<T>);
    let counts = Receiver::<u64>::new(peer);
    counts.recv().expect("the peer is ready");
    let sender = Sender::<T>::new(peer);
    let messages_per_look = (CLOCK_BYTES / size_of_val(&first)).max(1);
    let (start, mut message, mut sent) = (Instant::now(), first, 0);
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
    assert_eq!(received, sent, "every message arrived");
    sent as f64 / start.elapsed().as_secs_f64()
}

fn count<T: Message>(parent: Pid, (): ()) {
    let counts = Sender::<u64>::new(parent);
    counts.send(0).expect("the peer waits for us");
    let receiver = Receiver::<T>::new(parent);
    let count = receiver.iter().filter(Result::is_ok).count();
    counts.send(count as u64).expect("the peer waits for it");
}

/// What a benchmark sends.
trait Message: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

fn child(host: &str, worker: impl Fn(Pid, ()) + Copy) -> Pid {
    let child = Builder::new().node(host).link(true).spawn(worker, ());
    child.unwrap_or_else(|error| panic!("{error}"))
}

fn hear(newborn: Pid) {
    let receiver = Receiver::<u64>::new(newborn);
    receiver.recv().expect("it says its word");
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Prints, as a process of a job.
pub fn print(kind: &str) {
    init(Resources::default());
    write_out(&match kind {
        "same" => same_lines(),
        "numbered" => {
            text(|_, number| format!("line {number} of many, and some more words behind it\n"))
        }
        "log" => text(log_line),
        "noise" => text(|random, _| {
            let letters = std::iter::repeat_with(|| char::from(b'!' + (random() % 94) as u8));
            letters.take(79).chain(['\n']).collect()
        }),
        other => panic!("there is no text of kind {other}"),
    });
}

/// Lines of numbers, names and words, as services write them: hard to make shorter for what they are.
fn log_line(random: &mut dyn FnMut() -> u64, number: u64) -> String {
    let words: String = (0..4 + random() % 6)
        .flat_map(|_| [WORDS[random() as usize % WORDS.len()], " "])
        .collect();
    format!(
        "1700{:06}.{:03} INFO [worker-{}] {words}id={:08x} took={}us\n",
        number / 40,
        number % 40 * 25,
        random() % 16,
        random() as u32,
        random() % 100_000
    )
}

/// Lines, until they are longer than whatever looks for what they have in common remembers.
fn text(line: impl Fn(&mut dyn FnMut() -> u64, u64) -> String) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    };
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= TEXT_BYTES {
            break;
        }
        text += &line(&mut random, number);
    }
    text.truncate(TEXT_BYTES); // It has no character of several bytes.
    text.into_bytes()
}

fn same_lines() -> Vec<u8> {
    [&[b'x'; 63], &b"\n"[..]].concat().repeat(TEXT_BYTES / 64)
}

/// Prints, as any program does.
pub fn print_lines_plainly() {
    write_out(&same_lines());
}

/// Again and again.
fn write_out(text: &[u8]) {
    let mut stdout = io::stdout().lock();
    for block in text
        .chunks(BLOCK_BYTES)
        .cycle()
        .take(LINES_BYTES / BLOCK_BYTES)
    {
        stdout.write_all(block).expect("whoever measures reads");
    }
}

/// The initial process itself measures.
pub const HERE: &str = "here";
/// So much is printed that starting and ending count for little.
pub const LINES_BYTES: usize = 256 << 20;
const BLOCK_BYTES: usize = 64 << 10;
const TEXT_BYTES: usize = 4 << 20;
const WORDS: [&str; 24] = [
    "connection",
    "request",
    "handled",
    "in",
    "worker",
    "cache",
    "miss",
    "hit",
    "timeout",
    "retry",
    "user",
    "session",
    "batch",
    "loss",
    "epoch",
    "gradient",
    "step",
    "node",
    "shard",
    "written",
    "read",
    "bytes",
    "queue",
    "flush",
];
const MIB: usize = 1 << 20;
const STARTS: usize = 100;
const STARTS_WARM_UP: usize = 10;
/// So that the clock is not looked at more often than it is worth.
const CLOCK_BYTES: usize = 8 << 10;
/// For how long the streams flow.
pub const STREAM: Duration = Duration::from_millis(600);
