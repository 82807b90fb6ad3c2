//! The spare: a process started ahead of time, which waits in `init` for its identity.
//!
//! Deliberately absent: any event, number or resource of its own: it is no process of the job until one is asked for.
//!
//! # Its life
//! 1. A process needs nothing of its identity before it reads its certificate. So the program is started once more
//!    [a while](SPARE_AFTER) after a process was asked for, when nobody asks for another just then; at once if many are
//!    asked for without a pause, so that it is started while its asker is on the way to ask. Where one is asked for
//!    [soon](ROW_GAP_MAX) after the other, with work in between, there are [a few](SPARES_IN_ROW). On a cluster its group has the
//!    limits of the latest process, as the next one most likely will.
//! 2. The next process that is asked for is the eldest spare, if there is one: it has only to be told who it is. What it
//!    has written before that has stayed in its pipes, and is its own from then on.
//! 3. Those that are not needed are killed as soon as nobody lives who could ask for them. Where the head is elsewhere, others
//!    may on other machines, whoever lives here: then they stay until the job ends.
//!
//! # Signals
//! The terminal's keys reach the spare as they reach every process, and end it. What another person's signal would have
//! done to it is unknown, so after any of them there are no spares any more. A spare that died of one too early to be
//! noticed is, once it has its identity, a newborn that died of it.

use crate::{child::Child, signals::SIGKILL, watched::Watched};
use deploy_wire::resources::Resources;
use mio::{Interest, Registry, unix::SourceFd};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

/// The spares, and when there will be one more.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// The eldest first.
    children: VecDeque<Child>,
    /// How many there should be.
    wanted: usize,
    due: Option<Instant>,
    /// When the latest process was asked for and had been started, and what it has, as the next most likely will.
    asked: Option<Instant>,
    resources: Resources,
    /// Whether one was dismissed or has ended by itself, as the next would: there are no others.
    is_over: bool,
}

impl Spare {
    /// When to look after it.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The kernel's ids of those that are not reaped.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        self.children.iter().map(|child| child.process.id())
    }

    /// What the next process will have, most likely.
    pub(crate) fn resources(&self) -> Resources {
        self.resources
    }

    /// A process that was asked for at this time, with these resources, was started, for an asker here or elsewhere: another
    /// may follow.
    pub(crate) fn expect(&mut self, asked: Instant, resources: Resources, is_near: bool) {
        self.resources = resources;
        let before = self.asked.replace(Instant::now());
        let follows = |gap| before.is_some_and(|before| asked < before + gap);
        self.wanted = match follows(ROW_GAP_MAX) {
            true => SPARES_IN_ROW,
            false => 1,
        };
        if self.children.len() < self.wanted && !self.is_over {
            // The next one of many comes as soon as its asker has run: it is started meanwhile.
            let begin = match follows(SPARE_AFTER) {
                true => asked,
                false if is_near => Instant::now() + SPARE_AFTER,
                false => Instant::now() + SPARE_AFTER_FAR,
            };
            self.due = Some(begin);
        }
    }

    /// The eldest that lives, if there is one. It is watched by nobody from now on.
    pub(crate) fn take(&mut self, registry: &Registry) -> Option<Child> {
        if self.is_over {
            return None; // What is left of it waits to be reaped.
        }
        let lives = |child: &Child| matches!(child.end(), Ok(None));
        let eldest = self.children.iter().position(lives)?;
        let child = self.children.remove(eldest)?;
        let raw = child.process.as_fd().as_raw_fd();
        // It was registered, so this cannot fail in a way that matters: it is registered anew, or that fails.
        let _ = registry.deregister(&mut SourceFd(&raw));
        Some(child)
    }

    /// Whether it is time to start one.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// It is not, for now.
    pub(crate) fn forget_due(&mut self) {
        self.due = None;
    }

    /// One was started.
    ///
    /// # Errors
    /// If the kernel does not want to tell of its end. Then there are none any more.
    pub(crate) fn insert(
        &mut self,
        child: Child,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let raw = child.process.as_fd().as_raw_fd();
        let watched = registry.register(
            &mut SourceFd(&raw),
            Watched::Spare.token(),
            Interest::READABLE,
        );
        self.children.push_back(child);
        watched.inspect_err(|_| self.dismiss())?;
        if self.children.len() < self.wanted {
            self.due = Some(now); // In the next turn, unless somebody asks before.
        }
        Ok(())
    }

    /// One may have ended. Reaps it, if so, and lets no other follow.
    pub(crate) fn handle_end(&mut self) -> Option<Child> {
        let ended = |child: &mut Child| !matches!(child.reap(), Ok(None));
        let place = self.children.iter_mut().position(ended)?;
        self.dismiss();
        self.children.remove(place)
    }

    /// Kills all there are, and lets no other follow.
    pub(crate) fn dismiss(&mut self) {
        self.is_over = true;
        self.due = None;
        for child in &self.children {
            let _ = child.process.signal(SIGKILL); // Fails only for what has gained rights that we have not.
        }
    }

    /// Gives back at once all that they hold, because it is wanted for something else. Returns those that there were.
    pub(crate) fn release(&mut self) -> VecDeque<Child> {
        self.dismiss();
        let children = std::mem::take(&mut self.children);
        for child in &children {
            let _ = child.process.wait(); // Only the monitor reaps it, and it was killed.
        }
        children
    }
}

/// Long enough for the process that has just begun to get to its work undisturbed, and for those who ask for many to
/// have asked.
const SPARE_AFTER: Duration = Duration::from_micros(300);
/// The same where it is to be connected with another machine first. Who asks from there does not ask again before that.
const SPARE_AFTER_FAR: Duration = Duration::from_micros(1_500);
/// Who asks again so soon, with work in between, asks before the next one could be started.
const ROW_GAP_MAX: Duration = Duration::from_millis(5);
/// So most of those who ask so have one that is ready. Each takes some 160 KiB, and stays until it is needed.
const SPARES_IN_ROW: usize = 4;
