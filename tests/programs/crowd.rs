//! A thousand workers alive at once: each is heard from, costs little, and is waited for.
//!
//! With figures, and as many as wanted: `cargo run --release -p deploy-tests --bin crowd -- 3000`

//= main: exits 0, out "1000 workers: 499500; small: true\n"
//=   worker x1000: exits 0

use deploy::*;
use std::{env, fs, time::Instant};

fn main() {
    init(Resources::default());
    let count = env::args()
        .nth(1)
        .map_or(1000, |word| word.parse().unwrap());
    let start = Instant::now();
    let pids: Vec<Pid> = (0..count)
        .map(|index| spawn(worker, index, Resources::default()).unwrap())
        .collect();
    let receivers: Vec<Receiver<u32>> = pids.iter().copied().map(Receiver::new).collect();
    let hear = |receiver: &Receiver<u32>| receiver.recv().unwrap();
    let total: u32 = receivers.iter().map(hear).sum();
    let alive = start.elapsed();
    // Now that all are there, each says what it takes.
    for pid in &pids {
        Sender::new(*pid).send(()).unwrap();
    }
    let private_kib = receivers.iter().map(hear).max().unwrap();
    let own_kib = private_kib_now();
    for pid in pids {
        assert!(pid.wait().unwrap().success());
    }
    let ended = start.elapsed() - alive;
    if env::args().len() > 1 {
        eprintln!("{count} alive: {alive:?}; ended: {ended:?}");
        eprintln!(
            "private: {private_kib} KiB each at most, {own_kib} KiB with a connection to each"
        );
    }
    let small = private_kib <= 2560 && own_kib <= 2560 + 16 * count;
    println!("{count} workers: {total}; small: {small}");
}

fn worker(parent: Pid, index: u32) {
    let sender = Sender::new(parent);
    sender.send(index).unwrap();
    Receiver::<()>::new(parent).recv().unwrap();
    let threads = fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 3, "{threads} threads");
    sender.send(private_kib_now()).unwrap();
}

/// What this process has that no other shares.
fn private_kib_now() -> u32 {
    let maps = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let private = maps.lines().filter(|line| line.starts_with("Private_"));
    private
        .map(|line| {
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u32>()
                .unwrap()
        })
        .sum()
}
