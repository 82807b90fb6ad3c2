//! Channels come and go: ten thousand to one process, and some to each of many processes that end. What they took goes
//! with them: descriptors, memory, windows.
//!
//! The long form, with ten thousand processes: `cargo run --release -p deploy-tests --bin channels -- 20000 10000`

//= main: exits 0, out "10000 channels to one, 2 to each of 300: open 0 more, 2 MiB more at most: true\n"
//=   echo: exits 0
//=   visitor x300: exits 0

use deploy::*;
use deploy_tests::memory::resident_kib;
use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let mut numbers = env::args().skip(1).map(|word| word.parse().unwrap());
    let channels: u64 = numbers.next().unwrap_or(10_000);
    let visitors: u64 = numbers.next().unwrap_or(300);
    let open = open_descriptors();
    let peer = spawn(echo, channels, Resources::default()).unwrap();
    talk(peer, channels);
    assert!(peer.wait().unwrap().success());
    receive_visitors(WARM_UP);
    let memory_kib = resident_kib();
    receive_visitors(visitors - WARM_UP);
    let more = settle(open) - open;
    let grown_kib = resident_kib().saturating_sub(memory_kib);
    eprint_long(visitors, memory_kib, grown_kib);
    println!(
        "{channels} channels to one, 2 to each of {visitors}: open {more} more, 2 MiB more at most: {}",
        grown_kib <= 2 << 10
    );
}

/// Two new channels for each value, there and back.
fn talk(peer: Pid, count: u64) {
    for number in 0..count / 2 {
        let sender = Sender::new(peer);
        let receiver = Receiver::<String>::new(peer);
        sender.send(number).unwrap();
        assert_eq!(receiver.recv().unwrap(), number.to_string());
    }
}

fn echo(parent: Pid, count: u64) {
    for _ in 0..count / 2 {
        let number: u64 = Receiver::new(parent).recv().unwrap();
        Sender::new(parent).send(number.to_string()).unwrap();
    }
}

fn receive_visitors(count: u64) {
    let mut left = count;
    while left > 0 {
        let together = left.min(TOGETHER);
        let pids: Vec<Pid> = (0..together)
            .map(|number| spawn(visitor, number, Resources::default()).unwrap())
            .collect();
        for (number, pid) in (0..).zip(&pids) {
            // Some are heard while they live, some when they have ended, and some ask for nothing.
            match number % 3 {
                0 => Sender::new(*pid).send(number).unwrap(),
                1 => assert!(pid.wait().unwrap().success()),
                _ => continue,
            }
            assert_eq!(Receiver::<u64>::new(*pid).recv().unwrap(), number);
        }
        for pid in pids {
            assert!(pid.wait().unwrap().success());
        }
        left -= together;
    }
}

fn visitor(parent: Pid, number: u64) {
    match number % 3 {
        0 => {
            let number: u64 = Receiver::new(parent).recv().unwrap();
            Sender::new(parent).send(number).unwrap();
        }
        1 => Sender::new(parent).send(number).unwrap(),
        _ => {}
    }
}

/// How many descriptors are open, once no more than `expected` are: the reactor closes them behind our back.
fn settle(expected: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let open = open_descriptors();
        if open <= expected || Instant::now() >= deadline {
            return open;
        }
        thread::yield_now();
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Figures for whoever asked for the long form.
fn eprint_long(visitors: u64, memory_kib: u64, grown_kib: u64) {
    if env::args().len() > 1 {
        eprintln!(
            "{visitors} visitors: {memory_kib} KiB after {WARM_UP}, {grown_kib} KiB more at the end"
        );
    }
}

const TOGETHER: u64 = 30;

/// Until then buffers grow that are kept.
const WARM_UP: u64 = 90;
