//! Signals as something to read, with where they came from.
//!
//! What to do about them is for the reader. The handlers work whatever threads the process has: they only write to a
//! pipe that does not wait.

use crate::fd;
use nix::{errno::Errno, fcntl::OFlag, unistd::pipe2};
use std::{
    fs::File,
    io::{self, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

/// The signals that are caught from now on.
#[derive(Debug)]
pub struct Signals {
    pipe: File,
}

/// One signal that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caught {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel sent it, as it does for the keys of a terminal and when that goes away. Then every process
    /// of the terminal's foreground group has got it.
    pub from_kernel: bool,
    /// The kernel's id of the process that sent it, or 0.
    pub sender: u32,
}

impl Signals {
    /// Catches those of `signals` that were not ignored when the program was started.
    ///
    /// SIGCHLD is caught even then: ignored, it would make the kernel forget how children ended.
    ///
    /// # Errors
    /// If this process has caught signals before; or the kernel's.
    pub fn catch(signals: &[i32]) -> io::Result<Signals> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let (reader, writer) = (fd::raise(reader)?, fd::raise(writer)?);
        let number = writer.as_raw_fd();
        WRITER
            .compare_exchange(NONE, number, Ordering::SeqCst, Ordering::SeqCst)
            .map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))?;
        // Handlers may run until the process ends, so the writing end is never closed.
        let _ = writer.into_raw_fd();
        for &signal in signals {
            if signal == libc::SIGCHLD || disposition(signal)? != libc::SIG_IGN {
                set_disposition(signal, handler as *const () as libc::sighandler_t)?;
            }
        }
        Ok(Signals {
            pipe: File::from(reader),
        })
    }

    /// The next one that came, without waiting; asks the kernel only where there may be one.
    pub fn take(&mut self) -> Option<Caught> {
        if !COMING.swap(false, Ordering::SeqCst) {
            return None;
        }
        let mut record = [0; RECORD_BYTES];
        self.pipe.read_exact(&mut record).ok()?;
        COMING.store(true, Ordering::SeqCst); // There may be more.
        let [signal, code, sender] = from_record(record);
        let from_kernel = code == libc::SI_KERNEL;
        let sender = if from_kernel { 0 } else { sender as u32 };
        Some(Caught {
            signal,
            from_kernel,
            sender,
        })
    }

    /// The descriptor was found readable: a handler on another thread may say so late.
    pub fn handle_readable(&mut self) {
        COMING.store(true, Ordering::SeqCst);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

/// Ends this process by `signal`, as if it had never been caught. Returns only if that signal ends nobody.
pub fn reraise(signal: i32) {
    if set_disposition(signal, libc::SIG_DFL).is_err() {
        return;
    }
    // SAFETY: both take numbers only.
    unsafe { libc::raise(signal) };
    let blocked = crate::process::blocked_signals();
    crate::process::set_blocked_signals(blocked & !(1 << (signal - 1)));
}

/// Has a signal that was caught take its usual effect once, as SIGTSTP does by stopping this process; returns when it goes
/// on, and the signal is caught again.
///
/// # Errors
/// The kernel's.
pub fn let_pass(signal: i32) -> io::Result<()> {
    reraise(signal);
    set_disposition(signal, handler as *const () as libc::sighandler_t)
}

/// Makes the kernel keep the ends of children, which it does not where SIGCHLD was ignored when we were started.
pub fn keep_ends_of_children() -> io::Result<()> {
    match disposition(libc::SIGCHLD)? {
        libc::SIG_IGN => set_disposition(libc::SIGCHLD, libc::SIG_DFL),
        _ => Ok(()),
    }
}

/// Whether this signal has no effect, as whoever started us may have wished (`nohup`).
pub fn is_ignored(signal: i32) -> bool {
    disposition(signal).is_ok_and(|disposition| disposition == libc::SIG_IGN)
}

/// Gives every signal that was ignored when we were started its usual effect again, but for SIGPIPE, which Rust ignores.
///
/// For a process whose children are nobody's background job, whoever started it: a shell ignores SIGINT on behalf of what
/// it starts with `&`, and `nohup` SIGHUP.
pub fn forget_ignored() -> io::Result<()> {
    for signal in (1..32).filter(|signal| *signal != libc::SIGPIPE) {
        if disposition(signal)? == libc::SIG_IGN {
            set_disposition(signal, libc::SIG_DFL)?;
        }
    }
    Ok(())
}

extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: with SA_SIGINFO the kernel passes a whole `siginfo`; for a signal that no process sent, the sender's
    // place holds other numbers, which the reader ignores or has no use for.
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    let record = to_record([signal, code, sender]);
    COMING.store(true, Ordering::SeqCst);
    let writer = WRITER.load(Ordering::SeqCst);
    // SAFETY: `write` may be called in a handler; the buffer and its length are true. A full pipe loses the signal,
    // after thousands that nobody has read.
    unsafe { libc::write(writer, record.as_ptr().cast(), RECORD_BYTES) };
    Errno::set_raw(errno);
}

