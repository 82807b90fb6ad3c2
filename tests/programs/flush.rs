//! What was flushed outlives even a kill, and unread input of the killed process does not harm it.

//= code 137
//= main: exits 0, out "heard 2000, then exited SIGKILL\n"
//=   worker: killed SIGKILL

use deploy::*;
use deploy_tests::say;
use nix::sys::signal::{Signal, raise};

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let (sender, receiver) = (Sender::<u64>::new(pid), Receiver::<u64>::new(pid));
    // More than the worker ever reads, until it has ended.
    while sender.send(0).is_ok() {}
    pid.wait().unwrap();
    for expect in 0..2000 {
        assert_eq!(receiver.recv().unwrap(), expect);
    }
    println!(
        "heard 2000, then {}",
        say::end(&receiver.recv().unwrap_err())
    );
}

fn worker(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    assert_eq!(receiver.recv().unwrap(), 0);
    for number in 0..2000 {
        sender.send(number).unwrap();
    }
    sender.flush().unwrap();
    raise(Signal::SIGKILL).unwrap();
}
