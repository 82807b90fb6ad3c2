//! Receivers that do not read, for as long as they like: a sender that is never let go on holds no more than a window
//! and 1 MiB, forty of them cost their reader no more than all its windows may, and afterwards all goes on, in order.
//!
//! The long form, with ten minutes: `cargo run --release -p deploy-tests --bin stalled -- 600`

//= main: exits 0, out "40 senders went on in order; sender and reader stay small: true true\n"
//=   offer x40: exits 0

use deploy::*;
use deploy_tests::memory::resident_kib;
use std::{
    env, thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let stall = Duration::from_secs(env::args().nth(1).map_or(1, |word| word.parse().unwrap()));
    let small_kib = resident_kib();
    let pids: Vec<Pid> = (0..SENDERS)
        .map(|_| spawn(offer, stall, Resources::default()).unwrap())
        .collect();
    let receivers: Vec<Receiver<Vec<u64>>> = pids.iter().copied().map(Receiver::new).collect();
    // All keep up for a while, so that their windows grow as far as they may.
    for _ in 0..KEPT_UP {
        for receiver in &receivers {
            receiver.recv().unwrap();
        }
    }
    let go: Vec<Sender<()>> = pids.iter().copied().map(Sender::new).collect();
    go.iter().for_each(|go| go.send(()).unwrap());
    thread::sleep(stall); // Nothing is to happen, for just that long.
    let reader_kib = resident_kib() - small_kib;
    let mut sender_kib = 0;
    for receiver in &receivers {
        sender_kib = sender_kib.max(finish(receiver));
    }
    if env::args().len() > 1 {
        eprintln!(
            "stalled {stall:?}: sender {sender_kib} KiB more, reader of {SENDERS} {reader_kib} KiB"
        );
    }
    println!(
        "{SENDERS} senders went on in order; sender and reader stay small: {} {}",
        sender_kib <= 5 << 10,
        reader_kib <= (64 << 10) + (8 << 10)
    );
}

/// Receives the rest, in order; the last value says by how much the sender grew.
fn finish(receiver: &Receiver<Vec<u64>>) -> u64 {
    let mut last = KEPT_UP - 1;
    loop {
        let value = receiver.recv().unwrap();
        if value.len() == 1 {
            assert_eq!(receiver.recv(), Err(ChannelError::Closed));
            return value[0];
        }
        assert_eq!(value, vec![last + 1; LEN]);
        last += 1;
    }
}

/// Offers values without end, one thread blocked in it for as long as the stall is, and says by how much it grew.
fn offer(parent: Pid, stall: Duration) {
    let sender = Sender::<Vec<u64>>::new(parent);
    let send = |number| sender.send(vec![number; LEN]).unwrap();
    (0..KEPT_UP).for_each(send);
    Receiver::<()>::new(parent).recv().unwrap();
    let (start, before_kib) = (Instant::now(), resident_kib());
    let mut more_kib = 0;
    let mut number = KEPT_UP;
    while start.elapsed() < stall / 2 || number < KEPT_UP + 10 {
        send(number);
        number += 1;
        more_kib = more_kib.max(resident_kib().saturating_sub(before_kib));
    }
    sender.send(vec![more_kib]).unwrap();
}

const SENDERS: usize = 40;

/// Values of a frame's length.
const LEN: usize = 4 << 10;

/// How many of them each sends before the stall.
const KEPT_UP: u64 = 300;
