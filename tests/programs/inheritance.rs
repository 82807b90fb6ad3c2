//! Arguments, environment and working directory are those of the initial process in every process.

//= args one "two words" --three=3
//= env TEST_GREETING=good morning
//= main: exits 0, out "one two words --three=3, good morning, ours false\n"
//=   worker: exits 0, out "one two words --three=3, good morning, ours false\n"
//=     worker: exits 0, out "one two words --three=3, good morning, ours false\n"

use deploy::*;
use std::{env, path::PathBuf};

fn main() {
    init(Resources::default());
    tell();
    let arg = (2, env::current_dir().unwrap());
    spawn(worker, arg, Resources::default()).unwrap();
}

fn worker(_: Pid, (depth, directory): (u32, PathBuf)) {
    tell();
    assert_eq!(env::current_dir().unwrap(), directory);
    if depth > 1 {
        spawn(worker, (depth - 1, directory), Resources::default()).unwrap();
    }
}

fn tell() {
    let args: Vec<String> = env::args().skip(1).collect();
    let greeting = env::var("TEST_GREETING").unwrap();
    let ours = env::var_os("DEPLOY_BIRTH").is_some();
    println!("{}, {greeting}, ours {ours}", args.join(" "));
}
