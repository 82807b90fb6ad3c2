//! Processes that are stopped, as by Ctrl-Z or a debugger: no channel ends for slowness, nobody burns a processor
//! beside them, and all goes on where it was.

//= run a peer that receives
//= args receiver
//= main: exits 0, out "at most 100 wake-ups a second: true\nall went on\n"
//=   sums: exits 0

//= run a peer that sends
//= args sender
//= main: exits 0, out "at most 100 wake-ups a second: true\nall went on\n"
//=   counts: exits 0

//= run the monitor
//= args monitor
//= main: exits 0, out "at most 100 wake-ups a second: true\nall went on\n"
//=   sums: exits 0
//=   counts: exits 0

use deploy::*;
use deploy_tests::leftovers::is_stopped;
use nix::{
    sys::signal::{Signal, kill},
    unistd,
};
use std::{env, fs, process, process::Command, thread, time::Duration};

fn main() {
    init(Resources::default());
    match env::args().nth(1).unwrap().as_str() {
        "receiver" => receiver(),
        "sender" => sender(),
        _ => monitor(),
    }
    println!("all went on");
}

fn receiver() {
    let pid = spawn(sums, (), Resources::default()).unwrap();
    let answers = Receiver::<u64>::new(pid);
    let peer = answers.recv().unwrap() as u32;
    let sender = Sender::<Vec<u8>>::new(pid);
    let send = |sender: &Sender<Vec<u8>>| {
        (0..TIMES).for_each(|_| sender.send(vec![1; LENGTH]).unwrap());
    };
    // The window has grown to more than the socket holds, when the peer stops reading.
    send(&sender);
    sender.flush().unwrap();
    stop(peer);
    let sent = thread::spawn(move || send(&sender));
    expect_rest();
    signal(peer, Signal::SIGCONT);
    sent.join().unwrap();
    assert_eq!(answers.recv().unwrap(), 2 * TIMES * LENGTH as u64);
}

fn sender() {
    let pid = spawn(counts, (), Resources::default()).unwrap();
    let values = Receiver::<u64>::new(pid);
    let peer = values.recv().unwrap() as u32;
    Sender::new(pid).send(()).unwrap();
    assert_eq!(values.recv().unwrap(), 0);
    stop(peer);
    let rest = thread::spawn(move || values.iter().map(|value| value.unwrap()).last());
    expect_rest();
    signal(peer, Signal::SIGCONT);
    assert_eq!(rest.join().unwrap(), Some(COUNTED - 1));
}

/// The others talk meanwhile, and what asks the monitor waits for it.
fn monitor() {
    let monitor = unistd::getppid().as_raw() as u32;
    let pid = spawn(sums, (), Resources::default()).unwrap();
    let (sender, answers) = (Sender::<Vec<u8>>::new(pid), Receiver::<u64>::new(pid));
    answers.recv().unwrap();
    // It cannot be this process that wakes it: that waits for its answer.
    let waker = Command::new("sh")
        .args(["-c", &format!("sleep 1.5; kill -CONT {monitor}")])
        .spawn();
    stop(monitor);
    (0..TIMES).for_each(|_| sender.send(vec![1; LENGTH]).unwrap());
    drop(sender);
    assert_eq!(answers.recv().unwrap(), TIMES * LENGTH as u64);
    expect_rest();
    let late = spawn(counts, (), Resources::default()).unwrap();
    Sender::new(late).send(()).unwrap();
    let values = Receiver::<u64>::new(late);
    assert_eq!(values.iter().count() as u64, COUNTED + 1);
    assert!(waker.unwrap().wait().unwrap().success());
}

fn sums(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<Vec<u8>>::new(parent));
    sender.send(process::id().into()).unwrap();
    let sum = receiver.iter().map(|value| value.unwrap().len() as u64);
    sender.send(sum.sum()).unwrap();
}

fn counts(parent: Pid, (): ()) {
    let sender = Sender::<u64>::new(parent);
    sender.send(process::id().into()).unwrap();
    Receiver::<()>::new(parent).recv().unwrap();
    (0..COUNTED).for_each(|value| sender.send(value).unwrap());
}

/// Says whether the threads of this process sleep for a second.
fn expect_rest() {
    // What was begun comes to rest first.
    thread::sleep(Duration::from_millis(100));
    let before = wake_ups();
    thread::sleep(Duration::from_secs(1));
    println!(
        "at most 100 wake-ups a second: {}",
        wake_ups() - before <= 100
    );
}

/// How often a thread of this process went to sleep so far.
fn wake_ups() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let switches = tasks.map(|task| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    });
    switches.sum()
}

fn stop(process: u32) {
    signal(process, Signal::SIGSTOP);
    while !is_stopped(process) {
        thread::yield_now();
    }
}

fn signal(process: u32, signal: Signal) {
    kill(unistd::Pid::from_raw(process as i32), signal).unwrap();
}

/// Together they are many times what the window and the socket hold.
const TIMES: u64 = 4000;
const LENGTH: usize = 10_000;
const COUNTED: u64 = 100_000;
