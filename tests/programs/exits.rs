//! Workers that end in every way, before they have made a channel and after, as their parent sees it.

//= code 3
//= main: exits 0, out
//=     "Return before: exited 0, wait 0\n"
//=     "Return after: 1, closed, wait 0\n"
//=     "Exit0 before: exited 0, wait 0\n"
//=     "Exit0 after: 1, exited 0, wait 0\n"
//=     "Exit3 before: exited 3, wait 3\n"
//=     "Exit3 after: 1, exited 3, wait 3\n"
//=     "Panic before: exited 101, wait 101\n"
//=     "Panic after: 1, exited 101, wait 101\n"
//=     "Abort before: exited SIGABRT, wait SIGABRT\n"
//=     "Abort after: 1, exited SIGABRT, wait SIGABRT\n"
//=     "Kill before: exited SIGKILL, wait SIGKILL\n"
//=     "Kill after: 1, exited SIGKILL, wait SIGKILL\n"
//=     "Segv before: exited SIGSEGV, wait SIGSEGV\n"
//=     "Segv after: 1, exited SIGSEGV, wait SIGSEGV\n"
//=   worker x4: exits 0
//=   worker x2: exits 3
//=   worker x2: exits 101, err "**panicked at *exits.rs:*\noops\n**"
//=   worker x2: killed SIGABRT
//=   worker x2: killed SIGKILL
//=   worker x2: killed SIGSEGV

use deploy::*;
use deploy_tests::say;
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};
use std::process;

fn main() {
    init(Resources::default());
    for how in HOWS {
        for after in [false, true] {
            let pid = spawn(worker, (how, after), Resources::default()).unwrap();
            let receiver = Receiver::<u32>::new(pid);
            let mut saw = String::new();
            let end = loop {
                match receiver.recv() {
                    Ok(value) => saw += &format!("{value}, "),
                    Err(error) => break say::end(&error),
                }
            };
            let when = if after { "after" } else { "before" };
            let status = say::status(&pid.wait().unwrap());
            println!("{how:?} {when}: {saw}{end}, wait {status}");
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum How {
    Return,
    Exit0,
    Exit3,
    Panic,
    Abort,
    Kill,
    Segv,
}

const HOWS: [How; 7] = [
    How::Return,
    How::Exit0,
    How::Exit3,
    How::Panic,
    How::Abort,
    How::Kill,
    How::Segv,
];

fn worker(parent: Pid, (how, after): (How, bool)) {
    let sender = after.then(|| {
        let sender = Sender::<u32>::new(parent);
        sender.send(1).unwrap();
        // What is only sent may be lost with a process that is killed.
        sender.flush().unwrap();
        sender
    });
    match how {
        How::Return => drop(sender),
        How::Exit0 => process::exit(0),
        How::Exit3 => process::exit(3),
        How::Panic => panic!("oops"),
        How::Abort => process::abort(),
        How::Kill => raise(Signal::SIGKILL).unwrap(),
        // The first one ends Rust's own handler, which looks for overflows of the stack.
        How::Segv => loop {
            raise(Signal::SIGSEGV).unwrap();
        },
    }
}
