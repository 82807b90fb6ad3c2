//! The reactor's look at what this process waits for: once it has waited for longer than a moment its monitor is told,
//! and told again when that is over.
//!
//! # Whether it does nothing else
//! A process that only waits cannot go on until one of those it waits for does. To say so wrongly would have a person
//! look for a mistake that there is none of, so it is said only where all is known: every thread sleeps for something
//! that is told of or for another thread (`deploy_sys::threads`), nothing was asked of the monitor but ends, all that was
//! sent has arrived, and all calls of pools are with workers.
//!
//! Deliberately absent: who else waits, and for whom, which only the head of the job knows.

use crate::{
    control::Control,
    links::Links,
    pool,
    waits::{self, Waiting},
};
use deploy_wire::wait::{Awaited, WAITS_MAX, Waits};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

#[derive(Default)]
pub(crate) struct Lookout {
    /// When to look again; nothing, while nobody waits.
    due: Option<Instant>,
    /// How long it was to be until then.
    pause: Duration,
    /// When it was looked last, and how many waits there had been then: earlier ones last since.
    looked: Option<Instant>,
    horizon: u64,
    /// Since when those last that were seen at least twice.
    since: BTreeMap<u64, Instant>,
    /// Which waits the monitor was told of, and whether they were all.
    told: Option<(Vec<u64>, bool)>,
}

/// All waits, those of tasks included.
struct Sight {
    /// By their numbers.
    seen: BTreeMap<u64, (deploy_wire::pid::Pid, Waiting)>,
    threads: BTreeSet<u32>,
    ends: usize,
    /// Whether the calls of pools are known.
    is_whole: bool,
}

impl Lookout {
    /// When [`Lookout::turn`] has something to do, whatever happens in the meantime.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Looks, if it is time.
    pub(crate) fn turn(&mut self, now: Instant, control: &Control, links: &Links) {
        if waits::take_change() {
            waits::expect_changes(0);
            if self.told.take().is_some() {
                control.tell_waits(Waits::default());
            }
            self.rest(now);
        }
        match self.due {
            Some(due) if due <= now => self.look(now, control, links),
            Some(due) if due <= now + MOMENT => {}
            _ if waits::is_watched() => self.rest(now),
            _ => {}
        }
    }

    /// Looks again in a moment, at what lasts since now.
    fn rest(&mut self, now: Instant) {
        self.horizon = waits::numbers();
        self.looked = Some(now);
        self.pause = MOMENT;
        self.due = Some(now + MOMENT);
    }

    fn look(&mut self, now: Instant, control: &Control, links: &Links) {
        let numbers = waits::numbers();
        waits::expect_changes(self.horizon); // Before looking, so that none of these ends unnoticed.
        let sight = Sight::take(links);
        if sight.seen.is_empty() && sight.is_whole {
            waits::expect_changes(0);
            self.since.clear();
            self.due = None;
            return waits::stop_watching(numbers);
        }
        self.since
            .retain(|number, _| sight.seen.contains_key(number));
        let since = self.looked.unwrap_or(now);
        for number in sight.seen.range(..self.horizon).map(|(number, _)| *number) {
            self.since.entry(number).or_insert(since);
        }
        let is_all = self.since.len() == sight.seen.len() && sight.is_still(control, links);
        self.tell(now, &sight, is_all, control);
        self.horizon = numbers;
        self.looked = Some(now);
        self.due = Some(now + self.pause);
        if self.pause > MOMENT {
            waits::stop_watching(numbers);
        }
    }

    /// Tells what is new. Where nothing is it looks less and less often, so that who waits for days is not woken.
    fn tell(&mut self, now: Instant, sight: &Sight, is_all: bool, control: &Control) {
        let told = (self.since.keys().copied().collect::<Vec<u64>>(), is_all);
        if told.0.is_empty() || self.told.as_ref() == Some(&told) {
            self.pause = match told.0.is_empty() {
                true => MOMENT,
                false => PAUSE_MAX.min(self.pause * 2),
            };
            return;
        }
        let list = self.since.iter().take(WAITS_MAX).map(|(number, since)| {
            let (peer, waiting) = &sight.seen[number];
            waiting.told(*peer, now.saturating_duration_since(*since))
        });
        let list = list.collect();
        control.tell_waits(Waits { list, is_all });
        self.told = Some(told);
        self.pause = MOMENT;
    }
}

impl Sight {
    fn take(links: &Links) -> Sight {
        let mut sight = Sight {
            seen: BTreeMap::new(),
            threads: BTreeSet::new(),
            ends: 0,
            is_whole: true,
        };
        for entry in waits::entries() {
            sight.threads.extend(entry.thread);
            sight.ends += usize::from(entry.waiting.what == Awaited::End);
            sight.seen.insert(entry.number, (entry.peer, entry.waiting));
        }
        for link in links.all() {
            if let Some(wait) = link.turn.owners_wait() {
                sight.threads.insert(wait.thread);
                sight.seen.insert(wait.number, (link.peer, wait.waiting));
            }
            let tasks = link.turn.waits();
            let tasks = tasks.into_iter();
            sight
                .seen
                .extend(tasks.map(|(number, waiting)| (number, (link.peer, waiting))));
        }
        match pool::awaited() {
            Some(calls) => sight.seen.extend(calls),
            None => sight.is_whole = false,
        }
        sight
    }

    /// Whether nothing goes on but these waits.
    fn is_still(&self, control: &Control, links: &Links) -> bool {
        let has_arrived = || {
            let mut links = links.all().into_iter();
            links.all(|link| link.has_ended() || !link.has_unacknowledged())
        };
        self.is_whole
            && self.seen.len() <= WAITS_MAX
            && control.asked() == self.ends
            && has_arrived()
            && !deploy_sys::threads::may_go_on(&self.threads)
    }
}

/// What a person would not yet call waiting. The monitor hears of it when it has lasted for one to two of these.
const MOMENT: Duration = Duration::from_secs(1);

/// A process that waits for ever is woken so seldom that it costs nothing.
const PAUSE_MAX: Duration = Duration::from_secs(64);
