//! A child process as a descriptor: signalled, awaited and polled without ever naming a stranger.
//!
//! No signal goes to a bare process id: the kernel may have given it to another process by then.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// A process; its descriptor becomes readable when the process has ended.
#[derive(Debug)]
pub struct Process {
    id: u32,
    descriptor: OwnedFd,
}

/// What the kernel says of an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Death {
    /// The process ended with this exit code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Process {
    /// The process with this id.
    ///
    /// It is certain to be the one that the caller means only if that is a child not yet reaped.
    pub fn open(id: u32) -> io::Result<Process> {
        // SAFETY: the call takes two numbers and touches no memory of ours.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this number for us (closed on exec, as every pidfd).
        let descriptor = unsafe { OwnedFd::from_raw_fd(number as RawFd) };
        Ok(Process { id, descriptor })
    }

    /// The process that was born with this id and this descriptor.
    pub(crate) fn from_parts(id: u32, descriptor: OwnedFd) -> Process {
        Process { id, descriptor }
    }

    /// The kernel's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Keeps the process under a descriptor that [`crate::fd::raise`] has moved.
    pub fn raised(self) -> io::Result<Process> {
        let descriptor = crate::fd::raise(self.descriptor)?;
        Ok(Process { descriptor, ..self })
    }

    /// Sends it a signal. That it has ended already is no error.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let (number, info) = (self.descriptor.as_raw_fd(), ptr::null::<libc::siginfo_t>());
        // SAFETY: null information is allowed and stands for what `kill` would send.
        match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, signal, info, 0) } {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// How it ended, taking it off the kernel's hands; nothing while it runs. Only for a child, and only once.
    pub fn try_wait(&self) -> io::Result<Option<Death>> {
        self.wait_with(libc::WNOHANG)
    }

    /// How it ended, leaving it to be taken; nothing while it runs. Only for a child that was not taken yet.
    pub fn peek(&self) -> io::Result<Option<Death>> {
        self.wait_with(libc::WNOHANG | libc::WNOWAIT)
    }

    /// How it ended, waiting for that.
    pub fn wait(&self) -> io::Result<Death> {
        Ok(self
            .wait_with(0)?
            .expect("a wait without WNOHANG returns an end"))
    }

    fn wait_with(&self, flags: libc::c_int) -> io::Result<Option<Death>> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let number = self.descriptor.as_raw_fd() as libc::id_t;
        let flags = flags | libc::WEXITED;
        // SAFETY: the kernel writes a whole `siginfo`, or leaves the zeros, which are one as well.
        let (done, info) = unsafe {
            let done = libc::waitid(libc::P_PIDFD, number, info.as_mut_ptr(), flags);
            (done, info.assume_init())
        };
        match io::Error::last_os_error() {
            error if done < 0 && error.kind() == io::ErrorKind::Interrupted => {
                return self.wait_with(flags);
            }
            error if done < 0 => return Err(error),
            _ => {}
        }
        // SAFETY: `waitid` fills the fields of a child's end, and zeros are valid numbers.
        let (id, status) = unsafe { (info.si_pid(), info.si_status()) };
        Ok(match (id, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Death::Code(status)),
            _ => Some(Death::Signal(status)),
        })
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for Process {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{become_subreaper, children};
    use std::process::{Command, Stdio};

    fn shell(script: &str) -> Process {
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", script]).stdin(Stdio::null());
        // The handle is dropped without waiting: from here on the child is known by its descriptor only.
        Process::open(shell.spawn().unwrap().id()).unwrap()
    }

    #[test]
    fn ends_are_told_exactly() {
        let check = |script, death| assert_eq!(shell(script).wait().unwrap(), death, "{script}");
        check("exit 0", Death::Code(0));
        check("exit 255", Death::Code(255));
        check("kill -KILL $$", Death::Signal(libc::SIGKILL));
        check("kill -USR1 $$", Death::Signal(libc::SIGUSR1));
    }

    #[test]
    fn a_running_process_has_not_ended_and_takes_signals() {
        let process = shell("exec sleep 1000").raised().unwrap();
        assert_eq!(process.try_wait().unwrap(), None);
        assert_eq!(process.peek().unwrap(), None);
        process.signal(libc::SIGTERM).unwrap();
        while process.peek().unwrap() != Some(Death::Signal(libc::SIGTERM)) {
            std::thread::yield_now();
        }
        assert_eq!(process.wait().unwrap(), Death::Signal(libc::SIGTERM));
        process.signal(libc::SIGKILL).unwrap();
        assert!(process.try_wait().is_err());
        become_subreaper().unwrap();
        assert!(!children().contains(&process.id()));
    }
}
