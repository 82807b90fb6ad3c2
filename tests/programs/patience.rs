//! What a process that ends has sent to a stopped peer: a socket pair keeps it for the peer, and otherwise the process
//! waits without limit, and says so after ten seconds.

//= run pair
//= args pair
//= env DEPLOY_CHANNELS=
//= only alone
//= main: exits 0
//=   stops: exits 0, out "received 1000\n"
//=   wakes: exits 0

//= run tcp
//= args tcp
//= env DEPLOY_CHANNELS=tcp
//= only alone
//= main: exits 0, note "waiting to end: * has not taken in what was sent to it, and may be stopped\n"
//=   stops: exits 0, out "received 1000\n"
//=   wakes: exits 0

use deploy::*;
use nix::{
    sys::signal::{Signal, kill, raise},
    unistd,
};
use std::{env, process, thread, time::Duration};

fn main() {
    init(Resources::default());
    let peer = spawn(stops, (), Resources::default()).unwrap();
    let number = Receiver::<u32>::new(peer).recv().unwrap();
    spawn(wakes, number, Resources::default()).unwrap();
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

fn wakes(parent: Pid, number: u32) {
    match env::args().nth(1).as_deref() {
        Some("pair") => drop(parent.wait().unwrap()),
        // Nothing in the job tells when the person has been told: that is after 10 to 12 s.
        _ => thread::sleep(Duration::from_secs(13)),
    }
    kill(unistd::Pid::from_raw(number as i32), Signal::SIGCONT).unwrap();
}
