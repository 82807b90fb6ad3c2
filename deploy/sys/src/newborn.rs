//! What a new process does with what it was given: an environment, and a stack.

use crate::limit;
use nix::{
    sched::{CpuSet, sched_getaffinity},
    sys::{
        prctl,
        resource::{Resource, getrlimit},
    },
    unistd::Pid,
};
use std::{env, ffi::CString, os::unix::ffi::OsStrExt, path::Path};

/// Removes a variable from the environment of this process. Called while nobody else reads the environment: before
/// the user's code goes on, from the one place in a program that does.
pub fn remove_variable(name: &str) {
    // SAFETY: std's own readers hold its lock; those of C, in threads that a runtime may have started before, have no
    // reason to read the environment while they wait for their first work.
    unsafe { env::remove_var(name) };
}

/// Names this process, for `ps` and `top`, as the shell names a program: after the last part of the path that it was
/// called by. It was executed by another path, which says nothing.
pub fn name_process() {
    let path = env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default();
    if let Ok(name) = CString::new(name.as_bytes()) {
        // The kernel cuts it to 15 bytes; nothing else can go wrong.
        let _ = prctl::set_name(&name);
    }
}

/// How large the stack of a main thread may grow: what a thread that stands in for it should have. Where address space is
/// limited no more than a part of that, since a thread's stack takes it from the beginning.
pub fn main_stack_bytes() -> usize {
    let bytes = match getrlimit(Resource::RLIMIT_STACK) {
        Ok((soft, _)) => soft.min(STACK_BYTES_MAX),
        Err(_) => STACK_BYTES_USUAL,
    };
    let space = limit::address_space().unwrap_or(u64::MAX);
    bytes.min(space / STACK_PART) as usize
}

/// Whether there is more than one processor for this process to run on. Control groups that give it less than one are
/// not looked at: std does, and reads half a dozen files.
pub fn has_processors() -> bool {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return false;
    };
    (0..CpuSet::count())
        .filter(|number| set.is_set(*number) == Ok(true))
        .nth(1)
        .is_some()
}

/// Address space only, until it is used; what `ulimit -s unlimited` amounts to.
const STACK_BYTES_MAX: u64 = 1 << 30;

/// What Linux gives where nobody said anything.
const STACK_BYTES_USUAL: u64 = 8 << 20;

/// Of the address space, where that is limited, one in so many bytes.
const STACK_PART: u64 = 8;