fn disposition(signal: i32) -> io::Result<libc::sighandler_t> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action changes nothing; the old one is written whole unless the call fails.
    match unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } {
        // SAFETY: it was written.
        0 => Ok(unsafe { action.assume_init() }.sa_sigaction),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_disposition(signal: i32, to: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: all zeros is a valid action: the default one with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = to;
    action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP | libc::SA_ONSTACK;
    if to != libc::SIG_DFL && to != libc::SIG_IGN {
        action.sa_flags |= libc::SA_SIGINFO;
    }
    // SAFETY: the action is whole; a handler of ours has the signature that SA_SIGINFO asks for, and does nothing
    // that a handler may not.
    match unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn to_record(numbers: [i32; 3]) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    for (field, number) in record.chunks_exact_mut(4).zip(numbers) {
        field.copy_from_slice(&number.to_ne_bytes());
    }
    record
}

fn from_record(record: [u8; RECORD_BYTES]) -> [i32; 3] {
    let field = |at: usize| [record[at], record[at + 1], record[at + 2], record[at + 3]];
    [0, 4, 8].map(|at| i32::from_ne_bytes(field(at)))
}

/// The writing end of the pipe that handlers write to.
static WRITER: AtomicI32 = AtomicI32::new(NONE);
const NONE: RawFd = -1;
/// Whether a handler has begun to write since the pipe was found empty.
static COMING: AtomicBool = AtomicBool::new(false);
/// A write this short is whole or does not happen.
const RECORD_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because handlers belong to the process and can be installed once.
    #[test]
    fn signals_are_read_with_their_origin_and_ignored_ones_stay_ignored() {
        set_disposition(libc::SIGURG, libc::SIG_IGN).unwrap();
        set_disposition(libc::SIGCHLD, libc::SIG_IGN).unwrap();
        keep_ends_of_children().unwrap();
        assert_eq!(disposition(libc::SIGCHLD).unwrap(), libc::SIG_DFL);
        let mut signals = Signals::catch(&[libc::SIGUSR2, libc::SIGURG]).unwrap();
        assert_eq!(signals.take(), None);
        // SAFETY: `raise` takes a number; both signals are caught or ignored.
        unsafe {
            libc::raise(libc::SIGURG);
            libc::raise(libc::SIGUSR2);
        }
        let caught = signals.take().unwrap();
        assert_eq!(
            (caught.signal, caught.from_kernel, caught.sender),
            (libc::SIGUSR2, false, std::process::id())
        );
        assert_eq!(signals.take(), None);
        forget_ignored().unwrap();
        assert_eq!(disposition(libc::SIGURG).unwrap(), libc::SIG_DFL);
        assert_eq!(disposition(libc::SIGPIPE).unwrap(), libc::SIG_IGN);
        assert_ne!(disposition(libc::SIGUSR2).unwrap(), libc::SIG_DFL);
        let again = Signals::catch(&[]).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }
}
