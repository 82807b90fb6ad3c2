//! What a process holds of memory, as the kernel counts it.

use std::fs;

/// What is in memory of this process, in KiB.
pub fn resident_kib() -> u64 {
    status_kib("VmRSS:")
}

/// The same of another process; nothing, where it is gone.
pub fn resident_kib_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|text| text.split_whitespace().next());
    memory.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A line of this process's status, as `VmHWM:`, in KiB.
///
/// # Panics
/// If there is no such line.
pub fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a process may read its status");
    let line = status.lines().find(|line| line.starts_with(name));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("the kernel tells it").parse().expect("a number")
}
