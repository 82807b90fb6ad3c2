//! Starts a program as a child, by `posix_spawn` or, inside a control group, by `clone`: no code of ours runs on after a
//! bare fork.
//!
//! Deliberately absent: how either way works (`clone.rs`, `launch/spawned.rs`), what the program is told (its certificate), and
//! everything that happens to it afterwards.
//!
//! # Stopped while it is started
//! The starting thread waits until the child has executed its program. A child stopped before that, by Ctrl-Z at the
//! wrong moment, would stop its parent with no way to go on. So the signals that stop are blocked in the child, which
//! is to set its signal mask once it runs.
//!
//! # Ended with its parent
//! A child that is born in a group gets SIGKILL when the thread that started it ends. `posix_spawn` cannot be told that: there
//! the program has to ask for it itself.

mod spawned;
#[cfg(test)]
mod tests;

use crate::{
    cgroup::Leaf,
    clone::{self, Failure, Plan},
    pidfd::Process,
    process::signal_set,
};
use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr,
};

/// A program to start, and what it gets.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Its file; a name without a slash is looked for in `PATH`.
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub arguments: &'a Texts,
    /// Its environment, `NAME=value` each.
    pub environment: &'a Texts,
    /// Standard input; the caller's own, if none.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
    /// The one descriptor that it gets beside these.
    pub kept: BorrowedFd<'a>,
    /// Under which number it gets that; the same as here, if none.
    pub kept_as: Option<RawFd>,
    /// Whether it has too what is open here and not closed on exec.
    pub inherits: bool,
    /// The descriptor by which the program's file is named, if it is.
    pub by: Option<RawFd>,
    /// The signals that it blocks from the start, beside those that stop; see [`crate::process::blocked_signals`].
    pub signals_blocked: u64,
}

/// Arguments or an environment, as the kernel takes them: put together once, for many starts.
#[derive(Debug)]
pub struct Texts {
    pointers: Vec<*const libc::c_char>,
    /// What these point at, but for the null at their end.
    texts: Vec<CString>,
}

impl Texts {
    /// In this order.
    pub fn new(texts: Vec<CString>) -> Texts {
        let pointers = texts.iter().map(|text| text.as_ptr());
        Texts {
            pointers: pointers.chain([ptr::null()]).collect(),
            texts,
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.texts.iter().map(CString::as_c_str)
    }
}

impl Launch<'_> {
    /// Starts it inside a group, or outside where that cannot be.
    pub fn start_in(&self, group: &Leaf) -> io::Result<Process> {
        let started = match group.birthplace() {
            Some(directory) => self.start_cloned(directory.as_fd()),
            None => Err(Failure::Unavailable),
        };
        match started {
            Ok(process) => {
                let process = process.raised()?;
                // Fails where the group was removed under us, or the process has ended already.
                let _ = group.enter_sides(process.id());
                Ok(process)
            }
            Err(Failure::Failed(error)) => Err(error),
            Err(Failure::Unavailable) => {
                let process = self.start()?;
                // Fails where the group was removed under us, or the process has ended already.
                let _ = group.enter(process.id());
                Ok(process)
            }
        }
    }

    fn start_cloned(&self, group: BorrowedFd<'_>) -> Result<Process, Failure> {
        if !self.program.to_bytes().contains(&b'/') {
            return Err(Failure::Unavailable);
        }
        let duplicates = self.duplicates();
        let kept = self.kept.as_raw_fd();
        let needed = duplicates.iter().flatten().map(|(source, _)| *source);
        let least = kept.max(self.by.unwrap_or(libc::STDERR_FILENO));
        let last = needed.fold(least, RawFd::max);
        let mut plan = Plan {
            without_from: (!self.inherits).then_some(last as libc::c_uint + 1),
            duplicates,
            kept: (kept, self.kept_number()),
            blocked: signal_set(self.signals_blocked | mask_of(&STOPPING)),
            program: self.program.as_ptr(),
            arguments: self.arguments.pointers.as_ptr(),
            environment: self.environment.pointers.as_ptr(),
            has_own_table: false,
            error: 0,
        };
        // SAFETY: the pointers are to live values of `self`: a string that ends in a zero, and two lists of such strings
        // that end in a null.
        unsafe { clone::start(&mut plan, group) }
    }

    /// What becomes which of the first three descriptors. Ours stay as they are where source and target are one.
    fn duplicates(&self) -> [Option<(RawFd, RawFd)>; 3] {
        let (stdin, stdout, stderr) = (self.stdin, Some(self.stdout), Some(self.stderr));
        let mut target = libc::STDIN_FILENO..;
        [stdin, stdout, stderr].map(|source| {
            target
                .next()
                .and_then(|target| Some((source?.as_raw_fd(), target)))
        })
    }

    fn kept_number(&self) -> RawFd {
        self.kept_as.unwrap_or(self.kept.as_raw_fd())
    }

    /// Starts it. The child runs its program when this returns.
    pub fn start(&self) -> io::Result<Process> {
        self.start_spawned(0)
    }

    /// The same in a session of its own, which no terminal's keys and no signal to our group reach.
    pub fn start_apart(&self) -> io::Result<Process> {
        self.start_spawned(libc::POSIX_SPAWN_SETSID as libc::c_int)
    }
}

fn mask_of(signals: &[libc::c_int]) -> u64 {
    signals
        .iter()
        .fold(0, |mask, signal| mask | 1 << (signal - 1))
}

/// The signals that stop a process and that can be blocked.
const STOPPING: [libc::c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
