//! Processes that wait for each other in every way there is, of which a person is told after ten seconds; and others that
//! seem to, and go on, of which nothing is said.

//= only alone
//= main: exits 0
//=   receives: killed SIGKILL (killed), note "deadlock: * waits to receive u64 from * (tests/programs/deadlock.rs:*), "
//=     "which waits to receive u64 from * (tests/programs/deadlock.rs:*)\n"
//=     receives_too: exits 0
//=   fills: killed SIGKILL (killed), note "deadlock: * waits to send alloc::vec::Vec<u8> to * (*), "
//=     "which waits to send alloc::vec::Vec<u8> to * (*)\n"
//=     fills_too: exits 0
//=   awaits_the_end: killed SIGKILL (killed), note "deadlock: * waits for the end of * (*), "
//=     "which waits to receive u64 from * (*)\n"
//=     receives_too: exits 0
//=   begins_a_ring: killed SIGKILL (killed), note "deadlock: * waits to receive u64 from * (*), "
//=     "which waits to receive u64 from * (*), which waits to receive u64 from * (*)\n"
//=     goes_on: exits 0
//=       closes_the_ring: exits 0
//=   waits_in_tasks: killed SIGKILL (killed), note "deadlock: * waits * (*), "
//=     "which waits to receive u64 from * (*)\n"
//=     waits_in_tokio: exits 0
//=   waits_in_threads: killed SIGKILL (killed), note "deadlock: * waits to receive u64 from * (*), "
//=     "which waits to receive u64 from * (*); another process waits with them\n"
//=     selects x2: exits 0
//=   calls: killed SIGKILL (killed), note "deadlock: * waits for * to answer a call, "
//=     "which waits for the end of * (*)\n"
//=     pool_worker: killed SIGKILL (linked)
//=   serves: exits 0
//=     computes: exits 0
//=   hears_of_an_end: exits 0
//=     receives_too: killed SIGKILL (killed)
//=   has_a_thread_that_watches: killed SIGKILL (killed)
//=     receives_too: exits 0

use deploy::{select, *};
use futures::{
    executor::block_on,
    future::{self, FutureExt},
};
use std::{
    io::{Read, pipe},
    pin::pin,
    thread,
    time::{Duration, Instant},
};

static POOL: Pool = Pool::new().replicas(1..=1);

fn main() {
    init(Resources::default());
    if std::env::args().nth(1).as_deref() == Some("nodes") {
        return ring_of_nodes();
    }
    let waiting = [
        child(receives),
        child(fills),
        child(awaits_the_end),
        child(begins_a_ring),
        child(waits_in_tasks),
        child(waits_in_threads),
        child(calls),
        child(serves),
        child(has_a_thread_that_watches),
    ];
    child(hears_of_an_end);
    // Nothing in the job tells when the person has been told: that is after ten to twelve seconds.
    thread::sleep(Duration::from_secs(14));
    for pid in waiting {
        pid.kill().unwrap();
    }
}

/// A circle over three nodes, for whoever asks what these wait for (`tests/deadlock.rs`). It ends when somebody kills one.
fn ring_of_nodes() {
    let on = |node| Builder::new().node(node).link(true);
    let first = on("n1").spawn(closes_the_ring, pid()).unwrap();
    let second = on("n2").spawn(closes_the_ring, first).unwrap();
    let _ = Receiver::<u64>::new(second).recv();
}

fn child(worker: impl Fn(Pid, ()) + Copy + 'static) -> Pid {
    spawn(worker, (), Resources::default()).unwrap()
}

fn receives(_: Pid, (): ()) {
    let peer = child(receives_too);
    let _ = Receiver::<u64>::new(peer).recv();
}

fn receives_too(parent: Pid, (): ()) {
    let _ = Receiver::<u64>::new(parent).recv();
}

fn fills(_: Pid, (): ()) {
    fill(child(fills_too));
}

fn fills_too(parent: Pid, (): ()) {
    fill(parent);
}

fn fill(peer: Pid) {
    let sender = Sender::new(peer);
    while sender.send(vec![7u8; 100_000]).is_ok() {}
}

fn awaits_the_end(_: Pid, (): ()) {
    let peer = child(receives_too);
    let _sender = Sender::<u64>::new(peer);
    peer.wait().unwrap();
}

fn begins_a_ring(_: Pid, (): ()) {
    let next = spawn(goes_on, pid(), Resources::default()).unwrap();
    let _ = Receiver::<u64>::new(next).recv();
}

fn goes_on(_: Pid, first: Pid) {
    let next = spawn(closes_the_ring, first, Resources::default()).unwrap();
    let _ = Receiver::<u64>::new(next).recv();
}

fn closes_the_ring(_: Pid, first: Pid) {
    let _ = Receiver::<u64>::new(first).recv();
}

fn waits_in_tasks(_: Pid, (): ()) {
    let peer = child(waits_in_tokio);
    let (sender, receiver) = (Sender::<u64>::new(peer), Receiver::<u64>::new(peer));
    let received = receiver.recv_async().map(drop);
    let ended = peer.wait_async().map(drop);
    block_on(future::select(pin!(received), pin!(ended)));
    drop(sender);
}

fn waits_in_tokio(parent: Pid, (): ()) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::<u64>::new(parent);
        let task = tokio::spawn(async move { receiver.recv_async().await.is_ok() });
        assert!(!task.await.unwrap());
    });
}

/// Each of its threads waits, and one for the others.
fn waits_in_threads(_: Pid, (): ()) {
    let peers = [child(selects), child(selects)];
    thread::scope(|scope| {
        for peer in peers {
            scope.spawn(move || Receiver::<u64>::new(peer).recv());
        }
    });
}

fn selects(parent: Pid, (): ()) {
    let receiver = Receiver::<u64>::new(parent);
    select! {
        recv(receiver) -> value => assert!(value.is_err()),
    }
}

fn calls(_: Pid, (): ()) {
    let _ = outlives(pid()).wait();
}

#[on(POOL)]
fn outlives(caller: Pid) -> bool {
    caller.wait().is_ok()
}

/// It waits for one that is slow.
fn serves(_: Pid, (): ()) {
    let peer = child(computes);
    assert_eq!(Receiver::<u64>::new(peer).iter().flatten().count(), 1);
}

fn computes(parent: Pid, (): ()) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        let round = Instant::now();
        while round.elapsed() < Duration::from_millis(10) {}
        thread::sleep(Duration::from_millis(90));
    }
    Sender::new(parent).send(1u64).unwrap();
}

/// A circle that does not last.
fn hears_of_an_end(_: Pid, (): ()) {
    let peer = child(receives_too);
    thread::scope(|scope| {
        scope.spawn(|| assert!(Receiver::<u64>::new(peer).recv().is_err()));
        thread::sleep(Duration::from_secs(6));
        peer.kill().unwrap();
    });
}

/// What its thread reads, and when, nobody knows.
fn has_a_thread_that_watches(_: Pid, (): ()) {
    let (mut reader, _writer) = pipe().unwrap();
    thread::spawn(move || reader.read(&mut [0]));
    let peer = child(receives_too);
    let _ = Receiver::<u64>::new(peer).recv();
}
