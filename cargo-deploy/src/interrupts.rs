//! What a signal to `cargo deploy` means for the job, and how it came about that the job ended.
//!
//! A plain machine, but for the thread that waits for signals. On the cluster nobody gets what the keys of this terminal
//! send, so it is passed on, but for SIGHUP: who closes the terminal can come back to the job.

use deploy_sys::signal::{self, Caught, Signals};
use deploy_wire::exit::{ExitStatus, Reason};
use nix::{
    libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What has come so far.
#[derive(Default, Debug)]
pub struct Interrupts {
    /// The signals that came, and when each did last.
    last: BTreeMap<i32, Instant>,
    has_killed: bool,
    /// The last signal that was passed on, for whom the kill stands.
    asked: Option<i32>,
}

/// What to do about a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// The job's processes are to get this signal; SIGKILL ends the job.
    PassOn(i32),
    /// So they are, but they were to get the same before; whoever could not be reached for that is not waited for any more.
    Again(i32),
    /// The person goes, since the terminal does, or has had enough of waiting for the kill, too. The job hears nothing of it.
    Leave(i32),
    /// We are to be stopped, and the job not: it will wait for us when it has written what we have granted.
    Stop,
}

impl Interrupts {
    /// A signal came.
    pub fn handle(&mut self, caught: Caught, now: Instant) -> Meaning {
        // Programs such as `timeout` signal us and at once our group: that is one request.
        let last = self.last.insert(caught.signal, now);
        let is_again =
            last.is_some_and(|last| caught.from_kernel || now.duration_since(last) > REPEAT_MIN);
        match (caught.signal, is_again) {
            (SIGTSTP, _) => Meaning::Stop,
            (SIGHUP, _) => Meaning::Leave(SIGHUP),
            (SIGINT, true) if self.has_killed => Meaning::Leave(SIGINT),
            (SIGINT, true) => {
                self.has_killed = true;
                Meaning::PassOn(SIGKILL)
            }
            (signal, true) => {
                self.asked = Some(signal);
                Meaning::Again(signal)
            }
            (signal, false) => self.pass_on(signal),
        }
    }

    /// The job gets this signal for another reason.
    pub fn pass_on(&mut self, signal: i32) -> Meaning {
        self.asked = Some(signal);
        Meaning::PassOn(signal)
    }

    /// The person's signal that an end came of, if it did; for SIGKILL the one that was asked before.
    pub fn cause_of(&self, status: ExitStatus) -> Option<i32> {
        match (status.reason(), status.signal()) {
            (Some(Reason::Interrupted), Some(SIGKILL)) => self.asked,
            (Some(Reason::Interrupted), signal) => signal,
            _ => None,
        }
    }
}

/// Catches signals from now on, and calls `tell` with each. When `is_over`, a signal has its usual effect.
pub fn listen(is_over: Arc<AtomicBool>, tell: impl Fn(Caught) + Send + 'static) -> io::Result<()> {
    let mut signals =
        Signals::catch(&[SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP])?;
    let wait = move || loop {
        // An error would be a handler on this thread; then there is something to take.
        let _ = poll(
            &mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)],
            PollTimeout::NONE,
        );
        while let Some(caught) = signals.take() {
            if is_over.load(Ordering::SeqCst) {
                signal::reraise(caught.signal);
            }
            tell(caught);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Shorter than a person presses two keys, longer than a program needs for two calls.
const REPEAT_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::exit::End;

    #[test]
    fn the_second_ctrl_c_kills_and_the_third_leaves_as_a_hangup_does() {
        let (mut interrupts, start) = (Interrupts::default(), Instant::now());
        let mut check = |signal, from_kernel, at_ms, expected| {
            let caught = Caught {
                signal,
                from_kernel,
                sender: 0,
            };
            let now = start + Duration::from_millis(at_ms);
            assert_eq!(interrupts.handle(caught, now), expected, "at {at_ms} ms");
        };
        check(SIGTERM, false, 0, Meaning::PassOn(SIGTERM));
        check(SIGTERM, false, 1, Meaning::PassOn(SIGTERM));
        check(SIGTERM, false, 900, Meaning::Again(SIGTERM));
        check(SIGHUP, true, 950, Meaning::Leave(SIGHUP));
        check(SIGINT, false, 1000, Meaning::PassOn(SIGINT));
        check(SIGINT, false, 1001, Meaning::PassOn(SIGINT));
        check(SIGINT, true, 1002, Meaning::PassOn(SIGKILL));
        check(SIGINT, true, 1003, Meaning::Leave(SIGINT));
    }

    #[test]
    fn a_kill_stands_for_what_was_asked_before() {
        let mut interrupts = Interrupts::default();
        interrupts.pass_on(SIGINT);
        let end = |signal| ExitStatus::new(End::Signal(signal));
        let interrupted = |signal| end(signal).because(Reason::Interrupted);
        assert_eq!(interrupts.cause_of(interrupted(SIGKILL)), Some(SIGINT));
        assert_eq!(interrupts.cause_of(interrupted(SIGTERM)), Some(SIGTERM));
        assert_eq!(interrupts.cause_of(end(SIGKILL)), None);
    }
}
