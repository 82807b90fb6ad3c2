//! Whether anything goes on in the calling process, by what the kernel says of its threads.
//!
//! Deliberately absent: why a thread sleeps.

use nix::libc;
use std::{fs, thread};

/// For how long a thread sleeps.
#[derive(Clone, Copy)]
pub enum Rest {
    /// For longer than until the library's next tick, a millisecond.
    BeyondTick,
    /// Until something happens.
    WithoutEnd,
}

/// Until every other thread of this process sleeps, those that wait for events for this long.
///
/// # Panics
/// If the kernel does not say what threads do.
pub fn await_rest(rest: Rest) {
    let own = nix::unistd::gettid().to_string();
    let rests = |task: fs::DirEntry| {
        let call = fs::read_to_string(task.path().join("syscall"));
        let rests = call.map(|call| is_rest(&call, rest));
        // One that has ended meanwhile does nothing more.
        task.file_name() == *own || rests.unwrap_or(true)
    };
    let all = || fs::read_dir("/proc/self/task").expect("a process sees its threads");
    while !all().all(|task| rests(task.expect("a process sees its threads"))) {
        thread::yield_now();
    }
}

/// Of what `/proc/self/task/*/syscall` says: `running`, or a number and its arguments; -1 is no call, but such as a wait for a page.
fn is_rest(call: &str, rest: Rest) -> bool {
    let mut words = call.split_whitespace();
    let Some(Ok(number)) = words.next().map(str::parse::<i64>) else {
        return false;
    };
    let time = words.nth(3).and_then(|word| word.strip_prefix("0x"));
    let time_ms = time.and_then(|word| u64::from_str_radix(word, 16).ok());
    let is_long = match rest {
        Rest::BeyondTick => |ms| !(0..=TICK_MS_MAX).contains(&ms),
        Rest::WithoutEnd => |ms| ms < 0,
    };
    let is_wait = EVENTS.contains(&number);
    number >= 0 && (!is_wait || time_ms.is_none_or(|ms| is_long(ms as i32)))
}

/// The calls that wait for events; the fourth argument is for how many milliseconds.
#[cfg(target_arch = "x86_64")]
const EVENTS: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
#[cfg(not(target_arch = "x86_64"))]
const EVENTS: &[i64] = &[libc::SYS_epoll_pwait];
/// The library's tick is shorter by far; its other times are longer.
const TICK_MS_MAX: i32 = 100;
