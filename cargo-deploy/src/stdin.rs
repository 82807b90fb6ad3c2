//! Standard input on its way to the job's first process.
//!
//! A terminal is read only while this is its foreground job, as by any program: in the background the read would stop us.
//! Where the terminal goes away there is no end of the input: the one who typed it, or who wrote it into a pipe and was ended by
//! the same hangup, did not say that that was all. We are to end then as by SIGHUP, which may come a little later.
//!
//! How much the other side wants is not known before it has taken it. So [`INPUT_BYTES_MAX`] are read ahead, and kept until
//! they were taken: when a connection is lost, what had not arrived is sent on the next one.

use deploy_sys::{process, signal};
use deploy_wire::client::INPUT_BYTES_MAX;
use mio::Waker;
use nix::{
    errno::Errno,
    libc::{SIGHUP, SIGTTIN},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{getpgrp, tcgetpgrp},
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IsTerminal, Read},
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

/// What was read and not taken yet. One thread reads, and that of the session sends.
#[derive(Default, Debug)]
pub struct Input {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct State {
    kept: VecDeque<u8>,
    /// Of all standard input of the job: where the first that is kept stands, and the first that was not sent.
    first: u64,
    unsent: u64,
    is_over: bool,
    is_end_sent: bool,
    /// Wakes the session's thread.
    waker: Option<Arc<Waker>>,
}

impl Input {
    /// For a job that had so many bytes of input from others before.
    pub fn begin_at(&self, position: u64) {
        let mut state = self.lock();
        (state.first, state.unsent) = (position, position);
    }

    /// Who sends from now on is woken by this.
    pub fn wake_by(&self, waker: Arc<Waker>) {
        self.lock().waker = Some(waker);
    }

    /// So many bytes of the job's input have arrived at the bridge, on a connection that was lost: the others go again.
    pub fn send_again_from(&self, arrived: u64) {
        let mut state = self.lock();
        let end = state.first + state.kept.len() as u64;
        state.unsent = arrived.clamp(state.first, end);
        state.is_end_sent = false;
    }

    /// So many bytes of the job's input were taken by its process.
    pub fn handle_taken(&self, taken: u64) {
        let mut state = self.lock();
        let more = taken.saturating_sub(state.first);
        let count = (more as usize).min(state.kept.len());
        state.kept.drain(..count);
        state.first += count as u64;
        state.unsent = state.unsent.max(state.first);
        self.changed.notify_one();
    }

    /// The next piece to send; an empty one for the end. Nothing if there is none for now.
    pub fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        let start = (state.unsent - state.first) as usize;
        let bytes: Vec<u8> = state
            .kept
            .iter()
            .skip(start)
            .take(PIECE_BYTES)
            .copied()
            .collect();
        if !bytes.is_empty() {
            state.unsent += bytes.len() as u64;
            return Some(bytes);
        }
        let is_end = state.is_over && !state.is_end_sent;
        state.is_end_sent |= is_end;
        is_end.then(Vec::new)
    }

    /// Adds what was read; nothing: its end. Blocks until there is room.
    fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        while (state.kept.len() + bytes.len()) as u64 > INPUT_BYTES_MAX {
            state = self.changed.wait(state).expect(UNPOISONED);
        }
        state.kept.extend(bytes);
        state.is_over |= bytes.is_empty();
        if let Some(waker) = &state.waker {
            // It fails only for want of kernel memory; the thread looks again by itself in a while.
            let _ = waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

/// Starts the thread that reads, until the end of the input. Where there is none, because the terminal went away, it calls
/// `tell_hangup` instead; but not where SIGHUP is ignored, since whoever had that done wants to go on without a terminal.
pub fn read_into(kept: Arc<Input>, tell_hangup: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let has_terminal = has_terminal() && !signal::is_ignored(SIGHUP);
    let stdin = io::stdin();
    let is_terminal = stdin.is_terminal();
    // Std's own reader would take more than it gives.
    let input = File::from(stdin.as_fd().try_clone_to_owned()?);
    let run = move || {
        // Blocked, so that a read that is too late to see that we went to the background fails, and nobody is stopped.
        process::set_blocked_signals(process::blocked_signals() | 1 << (SIGTTIN - 1));
        loop {
            let bytes = next(&input, is_terminal);
            if bytes.is_empty() && has_terminal && !self::has_terminal() {
                return tell_hangup();
            }
            kept.push(&bytes);
            if bytes.is_empty() {
                return;
            }
        }
    };
    thread::Builder::new().name("stdin".into()).spawn(run)?;
    Ok(())
}

/// Whether there is a terminal whose keys reach us. The kernel takes it away before it sends SIGHUP to anybody.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// The next piece; an empty one at the end.
fn next(mut input: &File, is_terminal: bool) -> Vec<u8> {
    let mut bytes = vec![0; PIECE_BYTES];
    loop {
        if is_terminal && !is_in_foreground(input) {
            // Nothing tells when that changes.
            thread::sleep(LOOK_AGAIN);
            continue;
        }
        match input.read(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(input),
            Err(error) if is_terminal && is(&error, Errno::EIO) && !is_in_foreground(input) => {}
            // The terminal has gone, or it is no input at all: nothing will come.
            Err(_) => return Vec::new(),
        }
    }
}

fn is_in_foreground(terminal: &File) -> bool {
    // A terminal that has gone is read, so that this is seen.
    tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
}

/// Somebody who shares it has made it non-blocking.
fn wait(input: &File) {
    // After an error the read says what is wrong.
    let _ = poll(
        &mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)],
        PollTimeout::NONE,
    );
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Half of what a pipe holds: enough for full speed.
const PIECE_BYTES: usize = 32 << 10;
/// Sooner than a person types after `fg`.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const UNPOISONED: &str = "nobody panics while holding it";

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &Input) -> Vec<u8> {
        std::iter::from_fn(|| input.take()).flatten().collect()
    }

    #[test]
    fn what_had_not_arrived_is_sent_again_and_what_had_is_not() {
        let input = Input::default();
        input.begin_at(100);
        input.push(b"abcdef");
        assert_eq!(all(&input), b"abcdef");
        assert_eq!(input.take(), None);
        input.handle_taken(102);
        input.send_again_from(104);
        assert_eq!(all(&input), b"ef");
        input.push(b"g");
        input.push(b"");
        assert_eq!(input.take().unwrap(), b"g");
        assert_eq!(input.take().unwrap(), b"");
        assert_eq!(input.take(), None);
        // The end, too.
        input.send_again_from(107);
        assert_eq!(input.take().unwrap(), b"");
        input.handle_taken(107);
        assert!(input.lock().kept.is_empty());
    }

    #[test]
    fn no_more_is_read_ahead_than_may_be_on_its_way() {
        let input = Arc::new(Input::default());
        let reader = thread::spawn({
            let input = input.clone();
            move || (0..100).for_each(|_| input.push(&vec![7; PIECE_BYTES]))
        });
        let mut taken = 0;
        while taken < 100 * PIECE_BYTES as u64 {
            let Some(bytes) = input.take() else {
                thread::yield_now();
                continue;
            };
            taken += bytes.len() as u64;
            assert!(input.lock().kept.len() as u64 <= INPUT_BYTES_MAX);
            input.handle_taken(taken);
        }
        reader.join().unwrap();
    }
}
