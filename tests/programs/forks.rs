//! A worker's own code forks: whatever the child does, the worker's channels go on, and its end is told in time.

//= run returns
//= args returns
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0, out "the child sends: lost\nthe child receives: lost\n"

//= run exits
//= args exits
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0

//= run vanishes
//= args vanishes
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0

//= run executes another program
//= args executes
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0

//= run holds everything
//= args holds
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0

//= run holds everything, and the worker is killed
//= args killed
//= code 137
//= main: exits 0, out "3000 values, exited SIGKILL, in time: true\n"
//=   worker: killed SIGKILL

//= run a daemon of two forks, in a session of its own
//= args daemon
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0

use deploy::*;
use deploy_sys::fork::fork_for_tests as fork;
use deploy_tests::say;
use nix::{
    sys::signal::{Signal, raise},
    sys::wait::waitpid,
    unistd::{self, setsid},
};
use std::{
    env,
    os::unix::process::CommandExt,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let how = env::args().nth(1).unwrap();
    let pid = spawn(worker, how, Resources::default()).unwrap();
    let (sender, receiver) = (Sender::<u32>::new(pid), Receiver::<u32>::new(pid));
    let mut values = 0;
    let end = loop {
        match receiver.recv() {
            Ok(value) => {
                assert_eq!(value, values);
                values += 1;
                // The worker may have ended, having sent the last ones.
                let _ = sender.send(value);
            }
            Err(error) => break say::end(&error),
        }
    };
    let start = Instant::now();
    pid.wait().unwrap();
    let in_time = start.elapsed() < Duration::from_secs(5);
    println!("{values} values, {end}, in time: {in_time}");
}

fn worker(parent: Pid, how: String) {
    let (sender, receiver) = (Sender::<u32>::new(parent), Receiver::<u32>::new(parent));
    let mut forked = None;
    for value in 0..3000 {
        sender.send(value).unwrap();
        if value % 3 == 0 {
            assert_eq!(receiver.recv().unwrap(), value / 3);
        }
        if value == 1000 {
            forked = fork().unwrap();
            if forked.is_none() {
                return child(&how, &sender, &receiver);
            }
        }
    }
    if how == "returns" {
        // What a process leaves running is killed with it, and this one has words to say.
        let child = forked.expect("it was forked half-way");
        waitpid(unistd::Pid::from_raw(child), None).unwrap();
    }
    sender.flush().unwrap();
    if how == "killed" {
        raise(Signal::SIGKILL).unwrap();
    }
}

/// Where this returns, the child returns from the worker's function.
fn child(how: &str, sender: &Sender<u32>, receiver: &Receiver<u32>) {
    match how {
        "returns" => {
            println!(
                "the child sends: {}",
                say::end(&sender.send(7).unwrap_err())
            );
            println!(
                "the child receives: {}",
                say::end(&receiver.recv().unwrap_err())
            );
        }
        "exits" => process::exit(3),
        "vanishes" => deploy_sys::exit::vanish(),
        "executes" => panic!("{}", Command::new("true").exec()),
        "daemon" => {
            setsid().unwrap();
            if fork().unwrap().is_some() {
                process::exit(0);
            }
            hold();
        }
        _ => hold(),
    }
}

fn hold() -> ! {
    loop {
        thread::park();
    }
}
