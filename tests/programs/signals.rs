//! Signal masks and dispositions are those that the shell gave, but for SIGPIPE, which Rust ignores in every program.

//= main: exits 0, out "blocked 0000000000000000, ignored 0000000000001000, executed 0000000000000000 0000000000000000\n"
//=   worker: exits 0, out "blocked 0000000000000000, ignored 0000000000001000, executed 0000000000000000 0000000000000000\n"

use deploy::*;
use std::{fs, process::Command};

fn main() {
    init(Resources::default());
    tell();
    spawn(worker, (), Resources::default()).unwrap();
}

fn worker(_: Pid, (): ()) {
    tell();
}

fn tell() {
    let ours = fs::read_to_string("/proc/thread-self/status").unwrap();
    let executed = Command::new("cat")
        .arg("/proc/self/status")
        .output()
        .unwrap();
    let executed = String::from_utf8(executed.stdout).unwrap();
    println!(
        "blocked {}, ignored {}, executed {} {}",
        field(&ours, "SigBlk"),
        field(&ours, "SigIgn"),
        field(&executed, "SigBlk"),
        field(&executed, "SigIgn"),
    );
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}
