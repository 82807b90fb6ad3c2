//! Signal masks and dispositions are those that the shell gave, but for SIGPIPE, which Rust ignores in every program.

//= main: exits 0, out "blocked 0, ignored 1000, executed 0 0\n"
//=   worker: exits 0, out "blocked 0, ignored 1000, executed 0 0\n"

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
        "blocked {:x}, ignored {:x}, executed {:x} {:x}",
        signals(&ours, "SigBlk"),
        signals(&ours, "SigIgn"),
        signals(&executed, "SigBlk"),
        signals(&executed, "SigIgn"),
    );
}

/// A set of signals, without the two that are glibc's own: its `posix_spawn` always leaves them ignored.
fn signals(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let set = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    set & !0x1_8000_0000
}
