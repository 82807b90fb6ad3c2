//! `cargo run --release -p deploy-tests --bin offered -- --gib 10 --seconds 600`: a process offers that much, in values of
//! 1 MiB, to one that does not read for that long, and then reads all of it. It prints by how much both grew meanwhile and
//! how far the sender got, and fails where that was more than a window and 1 MiB, or where anything is missing.
//!
//! With `DEPLOY_CHANNELS=tcp` as between two machines. What the kernel holds for a socket is not counted.
//!
//! Deliberately absent: many senders at once (`programs/stalled.rs`).

use deploy::*;
use deploy_tests::{memory::status_kib, soak::number};
use std::{
    env, fs, process,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    let count = number(&args, "--gib", 1) << 10;
    let stall = Duration::from_secs(number(&args, "--seconds", 1));
    let witness = spawn(bears_witness, (), Resources::default()).unwrap();
    let pid = spawn(offers, (count, witness), Resources::default()).unwrap();
    Sender::<Pid>::new(witness).send(pid).unwrap();
    let receiver = Receiver::<Vec<u8>>::new(pid);
    let word = Sender::<()>::new(pid);
    // It keeps up for a while, so that its window grows as far as it may.
    (0..KEPT_UP).for_each(|index| expect(&receiver, index));
    word.send(()).unwrap();
    let before_kib = status_kib("VmRSS:");
    thread::sleep(stall); // Nothing is to happen, for just that long.
    let receiver_kib = status_kib("VmRSS:").saturating_sub(before_kib);
    word.send(()).unwrap();
    Receiver::<()>::new(witness).recv().unwrap(); // What is read before it has looked would count as offered beyond that.
    let start = Instant::now();
    (KEPT_UP..count).for_each(|index| expect(&receiver, index));
    let took = start.elapsed();
    let last = receiver.recv().unwrap();
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
    let [sender_kib, ahead_mib] = figures(&last);
    println!(
        "{} GiB offered, all came in order; not read for {stall:?}: sender {sender_kib} KiB more and {ahead_mib} MiB ahead, \
         receiver {receiver_kib} KiB more; the rest in {took:.1?}",
        count >> 10
    );
    let window_kib = 4 << 10;
    if sender_kib.max(ahead_mib << 10) > window_kib + 1024 || receiver_kib > 2 * window_kib {
        eprintln!("that is more than a window of {window_kib} KiB and 1 MiB, or two windows");
        process::exit(1);
    }
}

fn expect(receiver: &Receiver<Vec<u8>>, index: u64) {
    assert!(receiver.recv().unwrap() == value(index), "value {index}");
}

/// Offers as many values as it is told, and says in the end what it held while nobody read.
fn offers(parent: Pid, (count, witness): (u64, Pid)) {
    let (sender, words) = (Sender::<Vec<u8>>::new(parent), Receiver::<()>::new(parent));
    let accepted = AtomicU64::new(0);
    let figures = thread::scope(|scope| {
        let held = scope.spawn(|| {
            words.recv().unwrap();
            fs::write("/proc/self/clear_refs", "5").unwrap(); // The peak is what is resident now, from here on.
            let before_kib = status_kib("VmHWM:");
            words.recv().unwrap();
            let ahead_mib = accepted.load(SeqCst) - KEPT_UP;
            let sender_kib = status_kib("VmHWM:").saturating_sub(before_kib);
            Sender::<()>::new(witness).send(()).unwrap();
            [sender_kib, ahead_mib]
        });
        for index in 0..count {
            sender.send(value(index)).unwrap();
            accepted.store(index + 1, SeqCst);
        }
        held.join().unwrap()
    });
    sender.send(figures.map(u64::to_le_bytes).concat()).unwrap();
}

/// Says that the other one has looked, which that cannot say by the channel on which its values wait.
fn bears_witness(parent: Pid, (): ()) {
    let offering = Receiver::<Pid>::new(parent).recv().unwrap();
    Receiver::<()>::new(offering).recv().unwrap();
    Sender::<()>::new(parent).send(()).unwrap();
}

fn figures(last: &[u8]) -> [u64; 2] {
    let (one, other) = last.split_at(8);
    [one, other].map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn value(index: u64) -> Vec<u8> {
    vec![index as u8; 1 << 20]
}

/// How many values are read before the stall.
const KEPT_UP: u64 = 200;
