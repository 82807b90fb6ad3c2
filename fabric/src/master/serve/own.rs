//! The master's own node, beside it on this machine, and how both are stopped.
//!
//! Deliberately absent: how that node is found and started.

use super::Master;
use crate::own_node::Said;
use deploy_sys::{signal::Signals, tell};
use mio::{Interest, Registry, Token, unix::SourceFd};
use std::{
    io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// How far the end of a master has come.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// When it ends at the latest, once it was stopped.
    until: Option<Instant>,
    /// Its node has ended by itself, for this reason.
    why: Option<String>,
    /// Nothing is left of its node: whoever hears of that is all that it is still there for.
    is_alone: bool,
    is_over: bool,
}

impl Ending {
    fn is_over(&self, now: Instant) -> bool {
        self.is_over || self.until.is_some_and(|until| until <= now)
    }

    /// How it ended.
    pub(super) fn outcome(self) -> io::Result<()> {
        self.why.map_or(Ok(()), |why| {
            let why = format!("the node on this machine has ended: {why}");
            Err(io::Error::other(why))
        })
    }
}

/// Has a poll tell of signals.
pub(super) fn register(signals: &Signals, registry: &Registry) -> io::Result<()> {
    let raw = signals.as_raw_fd();
    registry.register(&mut SourceFd(&raw), SIGNALS, Interest::READABLE)
}

impl Master {
    /// Takes in what has come of the node, and of signals, and does what is due of that.
    pub(super) fn look_after_own_node(&mut self, now: Instant) {
        if self.signals.take().is_some() {
            self.stop(now);
        }
        self.own_node.pass_on();
        match self.own_node.hear() {
            Some(Said::Over(why)) if self.ending.until.is_none() => {
                self.ending.why = Some(why);
                self.stop(now);
            }
            Some(Said::Over(_)) | None => {}
            Some(Said::Ended) if self.ending.until.is_some() => {
                self.ending.is_alone = true;
                self.ending.until = Some(now + TOLD_MAX);
            }
            Some(Said::Ended) => tell!("the node on this machine was killed: another begins"),
        }
        let registry = self.poll.registry();
        if self.ending.until.is_none()
            && let Err(error) = self.own_node.begin_again(now, registry, OWN_NODE)
        {
            tell!("{error}; trying again");
        }
    }

    /// When to look after the node, or to end; a node that ended with the master is not begun again.
    pub(super) fn own_deadline(&self) -> Option<Instant> {
        self.ending.until.or_else(|| self.own_node.deadline())
    }

    /// Whether nothing is left to do: the jobs that were over with its node are told to be, so that no client looks for a way
    /// back to them.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ending.is_over(now) || (self.ending.is_alone && !self.has_more_to_tell())
    }

    fn has_more_to_tell(&self) -> bool {
        let mut clients = self.parties.values().filter(|p| p.client_id().is_some());
        !self.unheard.is_empty()
            || self.desk.has_untold_ends()
            || !self.gate.is_empty()
            || clients.any(|client| !client.is_flushed())
    }

    /// Its node kills what runs there, and says goodbye; when nothing is left of it the master ends, too.
    fn stop(&mut self, now: Instant) {
        match self.ending.until {
            None => self.ending.until = Some(now + STOPPED_MAX),
            Some(_) => self.ending.is_over = true, // Whoever asks twice does not want to wait.
        }
        self.ending.is_over |= !self.own_node.stop();
    }
}

/// Behind all others, but for what `mio` may keep for itself.
pub(super) const OWN_NODE: Token = Token(usize::MAX - 2);
pub(super) const SIGNALS: Token = Token(usize::MAX - 3);
/// A node that takes longer to kill its jobs goes on with that by itself.
const STOPPED_MAX: Duration = Duration::from_secs(20);
/// Longer than a disk takes for the ends of jobs, and the network for telling them; clients that are stopped are not waited for.
const TOLD_MAX: Duration = Duration::from_secs(2);
