//! Whether this process is one that the program's own code forked: a copy whose descriptors are another's.
//!
//! Nothing of ours forks.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// From now on [`happened`] tells. To be called once.
pub fn watch() -> io::Result<()> {
    // SAFETY: the function is there for as long as the process, and stores to an atomic, which a child may do at once.
    match unsafe { libc::pthread_atfork(None, None, Some(note)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Whether this process was forked from one that watched.
#[inline]
pub fn happened() -> bool {
    FORKED.load(Relaxed)
}

/// Forks, for tests of what a program's own `fork` does to us: the child's process id, or nothing in the child.
///
/// It is a safe function, as those of crates for daemons are; what the child may do is said by `fork(2)`. Nothing but
/// tests calls it.
#[doc(hidden)]
pub fn fork_for_tests() -> io::Result<Option<i32>> {
    // SAFETY: it touches no memory of ours, and the child goes on with a whole copy of it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

extern "C" fn note() {
    FORKED.store(true, Relaxed);
}

static FORKED: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::Pid,
    };

    #[test]
    fn a_child_knows_and_its_parent_is_not_meant() {
        watch().unwrap();
        let Some(child) = fork_for_tests().unwrap() else {
            // SAFETY: it takes a number and never returns.
            unsafe { libc::_exit(if happened() { 7 } else { 0 }) }
        };
        let child = Pid::from_raw(child);
        assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 7));
        assert!(!happened());
    }
}
