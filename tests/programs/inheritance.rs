//! Arguments, environment and working directory are those of the initial process in every process; and what stands before
//! `init` has run in each, also in those that were started before anybody asked for them.

//= args one "two words" --three=3
//= env TEST_GREETING=good morning
//= main: exits 0, out "one two words --three=3, good morning, ours false\n"
//=   worker x3: exits 0, out "one two words --three=3, good morning, ours false\n"
//=     worker: exits 0, out "one two words --three=3, good morning, ours false\n"

use deploy::*;
use std::{env, path::PathBuf, process, sync::OnceLock};

/// Nothing that any other process could have set.
static BEFORE_INIT: OnceLock<u32> = OnceLock::new();

fn main() {
    BEFORE_INIT.set(process::id()).unwrap();
    init(Resources::default());
    tell();
    // Who spawns one after the other has the next ones started ahead of time.
    for _ in 0..3 {
        let arg = (2, env::current_dir().unwrap());
        let worker = spawn(worker, arg, Resources::default()).unwrap();
        worker.wait().unwrap();
    }
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
