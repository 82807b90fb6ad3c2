//! `cargo run --release -p deploy-tests --bin interrupted -- --processes 300`: a job of so many processes, all of which
//! wait for one another, gets Ctrl-C: once as from a terminal, to all of them, and once as from a program, to its first
//! process. It prints how long it took until nothing was left, and fails where that was more than five seconds, or where
//! anything is.
//!
//! Deliberately absent: processes that do not heed it, and the second Ctrl-C for them (`tests/terminal.rs`).

use deploy::*;
use deploy_tests::leftovers::Mark;
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd,
};
use std::{
    env,
    io::{BufRead, BufReader},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

fn main() {
    let args: Vec<String> = env::args().collect();
    let at = args.iter().position(|arg| arg == "--processes");
    let count = at.map_or(300, |at| args[at + 1].parse().expect("a number follows"));
    if args.get(1).map(String::as_str) == Some("job") {
        return job(count);
    }
    for (way, interrupt) in WAYS {
        match interrupted(count, interrupt) {
            Ok(took) => println!("{count} processes, {way}: nothing left after {took:.1?}"),
            Err(why) => {
                eprintln!("{way}: {why}");
                process::exit(1);
            }
        }
    }
}

/// How a job is interrupted, and the same in words.
type Way = (&'static str, fn(unistd::Pid) -> nix::Result<()>);

const WAYS: [Way; 2] = [
    ("SIGINT to each", |first| killpg(first, Signal::SIGINT)),
    ("SIGINT to the first", |first| kill(first, Signal::SIGINT)),
];

fn interrupted(
    count: u32,
    interrupt: fn(unistd::Pid) -> nix::Result<()>,
) -> Result<Duration, String> {
    let mark = Mark::new().map_err(|error| error.to_string())?;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["job", "--processes", &count.to_string()])
        .envs(mark.variables())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let first = child.id();
    let mut line = String::new();
    let out = child.stdout.take().expect("it is piped");
    let read = BufReader::new(out).read_line(&mut line);
    if read.is_err() || line != "ready\n" || mark.processes().len() < count as usize {
        mark.kill();
        return Err(format!("they did not begin: {line:?}"));
    }
    let start = Instant::now();
    interrupt(unistd::Pid::from_raw(first as i32)).map_err(|error| error.to_string())?;
    let status = child.wait().map_err(|error| error.to_string())?;
    while !mark.processes().is_empty() && start.elapsed() < 2 * GONE_MAX {
        thread::yield_now();
    }
    let took = start.elapsed();
    mark.check(first)?;
    if status.signal() != Some(Signal::SIGINT as i32) {
        return Err(format!("{status}, not SIGINT"));
    }
    match took <= GONE_MAX {
        true => Ok(took),
        false => Err(format!("it took {took:?}")),
    }
}

/// Every process has a connection to the next, and waits for a word that nobody says.
fn job(count: u32) {
    init(Resources::default());
    let spawned = (0..count).map(|_| spawn(waits, (), Resources::default()).unwrap());
    let pids: Vec<Pid> = spawned.collect();
    for (index, pid) in pids.iter().enumerate() {
        let next = pids[(index + 1) % pids.len()];
        Sender::new(*pid).send(next).unwrap();
    }
    for pid in &pids {
        Receiver::<()>::new(*pid).recv().unwrap();
    }
    println!("ready");
    let _ = Receiver::<()>::new(pids[0]).recv();
    unreachable!("its process says no more");
}

fn waits(parent: Pid, (): ()) {
    let next = Receiver::<Pid>::new(parent).recv().unwrap();
    let sender = Sender::<()>::new(parent);
    sender.send(()).unwrap();
    let _ = Receiver::<()>::new(next).recv();
}

/// Alone and at rest it takes a twentieth of that.
const GONE_MAX: Duration = Duration::from_secs(5);
