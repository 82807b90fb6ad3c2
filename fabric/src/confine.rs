//! What neither a warden nor any process of its job may do: set once, by the warden for itself, and inherited by all that
//! it starts.
//!
//! Deliberately absent: memory, processors and who runs as whom, which the node decides before.

use deploy_sys::landlock;
use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::geteuid,
};
use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
};

/// Confines this process. It holds its job's key from now on, so its memory is nobody's to read: neither a core, nor by
/// `/proc`, nor with a debugger, by the processes that run as the same user.
///
/// # Errors
/// If the kernel refuses, which it has no reason to.
pub fn confine() -> io::Result<()> {
    prctl::set_no_new_privs()?;
    hide_memory()?;
    umask(Mode::from_bits_truncate(0o077));
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    lower(Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX)?;
    if is_own_user() {
        lower(Resource::RLIMIT_NPROC, THREADS_MAX)?;
    }
    Ok(())
}

/// Keeps this process and all that it starts out of the daemon's state, which is the same user's, but for the directory that
/// it is in and the program.
///
/// # Errors
/// If the kernel refuses.
pub fn keep_out(state: &Path, program: &File) -> io::Result<()> {
    let own = File::open(".")?;
    landlock::keep_out(state, &[own.as_fd(), program.as_fd()])
}

/// Has nobody but the superuser read this process's memory. What it executes can be read again.
///
/// # Errors
/// If the kernel refuses, which it has no reason to.
pub fn hide_memory() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// Has the kernel end this process, or what it starts, before any daemon where it is the machine that has too little memory,
/// however little a service manager lets it take from the daemon that started us. For who has not hidden its memory yet.
pub fn offer_memory() {
    let file = "/proc/self/oom_score_adj";
    let now = fs::read_to_string(file).unwrap_or_default();
    if now.trim().parse().is_ok_and(|now: i32| now < OOM_SCORE_MIN) {
        // Fails where `/proc` is for reading alone, and then the kernel ends the largest.
        let _ = fs::write(file, OOM_SCORE_MIN.to_string());
    }
}

/// Whether this process runs as a user that one job alone has.
fn is_own_user() -> bool {
    (USERS_FIRST..USERS_FIRST + USERS).contains(&geteuid().as_raw())
}

fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    Ok(setrlimit(resource, soft.min(most), hard.min(most))?)
}

/// The first of the users that jobs have: far behind all that people, distributions and containers give to anybody.
pub const USERS_FIRST: u32 = 0x7000_0000;
/// How many of them there are.
pub const USERS: u32 = 1 << 24;
/// As if each had half of the machine's memory beside its own.
const OOM_SCORE_MIN: i32 = 500;
/// Some thirty for each of two thousand connections, and a warden's five for each of ten thousand processes.
const DESCRIPTORS_MAX: u64 = 1 << 16;
/// Of one job on one node. A thousand processes have three thousand; a program that starts itself for ever is stopped
/// before it takes the numbers of others.
const THREADS_MAX: u64 = 1 << 14;
