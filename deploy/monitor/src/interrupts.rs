//! What a signal to the monitor means for the processes of the job.
//!
//! A plain machine without a process or a clock. The monitor itself dies of none of these signals: it ends when its
//! processes have ended.
//!
//! A signal that the kernel sent for the terminal's keys reached every process already, since all are in one group;
//! one that a program sent reached the monitor only, and is passed on. So is SIGHUP, whoever sent it: when a terminal
//! goes away, the kernel tells the leader of its session, and that may be the monitor alone. The second SIGINT ends everything: somebody
//! presses Ctrl-C again. Programs such as `timeout` send a signal to us and at once to our group, so the same signal
//! again within [`REPEAT_MIN`] is the same request.

use crate::signals::{SIGCHLD, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use deploy_sys::signal::Caught;
use deploy_wire::exit::{ExitStatus, Reason};
use std::time::{Duration, Instant};

/// The signals that ask something of the job, and SIGCHLD, by which the kernel says that there is something to reap.
pub(crate) const CAUGHT: [i32; 7] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD];

/// What has come so far.
#[derive(Default, Debug)]
pub(crate) struct Interrupts {
    last_sigint: Option<Instant>,
}

/// What to do about a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// A person asked the processes; they know already.
    Asked(i32),
    /// A person asked; the processes are to be told.
    PassOn(i32),
    /// All processes are to be killed.
    KillAll,
    /// A child that nobody waits for may have ended.
    Reap,
}

impl Interrupts {
    /// A signal came.
    pub(crate) fn handle(&mut self, caught: Caught, now: Instant) -> Meaning {
        if caught.signal == SIGCHLD {
            return Meaning::Reap;
        }
        if caught.signal == SIGINT
            && let Some(last) = self.last_sigint.replace(now)
            && (caught.from_kernel || now.duration_since(last) > REPEAT_MIN)
        {
            return Meaning::KillAll;
        }
        match caught.from_kernel && caught.signal != SIGHUP {
            true => Meaning::Asked(caught.signal),
            false => Meaning::PassOn(caught.signal),
        }
    }

    /// The person's signal that an end came of, if it did. After the second SIGINT it was that, by way of SIGKILL.
    pub(crate) fn cause_of(&self, status: ExitStatus) -> Option<i32> {
        match (status.reason(), status.signal()) {
            (Some(Reason::Interrupted), Some(SIGKILL)) => Some(SIGINT),
            (Some(Reason::Interrupted), signal) => signal,
            _ => None,
        }
    }
}

/// Shorter than a person presses two keys, longer than a program needs for two calls.
const REPEAT_MIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signals: &[(i32, bool, u64, Meaning)]) {
        let (mut interrupts, start) = (Interrupts::default(), Instant::now());
        for &(signal, from_kernel, at_ms, meaning) in signals {
            let caught = Caught {
                signal,
                from_kernel,
                sender: 0,
            };
            let now = start + Duration::from_millis(at_ms);
            assert_eq!(
                interrupts.handle(caught, now),
                meaning,
                "{signal} at {at_ms}"
            );
        }
    }

    #[test]
    fn the_terminals_keys_are_not_passed_on_and_other_signals_are() {
        check(&[(SIGQUIT, true, 0, Meaning::Asked(SIGQUIT))]);
        check(&[
            (SIGHUP, true, 0, Meaning::PassOn(SIGHUP)),
            (SIGHUP, false, 1, Meaning::PassOn(SIGHUP)),
        ]);
        check(&[
            (SIGTERM, false, 0, Meaning::PassOn(SIGTERM)),
            (SIGTERM, false, 500, Meaning::PassOn(SIGTERM)),
        ]);
        check(&[(SIGCHLD, true, 0, Meaning::Reap)]);
    }

    #[test]
    fn a_second_ctrl_c_kills_and_an_echo_of_the_first_does_not() {
        check(&[
            (SIGINT, true, 0, Meaning::Asked(SIGINT)),
            (SIGINT, true, 5, Meaning::KillAll),
        ]);
        check(&[
            (SIGINT, false, 0, Meaning::PassOn(SIGINT)),
            (SIGINT, false, 5, Meaning::PassOn(SIGINT)),
            (SIGINT, false, 500, Meaning::KillAll),
        ]);
    }
}
