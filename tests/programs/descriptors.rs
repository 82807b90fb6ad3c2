//! What is open when a process starts: 0, 1 and 2, and what the runtime needs, out of the way from 512 on and closed
//! by the next exec. Workers have no input.

//= stdin "the shell's\n"
//= main: exits 0, out "only what the shell gave: true; input: the shell's\n"
//=   worker: exits 0, out "open: 0 1 2; input: none\nan executed program sees 0 1 2\n"

use deploy::*;
use std::{
    env, fs,
    io::{self, Read},
    os::fd::RawFd,
    process::Command,
};

fn main() {
    // Before `init` there is one more: that of the birth.
    let birth = env::var("DEPLOY_BIRTH").unwrap_or_default();
    let birth = birth
        .split_once(',')
        .and_then(|(birth, _)| birth.parse().ok());
    let before = open_below_512(birth);
    init(Resources::default());
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).unwrap();
    let after = open_below_512(None);
    let same = before == after;
    assert!(same, "{before:?} before init and {after:?} after it");
    println!(
        "only what the shell gave: {same}; input: {}",
        input.trim_end()
    );
    spawn(worker, (), Resources::default()).unwrap();
}

fn worker(_: Pid, (): ()) {
    let input = fs::read_link("/proc/self/fd/0").unwrap();
    assert_eq!(input.to_str(), Some("/dev/null"));
    let open: Vec<String> = open_below_512(None).iter().map(RawFd::to_string).collect();
    println!("open: {}; input: none", open.join(" "));
    let script = "for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo $n; done; true";
    let open = Command::new("sh").args(["-c", script]).output().unwrap();
    let open = String::from_utf8(open.stdout).unwrap();
    println!(
        "an executed program sees {}",
        open.replace('\n', " ").trim_end()
    );
}

/// Descriptors below 512 but one; all others have to be closed by exec, but that one.
fn open_below_512(birth: Option<RawFd>) -> Vec<RawFd> {
    let mut low = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let number: RawFd = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        // The directory that is being read is open as well.
        if fs::read_link(&path).is_ok_and(|to| to.ends_with("fd")) {
            continue;
        }
        match number {
            _ if birth == Some(number) => {}
            0..512 => low.push(number),
            // Only ours are up there, and those that were there before `init`.
            _ => assert!(closes_on_exec(number), "{number} stays open"),
        }
    }
    low.sort();
    low
}

fn closes_on_exec(number: RawFd) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    u64::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0
}
