//! What is open when a process starts: 0, 1 and 2, and what the runtime needs, out of the way from 512 on and closed
//! by the next exec. Workers have no input.

//= stdin "the shell's\n"
//= main: exits 0, out "open: 0 1 2; input: the shell's\n"
//=   worker: exits 0, out "open: 0 1 2; input: none\nan executed program sees 0 1 2\n"

use deploy::*;
use std::{
    fs,
    io::{self, Read},
    os::fd::RawFd,
    process::Command,
};

fn main() {
    let mut input = String::new();
    init(Resources::default());
    io::stdin().read_to_string(&mut input).unwrap();
    println!("open: {}; input: {}", open_below_512(), input.trim_end());
    spawn(worker, (), Resources::default()).unwrap();
}

fn worker(_: Pid, (): ()) {
    assert_eq!(
        fs::read_link("/proc/self/fd/0").unwrap().to_str(),
        Some("/dev/null")
    );
    println!("open: {}; input: none", open_below_512());
    let open = Command::new("sh")
        .args(["-c", "echo /proc/$$/fd/*"])
        .output()
        .unwrap();
    let open = String::from_utf8(open.stdout).unwrap();
    let numbers: Vec<&str> = open
        .split_whitespace()
        .filter_map(|p| p.rsplit('/').next())
        .collect();
    println!("an executed program sees {}", numbers.join(" "));
}

/// Descriptors below 512; all others have to be closed by exec.
fn open_below_512() -> String {
    let mut low = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let number: RawFd = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        // The directory that is being read is open as well.
        if fs::read_link(&path).is_ok_and(|to| to.ends_with("fd")) {
            continue;
        }
        match number {
            0..512 => low.push(number),
            _ => assert!(closes_on_exec(number), "{number} stays open"),
        }
    }
    low.sort();
    let low: Vec<String> = low.iter().map(RawFd::to_string).collect();
    low.join(" ")
}

fn closes_on_exec(number: RawFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    u64::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0
}
