//! A program started by `posix_spawn`, which the C library does in its own way: what it is to do with descriptors and signals is
//! written down before.
//!
//! Deliberately absent: control groups, which it cannot have a child born in.

use super::{Launch, STOPPING, mask_of};
use crate::{pidfd::Process, process::signal_set};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

impl Launch<'_> {
    /// With these of its flags. The child runs its program when this returns.
    pub(super) fn start_spawned(&self, flags: libc::c_int) -> io::Result<Process> {
        let mut actions = FileActions::new()?;
        for (source, target) in self.duplicates().into_iter().flatten() {
            actions.duplicate(source, target)?;
        }
        // Even onto itself: that is how it loses its close-on-exec mark, in the child only.
        actions.duplicate(self.kept.as_raw_fd(), self.kept_number())?;
        let attributes = Attributes::new(self.signals_blocked | mask_of(&STOPPING), flags)?;
        let mut id = 0;
        // SAFETY: every pointer is to a live value of this function or of `self`: a string that ends in a zero, two
        // lists of such strings that end in a null, and two objects that their makers initialised.
        check(unsafe {
            libc::posix_spawnp(
                &mut id,
                self.program.as_ptr(),
                &actions.0,
                &attributes.0,
                self.arguments.pointers.as_ptr().cast(),
                self.environment.pointers.as_ptr().cast(),
            )
        })?;
        Process::open(id as u32)
            .and_then(Process::raised)
            .inspect_err(|_| abandon(id))
    }
}

/// Ends a child that cannot be watched.
fn abandon(id: libc::pid_t) {
    // SAFETY: it is our child and not reaped, so the id is still its own; a null status says that we want none.
    unsafe {
        libc::kill(id, libc::SIGKILL);
        libc::waitpid(id, ptr::null_mut(), 0);
    }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<FileActions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: it initialises what it is given or fails.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it was initialised.
        Ok(FileActions(unsafe { actions.assume_init() }))
    }

    fn duplicate(&mut self, source: RawFd, target: RawFd) -> io::Result<()> {
        // SAFETY: the object is initialised, and the numbers are only noted.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, source, target) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: it is initialised and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// Blocks these signals, and gives SIGPIPE its default action, which Rust's start-up has taken away.
    fn new(signals_blocked: u64, flags: libc::c_int) -> io::Result<Attributes> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: it initialises what it is given or fails.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it was initialised.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        let flags = flags | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let (blocked, default) = (
            signal_set(signals_blocked),
            signal_set(mask_of(&[libc::SIGPIPE])),
        );
        // SAFETY: the object and both sets are initialised and live.
        unsafe {
            check(libc::posix_spawnattr_setflags(
                &mut attributes.0,
                flags as libc::c_short,
            ))?;
            check(libc::posix_spawnattr_setsigmask(
                &mut attributes.0,
                &blocked,
            ))?;
            check(libc::posix_spawnattr_setsigdefault(
                &mut attributes.0,
                &default,
            ))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it is initialised and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

/// These functions return their error.
fn check(error: libc::c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
