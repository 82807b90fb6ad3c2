//! What processes hold in memory beside a value that is far larger than any buffer, and of what nobody reads.
//!
//! Deliberately absent: that all of it arrives, which is the tests' matter.

use deploy::{Builder, Pid, Receiver, Sender};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

/// MiB beside a value of 1 GiB that goes there and back: the most that either side had at any time.
pub fn beside_huge() -> f64 {
    let peer = child(mirror);
    let (sender, receiver) = (Sender::new(peer), Receiver::<Vec<u8>>::new(peer));
    let there = send(&sender, vec![7; 1 << 30]);
    let (value, back) = receive(&receiver);
    assert_eq!(value.len(), 1 << 30);
    drop((value, receiver));
    let theirs = Receiver::<f64>::new(peer).recv().expect("it has measured");
    peer.wait().expect("it was spawned");
    there.max(back).max(theirs)
}

fn mirror(parent: Pid, (): ()) {
    let sender = Sender::new(parent);
    let (value, there) = receive(&Receiver::<Vec<u8>>::new(parent));
    let back = send(&sender, value);
    drop(sender);
    let figures = Sender::<f64>::new(parent);
    figures
        .send(there.max(back))
        .expect("the peer waits for it");
}

fn send(sender: &Sender<Vec<u8>>, value: Vec<u8>) -> f64 {
    let before = forget_peak();
    sender.send(value).expect("the peer receives");
    (status_mib("VmHWM:") - before).max(0.0)
}

fn receive(receiver: &Receiver<Vec<u8>>) -> (Vec<u8>, f64) {
    forget_peak();
    let value = receiver.recv().expect("the peer sends");
    (value, status_mib("VmHWM:") - status_mib("VmRSS:"))
}

/// MiB of what is offered to a process that has stopped to read: by how much the sender grew, or how far it got, whichever
/// is more.
pub fn while_stalled() -> f64 {
    let peer = child(offers);
    let (receiver, word) = (Receiver::<Vec<u8>>::new(peer), Sender::<()>::new(peer));
    // It keeps up for a while, so that its window grows as far as it may.
    for _ in 0..KEPT_UP {
        receiver.recv().expect("it offers");
    }
    word.send(()).expect("it listens");
    thread::sleep(STALL); // Nothing is to happen, for just that long.
    let mut last = receiver.recv();
    while let Ok(value) = &last
        && value.len() == OFFERED_BYTES
    {
        last = receiver.recv();
    }
    let last = last.expect("the last is a figure");
    peer.wait().expect("it was spawned");
    f64::from_le_bytes(last.try_into().expect("eight bytes"))
}

fn offers(parent: Pid, (): ()) {
    let (sender, word) = (Sender::<Vec<u8>>::new(parent), Receiver::<()>::new(parent));
    let (sent, is_over) = (AtomicU64::new(0), AtomicU64::new(0));
    let held = thread::scope(|scope| {
        let offering = scope.spawn(|| {
            while is_over.load(SeqCst) == 0 {
                sender.send(vec![7; OFFERED_BYTES]).expect("it is read");
                sent.fetch_add(1, SeqCst);
            }
        });
        word.recv().expect("it says when it stops");
        let before = status_mib("VmRSS:");
        thread::sleep(STALL / 2); // It has stopped by itself long before.
        let ahead = sent.load(SeqCst).saturating_sub(KEPT_UP) as f64;
        let held = (status_mib("VmRSS:") - before).max(ahead);
        is_over.store(1, SeqCst);
        offering.join().expect("all is read in the end");
        held
    });
    let figure = held.to_le_bytes().to_vec();
    sender.send(figure).expect("it is read");
}

fn child(worker: impl Fn(Pid, ()) + Copy) -> Pid {
    let child = Builder::new().link(true).spawn(worker, ());
    child.expect("the machine has room for it")
}

/// From here on the kernel counts the peak anew; says what there is.
fn forget_peak() -> f64 {
    fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own");
    status_mib("VmHWM:")
}

fn status_mib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("a process may look at itself");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.expect("the kernel tells it") / 1024.0
}

const OFFERED_BYTES: usize = 1 << 20;
const KEPT_UP: u64 = 200;
const STALL: Duration = Duration::from_secs(2);
