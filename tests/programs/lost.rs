//! A sender dropped by a panic, in a process that lives on, is lost: that is no clean end.

//= main: exits 0, out "1, then lost\nagain lost, at once: true\nafterwards 2\n"
//=   worker: exits 0, err "**oops**"

use deploy::*;
use deploy_tests::say;
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let receiver = Receiver::<u32>::new(pid);
    let first = receiver.recv().unwrap();
    println!("{first}, then {}", say::end(&receiver.recv().unwrap_err()));
    // The process may end for a second after the panic; that second passes once.
    let start = Instant::now();
    let again: BTreeSet<String> = (0..5)
        .map(|_| say::end(&receiver.recv().unwrap_err()))
        .collect();
    let again = again.into_iter().collect::<Vec<_>>().join(", ");
    println!(
        "again {again}, at once: {}",
        start.elapsed() < Duration::from_secs(4)
    );
    drop(receiver);
    Sender::new(pid).send(()).unwrap();
    println!("afterwards {}", Receiver::<u32>::new(pid).recv().unwrap());
}

fn worker(parent: Pid, (): ()) {
    let sender = Sender::<u32>::new(parent);
    let thread = thread::spawn(move || {
        sender.send(1).unwrap();
        panic!("oops");
    });
    thread.join().unwrap_err();
    Receiver::<()>::new(parent).recv().unwrap();
    Sender::<u32>::new(parent).send(2).unwrap();
}
