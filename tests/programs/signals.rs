//! Signal masks and dispositions are those that the shell gave, but for SIGPIPE, which Rust ignores in every program.

//= main: exits 0, out "blocked 0, ignored 1000, executed 0 0\n"
//=   worker: exits 0, out "blocked 0, ignored 1000, executed 0 0\n"

use deploy::*;
use std::{fs, os::unix::process::parent_id, process::Command};

fn main() {
    init(Resources::default());
    // Whoever started the monitor ignores some itself under `nohup` and the like.
    let monitor = fs::read_to_string(format!("/proc/{}/status", parent_id())).unwrap();
    let shell = word(&monitor, "PPid").to_string();
    let shell = fs::read_to_string(format!("/proc/{shell}/status")).unwrap();
    let ignored_before = signals(&shell, "SigIgn") & !SIGPIPE;
    tell(ignored_before);
    spawn(worker, ignored_before, Resources::default()).unwrap();
}

fn worker(_: Pid, ignored_before: u64) {
    tell(ignored_before);
}

fn tell(ignored_before: u64) {
    let ours = fs::read_to_string("/proc/thread-self/status").unwrap();
    let executed = Command::new("cat")
        .arg("/proc/self/status")
        .output()
        .unwrap();
    let executed = String::from_utf8(executed.stdout).unwrap();
    println!(
        "blocked {:x}, ignored {:x}, executed {:x} {:x}",
        signals(&ours, "SigBlk"),
        signals(&ours, "SigIgn") ^ ignored_before,
        signals(&executed, "SigBlk"),
        signals(&executed, "SigIgn") ^ ignored_before,
    );
}

/// A set of signals, without the two that are glibc's own: its `posix_spawn` always leaves them ignored.
fn signals(status: &str, name: &str) -> u64 {
    u64::from_str_radix(word(status, name), 16).unwrap() & !0x1_8000_0000
}

fn word<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}

const SIGPIPE: u64 = 1 << 12;
