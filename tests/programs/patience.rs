//! A process that ends waits for a stopped peer without limit, and says so after ten seconds.

//= main: exits 0, note "waiting to end: * has not taken in what was sent to it, and may be stopped\n"
//=   stops: exits 0, out "received 1000\n"
//=   waker: exits 0

use deploy::*;
use nix::{
    sys::signal::{Signal, kill, raise},
    unistd,
};
use std::{process, thread, time::Duration};

fn main() {
    init(Resources::default());
    let peer = spawn(stops, (), Resources::default()).unwrap();
    let number = Receiver::<u32>::new(peer).recv().unwrap();
    spawn(waker, number, Resources::default()).unwrap();
    while !deploy_tests::leftovers::is_stopped(number) {
        thread::yield_now();
    }
    let sender = Sender::new(peer);
    for value in 0..1000u32 {
        sender.send(value).unwrap();
    }
}

fn stops(parent: Pid, (): ()) {
    let receiver = Receiver::<u32>::new(parent);
    let sender = Sender::new(parent);
    sender.send(process::id()).unwrap();
    sender.flush().unwrap();
    raise(Signal::SIGSTOP).unwrap();
    println!("received {}", receiver.iter().flatten().count());
}

fn waker(_: Pid, number: u32) {
    // Nothing in the job tells when the person has been told: that is after 10 s.
    thread::sleep(Duration::from_secs(11));
    kill(unistd::Pid::from_raw(number as i32), Signal::SIGCONT).unwrap();
}
