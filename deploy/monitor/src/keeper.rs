//! The keeper: a process that clears the job's control groups away when the monitor itself has been killed.
//!
//! Deliberately absent: any other duty, and a keeper for a job without control groups: what the processes of a dead
//! monitor had started cannot be found without them.
//!
//! # Its life
//! 1. A few milliseconds after the initial process the monitor starts the program once more: in a session of its own
//!    and with every signal blocked, so that it is not ended by what ends the job; without output; with one descriptor,
//!    the directory of the job's control group, whose number stands in [`KEEPER_VARIABLE`].
//! 2. There `init` does nothing but call [`keep_if_asked`], which waits for the lock on that group. The monitor has it
//!    as long as it lives.
//! 3. A job that ends ends its keeper. If the monitor ends in any other way the lock is free: the keeper kills what is
//!    in the group, removes it and ends.

use crate::{launcher::Launcher, signals::SIGKILL};
use deploy_sys::{cgroup::Tree, fd, pidfd::Process, process};
use std::{
    env,
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, RawFd},
};

/// A keeper, as the monitor holds it.
#[derive(Debug)]
pub(crate) struct Keeper(Process);

impl Keeper {
    /// Starts a keeper for these groups.
    pub(crate) fn start(launcher: &mut Launcher, tree: &Tree) -> io::Result<Keeper> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let directory = fd::raise(tree.directory()?)?;
        let started = launcher.start_apart(NAME, KEEPER_VARIABLE, null.as_fd(), directory.as_fd());
        started.map(Keeper)
    }

    /// Tells it that its time is over.
    pub(crate) fn dismiss(&self) {
        let _ = self.0.signal(SIGKILL); // Fails only for what has ended.
    }

    /// Waits for the end of one that was dismissed.
    pub(crate) fn bury(self) {
        let _ = self.0.wait(); // Fails if somebody killed it before, and it was reaped as a stranger.
    }
}

/// Lives as a keeper, and never returns, if this process was started as one.
///
/// To be called before anything else: a keeper that goes on would be one more of its program.
///
/// # Errors
/// If [`KEEPER_VARIABLE`] was not set by a monitor.
pub fn keep_if_asked() -> io::Result<()> {
    let Some(number) = env::var_os(KEEPER_VARIABLE) else {
        return Ok(());
    };
    let number: Option<RawFd> = number.to_str().and_then(|number| number.parse().ok());
    let directory = fd::adopt_group(number.ok_or(io::ErrorKind::InvalidInput)?)?;
    let _ = process::set_name(NAME); // Without it the keeper works as well.
    drop(Tree::inherit(directory)?);
    std::process::exit(0)
}

/// The environment variable in which a keeper finds the number of its descriptor.
pub const KEEPER_VARIABLE: &str = "DEPLOY_KEEPER";
/// What `ps` shows.
const NAME: &CStr = c"deploy-keeper";
