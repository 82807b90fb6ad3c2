//! Arguments, environment and working directory are those of the initial process in every process; and what stands before
//! `init` has run in each, also in those that were started before anybody asked for them.

//= args one "two words" --three=3
//= env TEST_GREETING=good morning
//= main: exits 0, out "one two words --three=3, good morning, ours false\n"
//=   worker x3: exits 0, out "one two words --three=3, good morning, ours false\n"
//=     worker: exits 0, out "one two words --three=3, good morning, ours false\n"

//= run one that was there before anybody asked
//= args ahead of time
//= env TEST_GREETING=hi
//= only alone
//= main: exits 0, out "ahead of time, hi, ours false\n"
//=   worker: exits 0, out "ahead of time, hi, ours false\n"
//=   worker_from_spare: exits 0, out "ahead of time, hi, ours false\n"

use deploy::*;
use std::{env, fs, os::unix, path::PathBuf, process, sync::OnceLock, thread};

/// Nothing that any other process could have set.
static BEFORE_INIT: OnceLock<u32> = OnceLock::new();

fn main() {
    BEFORE_INIT.set(process::id()).unwrap();
    init(Resources::default());
    tell();
    if env::args().nth(1).unwrap() == "ahead" {
        return ahead();
    }
    // Who spawns one after the other has the next ones started ahead of time.
    for _ in 0..3 {
        let arg = (2, env::current_dir().unwrap());
        let worker = spawn(worker, arg, Resources::default()).unwrap();
        worker.wait().unwrap();
    }
}

/// Has a process started ahead of time, and then asks for one.
fn ahead() {
    let arg = (1, env::current_dir().unwrap());
    let first = spawn(worker, arg, Resources::default()).unwrap();
    first.wait().unwrap();
    let spares = loop {
        match spares() {
            none if none.is_empty() => thread::yield_now(),
            spares => break spares,
        }
    };
    spawn(worker_from_spare, spares, Resources::default()).unwrap();
}

/// The kernel's ids of processes of this program that were started and are nobody yet, once all others have ended.
fn spares() -> Vec<u32> {
    let monitor = unix::process::parent_id();
    let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    let is_spare = |id: &u32| {
        let environ = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let mut names = environ.split(|byte| *byte == 0);
        *id != process::id() && names.any(|it| it.starts_with(b"DEPLOY_BIRTH="))
    };
    children.filter(is_spare).collect()
}

fn worker_from_spare(_: Pid, spares: Vec<u32>) {
    assert!(spares.contains(&process::id()), "it was no spare");
    tell();
}

fn worker(_: Pid, (depth, directory): (u32, PathBuf)) {
    tell();
    assert_eq!(env::current_dir().unwrap(), directory);
    if depth > 1 {
        spawn(worker, (depth - 1, directory), Resources::default()).unwrap();
    }
}

fn tell() {
    assert_eq!(BEFORE_INIT.get(), Some(&process::id()));
    let args: Vec<String> = env::args().skip(1).collect();
    let greeting = env::var("TEST_GREETING").unwrap();
    let ours = env::var_os("DEPLOY_BIRTH").is_some();
    println!("{}, {greeting}, ours {ours}", args.join(" "));
}
