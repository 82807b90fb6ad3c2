//! A process ends, in each way and from any of its threads, while others of them block in all that can block: it ends
//! at once, nobody takes in half a value, and what waited for room is never started.

//= run another thread exits
//= args thread
//= env DEPLOY_CAPACITY=4GiB 2
//= code 7
//= main: exits 0
//=   busy x3: exits 7
//=   quiet x6: exits 0, out "in order and whole, then exited 7\n"

//= run the worker's thread exits
//= args worker
//= env DEPLOY_CAPACITY=4GiB 2
//= code 7
//= main: exits 0
//=   busy x3: exits 7
//=   quiet x6: exits 0, out "in order and whole, then exited 7\n"

//= run it returns
//= args return
//= env DEPLOY_CAPACITY=4GiB 2
//= main: exits 0
//=   busy x3: exits 0
//=   quiet x6: exits 0, out "in order and whole, then exited 0\n"

//= run it aborts
//= args abort
//= env DEPLOY_CAPACITY=4GiB 2
//= code 134
//= main: exits 0
//=   busy x3: killed SIGABRT
//=   quiet x6: exits 0, out "in order and whole, then exited SIGABRT\n"

//= run main returns
//= args main
//= env DEPLOY_CAPACITY=4GiB 2
//= main: exits 0
//=   quiet x2: exits 0, out "in order and whole, then exited 0\n"

use deploy::*;
use deploy_tests::say;
use std::{env, fs, process, sync::Arc, thread};

fn main() {
    init(Resources::default());
    if env::args().nth(1).as_deref() == Some("main") {
        let peers = [start_quiet(pid()), start_quiet(pid())];
        return block_in_everything(pid(), peers);
    }
    for index in 0..3 {
        let pid = spawn(busy, index > 0, Resources::default()).unwrap();
        let peers = [start_quiet(pid), start_quiet(pid)];
        Sender::new(pid).send(peers).unwrap();
        pid.wait().unwrap();
    }
}

fn start_quiet(watched: Pid) -> Pid {
    spawn(quiet, watched, Resources::default()).unwrap()
}

fn busy(parent: Pid, sleep_first: bool) {
    let peers: [Pid; 2] = Receiver::new(parent).recv().unwrap();
    block_in_everything(parent, peers);
    if sleep_first {
        until_all_sleep();
    }
    match env::args().nth(1).unwrap().as_str() {
        "thread" => {
            thread::spawn(|| process::exit(7));
            loop {
                thread::park();
            }
        }
        "worker" => process::exit(7),
        "abort" => process::abort(),
        _ => {}
    }
}

/// A thread for each call that blocks, none of which ever returns.
fn block_in_everything(alive: Pid, [one, two]: [Pid; 2]) {
    let (to_one, to_two) = (
        Arc::new(Sender::<Vec<u64>>::new(one)),
        Sender::<Vec<u64>>::new(two),
    );
    let also_to_one = to_one.clone();
    let (from_one, from_two) = (Receiver::<()>::new(one), Receiver::<()>::new(two));
    let send_all = |sender: &Sender<Vec<u64>>, len: usize| {
        for first in 0.. {
            sender.send(vec![first; len]).unwrap();
        }
    };
    thread::spawn(move || send_all(&to_one, 100));
    thread::spawn(move || send_all(&to_two, 100_000));
    thread::spawn(move || also_to_one.flush());
    thread::spawn(move || from_one.recv());
    thread::spawn(move || select! { recv(from_two) -> value => value });
    if alive != pid() {
        thread::spawn(move || alive.wait());
    }
    let too_much = Resources {
        mem: 3 * Mem::GIB + 512 * Mem::MIB,
        ..Resources::default()
    };
    thread::spawn(move || {
        Builder::new()
            .resources(too_much)
            .wait(true)
            .spawn(never, ())
    });
}

/// Would show in the family.
fn never(_: Pid, (): ()) {}

/// Until no other thread of this process runs, three times one after the other.
fn until_all_sleep() {
    let own = fs::read_link("/proc/thread-self").unwrap();
    let mut quiet = 0;
    while quiet < 3 {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let mut others = tasks
            .map(|task| task.unwrap().path())
            .filter(|path| path.file_name() != own.file_name());
        let runs = |path: std::path::PathBuf| {
            let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
            stat.rsplit(')')
                .next()
                .unwrap()
                .trim_start()
                .starts_with('R')
        };
        quiet = if others.any(runs) { 0 } else { quiet + 1 };
        thread::yield_now();
    }
}

/// Listens only when the other process has ended, or is about to.
fn quiet(_: Pid, watched: Pid) {
    let receiver = Receiver::<Vec<u64>>::new(watched);
    let mut next = 0;
    let end = loop {
        match receiver.recv() {
            Ok(value) => {
                assert!(value.iter().all(|number| *number == next), "torn at {next}");
                assert!(
                    [100, 100_000].contains(&value.len()),
                    "{} long",
                    value.len()
                );
                next += 1;
                if next == 3 {
                    watched.wait().unwrap();
                }
            }
            Err(error) => break say::end(&error),
        }
    };
    println!("in order and whole, then {end}");
}
