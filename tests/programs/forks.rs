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

//= run uses channels while other threads of the worker do
//= args busy
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0
//=     babble: exits 0

//= run a daemon of two forks, in a session of its own
//= args daemon
//= main: exits 0, out "3000 values, closed, in time: true\n"
//=   worker: exits 0

use deploy::{select, *};
use deploy_sys::fork::fork_for_tests as fork;
use deploy_tests::say;
use nix::{
    sys::signal::{Signal, raise},
    sys::wait::{WaitStatus, waitpid},
    unistd::{self, setsid},
};
use std::{
    env,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{self, Command},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
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
    if how == "busy" {
        fork_beside_traffic();
    }
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

/// A child's copy of a lock may be held by a thread that it has not: every use of a channel says so without it.
fn fork_beside_traffic() {
    let peer = spawn(babble, (), Resources::default()).unwrap();
    let (sender, receiver) = (&Sender::<u8>::new(peer), &Receiver::<u8>::new(peer));
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = sender;
            while !is_over.load(SeqCst) {
                sender.write_all(&[7; 30_000]).unwrap();
                sender.write_all(&[7; 30]).unwrap();
            }
        });
        scope.spawn(move || {
            let mut receiver = receiver;
            while !is_over.load(SeqCst) {
                receiver.read_exact(&mut [0; 9000]).unwrap();
            }
        });
        for round in 0..300 {
            let Some(child) = fork().unwrap() else {
                uses(round, sender, receiver).unwrap();
                deploy_sys::exit::vanish()
            };
            let child = unistd::Pid::from_raw(child);
            assert_eq!(
                waitpid(child, None),
                Ok(WaitStatus::Exited(child, 0)),
                "{round}"
            );
        }
        is_over.store(true, SeqCst);
    });
}

/// One use of a channel in a child, which fails.
fn uses(which: u64, mut sender: &Sender<u8>, mut receiver: &Receiver<u8>) -> Result<(), u64> {
    let is_refused = match which % 8 {
        0 => sender.flush().is_err(),
        1 => Write::flush(&mut sender).is_err(),
        2 => sender.write(&[0; 100_000]).is_err(),
        3 => sender.try_send(7).is_err(),
        4 => receiver.read(&mut [0; 10]).is_err(),
        5 => receiver.try_recv().is_err(),
        6 => select! { send(sender, 7) -> sent => sent.is_err() },
        _ => select! { recv(receiver) -> byte => byte.is_err() },
    };
    is_refused.then_some(()).ok_or(which)
}

/// Sends and receives for as long as its parent does.
fn babble(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u8>::new(parent), Receiver::<u8>::new(parent));
    let writer = thread::spawn(move || while (&sender).write_all(&[1; 5000]).is_ok() {});
    while (&receiver)
        .read(&mut [0; 10_000])
        .is_ok_and(|count| count > 0)
    {}
    drop(receiver);
    writer.join().unwrap();
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
