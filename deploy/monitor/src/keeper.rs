//! The keeper: a process that clears the job's control groups away when the monitor itself has been killed.
//!
//! Deliberately absent: any other duty, and a keeper for a job without control groups: what the processes of a dead
//! monitor had started cannot be found without them.
//!
//! # Its life
//! 1. A few milliseconds after the initial process the monitor starts *its own* program once more, which is a program of ours
//!    also where the job's is not: with its own arguments and environment, because what stands before [`keep_if_asked`] may
//!    read them; in a session of its own and with every signal blocked, so that it is not ended by what ends the job; without
//!    output; with one descriptor, the directory of the job's control group, whose number stands in `DEPLOY_KEEPER`.
//! 2. There `main` calls [`keep_if_asked`] before all else, which waits for the lock on that group. The monitor has it as long
//!    as it lives.
//! 3. A job that ends ends its keeper. If the monitor ends in any other way the lock is free: the keeper kills what is
//!    in the group, removes it and ends.

use crate::{launcher::text, signals::SIGKILL};
use deploy_sys::{
    cgroup::Tree,
    fd,
    launch::{Launch, Texts},
    pidfd::Process,
    process,
};
use std::{
    env,
    ffi::CStr,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    sync::atomic::{AtomicBool, Ordering},
};

/// A keeper, as the monitor holds it.
#[derive(Debug)]
pub(crate) struct Keeper(Process);

impl Keeper {
    /// Starts a keeper for these groups.
    ///
    /// # Panics
    /// If this program has not asked whether it is one: neither would that which is started.
    pub(crate) fn start(tree: &Tree) -> io::Result<Keeper> {
        assert!(
            HAS_ASKED.load(Ordering::Relaxed),
            "a program that has a monitor calls deploy_monitor::keep_if_asked at the beginning of main"
        );
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let directory = fd::raise(tree.directory()?)?;
        let launch = Launch {
            program: c"/proc/self/exe",
            arguments: &arguments()?,
            environment: &environment(directory.as_raw_fd())?,
            stdin: Some(null.as_fd()),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
            kept: directory.as_fd(),
            kept_as: None,
            inherits: false,
            by: None,
            signals_blocked: u64::MAX,
        };
        launch.start_apart().map(Keeper)
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

/// This process's own, under another name.
fn arguments() -> io::Result<Texts> {
    let own = env::args_os().skip(1);
    let own = own.map(|word| text(word.as_bytes()));
    let all = [Ok(NAME.to_owned())].into_iter().chain(own);
    Ok(Texts::new(all.collect::<io::Result<_>>()?))
}

/// This process's own, and under which number the keeper finds its descriptor.
fn environment(directory: RawFd) -> io::Result<Texts> {
    let own = env::vars_os();
    let own = own.map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let duty = text(format!("{VARIABLE}={directory}").as_bytes());
    Ok(Texts::new(own.chain([duty]).collect::<io::Result<_>>()?))
}

/// Lives as a keeper, and never returns, if this process was started as one.
///
/// To be called at the beginning of `main` by every program that has a monitor: a keeper that goes on would be one more of
/// it.
///
/// # Errors
/// A sentence, if `DEPLOY_KEEPER` was not set by a monitor.
pub fn keep_if_asked() -> Result<(), String> {
    let Some(number) = env::var_os(VARIABLE) else {
        HAS_ASKED.store(true, Ordering::Relaxed);
        return Ok(());
    };
    let number = number.to_str().and_then(|number| number.parse().ok());
    let kept = number
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
        .and_then(fd::adopt_group)
        .and_then(keep);
    match kept {
        Ok(()) => std::process::exit(0),
        Err(error) => Err(format!(
            "unset {VARIABLE}, which is for our own processes only: {error}"
        )),
    }
}

fn keep(directory: OwnedFd) -> io::Result<()> {
    let _ = process::set_name(NAME); // Without it the keeper works as well.
    drop(Tree::inherit(directory)?);
    Ok(())
}

/// Whether this program would know its keeper.
static HAS_ASKED: AtomicBool = AtomicBool::new(false);

/// The environment variable in which a keeper finds the number of its descriptor.
const VARIABLE: &str = "DEPLOY_KEEPER";
/// What `ps` shows.
const NAME: &CStr = c"deploy-keeper";
