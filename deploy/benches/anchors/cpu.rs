//! On which processor a process runs.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use std::fs;

/// Keeps all threads of this process on the n-th processor that it may use: the same one in every process that asks.
///
/// # Panics
/// If there are not so many: what was to be measured cannot be.
pub fn pin(index: usize) {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("a thread may ask where it runs");
    let mut allowed = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
    let cpu = allowed
        .nth(index)
        .expect("this machine has enough processors to keep two that spin apart");
    let mut only = CpuSet::new();
    only.set(cpu).expect("the number came from such a set");
    for thread in fs::read_dir("/proc/self/task").expect("a process may list its threads") {
        let name = thread.expect("a process may list its threads").file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let thread = Pid::from_raw(number.expect("threads are named by numbers"));
        sched_setaffinity(thread, &only).expect("a process may choose among its processors");
    }
}
