//! Whether a thread of this process may go on by itself, as far as the kernel can tell.
//!
//! Deliberately absent: what threads wait for in one another. Whatever is not known to wait for another thread of this
//! process is taken for one that may go on: it runs, sleeps for a time, or waits for somebody outside.

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd,
};
use std::{
    cell::Cell,
    collections::BTreeSet,
    fs, io,
    os::fd::{BorrowedFd, RawFd},
};

/// The kernel's number of the calling thread.
pub fn own() -> u32 {
    thread_local!(static OWN: Cell<u32> = const { Cell::new(0) });
    match OWN.get() {
        0 => {
            let own = unistd::gettid().as_raw() as u32;
            OWN.set(own);
            own
        }
        own => own,
    }
}

/// Whether a thread of this process may go on without one of `waiting`, the calling thread left out. Those that wait are
/// looked at too: one that was woken and has not run yet may.
///
/// Reads a file for each thread, and takes a process with more than some hundreds for one that may.
pub fn may_go_on(waiting: &BTreeSet<u32>) -> bool {
    let Ok(all) = all() else { return true };
    let still = |thread: &u32| match waiting.contains(thread) {
        true => Call::of(*thread).is_some(),
        false => Call::of(*thread).is_some_and(|call| call.waits_for_threads(&all)),
    };
    let own = own();
    all.len() > THREADS_MAX || !all.iter().all(|thread| *thread == own || still(thread))
}

/// All threads of this process.
fn all() -> io::Result<BTreeSet<u32>> {
    let entries = fs::read_dir("/proc/self/task")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()));
    let threads = names.collect::<io::Result<Result<_, _>>>()?;
    threads.map_err(io::Error::other)
}

/// A system call that a thread sleeps in.
struct Call {
    number: i64,
    arguments: Vec<u64>,
}

impl Call {
    /// Nothing, if the thread runs or is about to, or sleeps for another reason.
    fn of(thread: u32) -> Option<Call> {
        let line = fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
        let mut words = line.split_whitespace();
        let number = words.next()?.parse().ok().filter(|number| *number >= 0)?;
        let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let arguments = words.map(hexadecimal).collect::<Option<Vec<u64>>>()?;
        (arguments.len() >= 6).then_some(Call { number, arguments })
    }

    /// Whether nothing but another thread of this process can end it. A signal can, but whoever sends one means it.
    fn waits_for_threads(&self, threads: &BTreeSet<u32>) -> bool {
        let [first, second, third, fourth, ..] = self.arguments[..] else {
            return false;
        };
        match self.number {
            libc::SYS_futex if fourth == 0 => {
                let operation = second as i32;
                // Whoever joins a thread waits for its number to be cleared; the kernel does that as for any process.
                let is_private = operation & libc::FUTEX_PRIVATE_FLAG != 0;
                let waits = [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET];
                waits.contains(&(operation & FUTEX_COMMAND))
                    && (is_private || threads.contains(&(third as u32)))
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait => fourth as i32 == FOR_EVER && is_ours(first as RawFd),
            libc::SYS_epoll_pwait => fourth as i32 == FOR_EVER && is_ours(first as RawFd),
            _ => false,
        }
    }
}

/// Whether all that this epoll instance watches can be written by this process only: what executors wake themselves by.
fn is_ours(epoll: RawFd) -> bool {
    let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{epoll}")) else {
        return false;
    };
    let mut watched = info.lines().filter_map(|line| line.strip_prefix("tfd:"));
    watched.all(|rest| {
        let number = rest.split_whitespace().next();
        let number = number.and_then(|number| number.parse().ok());
        number.is_some_and(|number| is_event(number) || is_socket_pair(number))
    })
}

fn is_event(number: RawFd) -> bool {
    let link = fs::read_link(format!("/proc/self/fd/{number}"));
    link.is_ok_and(|link| link.as_os_str() == "anon_inode:[eventfd]")
}

/// A socket pair that this process made; one that others made, or any other socket, names somebody else.
fn is_socket_pair(number: RawFd) -> bool {
    // SAFETY: it is lent for one call, which takes nothing of what it stands for. If it was closed meanwhile the call says
    // so, and if it is another's by now the answer is about that one; both are answers.
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    getsockopt(&socket, PeerCredentials).is_ok_and(|peer| peer.pid() == unistd::getpid().as_raw())
}

/// What remains of a futex's operation without its flags.
const FUTEX_COMMAND: i32 = !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
const FOR_EVER: i32 = -1;
/// To look at them takes a millisecond.
const THREADS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::EventFd,
    };
    use std::{
        io::{PipeReader, Read, Write, pipe},
        os::unix::net::UnixStream,
        sync::mpsc,
        thread::{self, JoinHandle},
        time::{Duration, Instant},
    };

    /// A thread that does this, and its number.
    fn thread_that(act: impl FnOnce() + Send + 'static) -> (u32, JoinHandle<()>) {
        let (tell, told) = mpsc::channel();
        let handle = thread::spawn(move || {
            tell.send(own()).unwrap();
            act();
        });
        (told.recv().unwrap(), handle)
    }

    /// Whether the thread waits for others, once it sleeps.
    fn waits_for_threads(thread: u32) -> bool {
        let start = Instant::now();
        loop {
            match Call::of(thread) {
                // It may still be on its way, in a lock of its first word.
                Some(call) if start.elapsed() > Duration::from_millis(50) => {
                    return call.waits_for_threads(&all().unwrap());
                }
                _ => thread::yield_now(),
            }
            assert!(start.elapsed() < Duration::from_secs(10), "it never sleeps");
        }
    }

    /// A thread that waits for one of these, and a way to end it.
    fn epoll_with(watch: impl FnOnce(&Epoll)) -> (u32, JoinHandle<()>, EventFd) {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let event = EventFd::new().unwrap();
        epoll
            .add(&event, EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .unwrap();
        watch(&epoll);
        let (thread, handle) = thread_that(move || {
            let mut events = [EpollEvent::empty()];
            epoll.wait(&mut events, EpollTimeout::NONE).unwrap();
        });
        (thread, handle, event)
    }

    #[test]
    fn who_waits_for_another_thread_is_told_from_who_may_go_on() {
        let (stop, stopped) = mpsc::channel::<()>();
        let (parked, first) = thread_that(move || assert!(stopped.recv().is_err()));
        assert!(waits_for_threads(parked));
        let (joining, second) = thread_that(move || first.join().unwrap());
        assert!(waits_for_threads(joining));

        let (sleeping, third) = thread_that(|| thread::sleep(Duration::from_secs(2)));
        assert!(!waits_for_threads(sleeping));
        let (timed, fourth) = thread_that(move || thread::park_timeout(Duration::from_secs(100)));
        assert!(!waits_for_threads(timed));
        fourth.thread().unpark();

        let (mut reader, writer): (PipeReader, _) = pipe().unwrap();
        let (reading, fifth) = thread_that(move || assert_eq!(reader.read(&mut [0]).unwrap(), 0));
        assert!(!waits_for_threads(reading));
        drop((stop, writer));
        for handle in [second, third, fourth, fifth] {
            handle.join().unwrap();
        }
    }

    #[test]
    fn an_executor_that_only_it_can_wake_waits_for_threads() {
        let watch = |epoll: &Epoll, end: &UnixStream| {
            epoll
                .add(end, EpollEvent::new(EpollFlags::EPOLLIN, 1))
                .unwrap();
        };
        let (mut left, right) = UnixStream::pair().unwrap();
        let (own, first, event) = epoll_with(|epoll| watch(epoll, &right));
        assert!(waits_for_threads(own));
        left.write_all(b"x").unwrap();
        first.join().unwrap();
        drop(event);

        let (reader, _writer) = pipe().unwrap();
        let (outside, second, event) = epoll_with(|epoll| {
            epoll
                .add(&reader, EpollEvent::new(EpollFlags::EPOLLIN, 1))
                .unwrap();
        });
        assert!(!waits_for_threads(outside));
        event.write(1).unwrap();
        second.join().unwrap();
    }

    #[test]
    fn a_process_in_which_somebody_sleeps_for_a_time_may_go_on() {
        let (thread, handle) = thread_that(|| thread::sleep(Duration::from_secs(2)));
        assert!(may_go_on(&BTreeSet::from([thread + 1])));
        handle.join().unwrap();
    }
}
