//! Which worker gets which call, how many workers there are, and what becomes of the calls of one that died.
//!
//! A plain machine: it is told what happened (`handle_*`) and asked what to do (`poll_deed`, `poll_timeout`). It has no
//! process, no bytes and no clock; a call is a number here, and so is a worker.
//!
//! # A call
//! 1. It waits in line. A worker that has nothing to do gets the first one. One that is at work gets more, for as long as
//!    what it has is done soon: so its next call is there when it needs it. How long a function takes is learned from what
//!    came back; one that nothing is known of is handed out alone.
//! 2. Its answer comes, or its worker dies. Then every call that the worker had may have run, the first of them most
//!    likely. Each is repeated, if it may be, and from now on it is alone with its worker: so one that kills whoever runs
//!    it takes no others along for a second time.
//!
//! 3. Where a worker's first call turns out to be long, the calls behind it are asked back, and handed to others when the
//!    worker has said that it had not begun them.
//!
//! # The crew
//! The first call starts the workers that there are at least. Another is started where what waits would wait for longer
//! than a worker takes to begin, one at a time. A refusal ends nothing but that try, unless there is no worker at all. The
//! next try comes a while later, or at once where the last worker has died: its room is free before its end is told.

mod deeds;

use super::{Limits, Rules};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(crate) struct Plan {
    rules: Rules,
    calls: HashMap<u64, Call>,
    /// In the order of asking, those that are to be repeated first. Some of them may be called off by now.
    line: VecDeque<u64>,
    /// How many of them are not.
    waiting: usize,
    members: BTreeMap<u32, Member>,
    starting: usize,
    /// How many workers there ever were.
    numbers: u32,
    /// How many calls are with workers.
    handed: usize,
    paces: HashMap<i64, Pace>,
    deeds: VecDeque<Deed>,
    /// Not before then another worker is asked for, and how many were refused in a row.
    growth_after: Option<Instant>,
    refusals: u32,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// Start a worker, and say what became of it.
    Start(u32),
    /// Hand this call to this worker.
    Hand(u32, u64),
    /// Ask the worker for this call back, if it has not begun: nobody wants it any more, or another worker is quicker.
    CallOff(u32, u64),
    /// Let a worker end that has nothing to do.
    Dismiss(u32),
    /// Kill a worker; this call of its took too long, and was told so.
    Kill(u32, u64),
}

#[derive(Debug)]
struct Call {
    function: i64,
    limits: Limits,
    /// How many workers died that had it.
    deaths: u32,
    /// Who has it, and how long it was expected to take then.
    with: Option<(u32, Duration)>,
    /// Whether somebody waits for it.
    is_wanted: bool,
}

#[derive(Debug)]
struct Member {
    /// In the order in which it runs them.
    calls: VecDeque<u64>,
    /// How long they were expected to take.
    load: Duration,
    /// Whether the first of them must not have company.
    is_alone: bool,
    /// Since when it runs the first of them, or has nothing to do; nothing, as long as it is being born.
    since: Option<Instant>,
    is_leaving: bool,
    /// Whether its first call runs for so long that it gets no others.
    is_held_up: bool,
}

/// How long a function takes.
#[derive(Default, Debug)]
struct Pace {
    /// On the average, later calls counting more; nothing, if none came back.
    expected: Option<Duration>,
    /// How many calls of it wait.
    waiting: usize,
}

impl Plan {
    pub(crate) fn new(rules: Rules) -> Plan {
        Plan {
            rules,
            calls: HashMap::new(),
            line: VecDeque::new(),
            waiting: 0,
            members: BTreeMap::new(),
            starting: 0,
            numbers: 0,
            handed: 0,
            paces: HashMap::new(),
            deeds: VecDeque::new(),
            growth_after: None,
            refusals: 0,
        }
    }

    /// How many calls are with workers.
    pub(crate) fn handed(&self) -> usize {
        self.handed
    }

    /// Which worker has a call, and how long it was expected to take.
    pub(crate) fn handed_to(&self, id: u64) -> Option<(u32, Duration)> {
        self.calls.get(&id)?.with
    }

    /// Whether the worker has any.
    pub(crate) fn is_busy(&self, worker: u32) -> bool {
        let member = self.members.get(&worker);
        member.is_some_and(|member| !member.calls.is_empty())
    }

    /// Somebody calls this function.
    pub(crate) fn handle_call(&mut self, id: u64, function: i64, limits: Limits) {
        let call = Call {
            function,
            limits,
            deaths: 0,
            with: None,
            is_wanted: true,
        };
        self.calls.insert(id, call);
        self.line.push_back(id);
        self.count_waiting(function, 1);
    }

    /// Nobody wants this call any more.
    pub(crate) fn handle_called_off(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.is_wanted = false;
        match call.with {
            Some((worker, _)) => self.deeds.push_back(Deed::CallOff(worker, id)),
            None => {
                let function = call.function;
                self.calls.remove(&id);
                self.count_waiting(function, -1);
                // Otherwise who calls and gives up again and again behind one long call would fill the line.
                if self.line.len() > 2 * self.waiting + LINE_SLACK {
                    self.line.retain(|id| self.calls.contains_key(id));
                }
            }
        }
    }

    /// The worker that was asked for is there.
    pub(crate) fn handle_started(&mut self, worker: u32) {
        self.starting -= 1;
        self.refusals = 0;
        self.growth_after = None;
        let member = Member {
            calls: VecDeque::new(),
            load: Duration::ZERO,
            is_alone: false,
            since: None,
            is_leaving: false,
            is_held_up: false,
        };
        self.members.insert(worker, member);
    }

    /// The worker that was asked for is not to be had. Returns the calls that fail by that: all, if there is none.
    pub(crate) fn handle_refused(&mut self, now: Instant) -> Vec<u64> {
        self.starting -= 1;
        self.growth_after = Some(now + REFUSED_PAUSE * 2u32.pow(self.refusals));
        self.refusals = (self.refusals + 1).min(REFUSALS_COUNTED_MAX);
        if self.members.len() + self.starting > 0 {
            return Vec::new();
        }
        self.growth_after = None;
        let line = std::mem::take(&mut self.line).into_iter();
        let failed: Vec<u64> = line.filter(|id| self.calls.remove(id).is_some()).collect();
        self.paces.values_mut().for_each(|pace| pace.waiting = 0);
        self.waiting = 0;
        failed
    }

    /// The worker has begun.
    pub(crate) fn handle_ready(&mut self, worker: u32, now: Instant) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.since = Some(now);
        }
    }

    /// An answer came, after the call had run for so long; nothing, if it did not run.
    pub(crate) fn handle_answer(
        &mut self,
        worker: u32,
        id: u64,
        took: Option<Duration>,
        now: Instant,
    ) {
        let Some(member) = self.members.get_mut(&worker) else {
            return;
        };
        let Some(place) = member.calls.iter().position(|other| *other == id) else {
            return; // It was told that it took too long.
        };
        member.calls.remove(place);
        member.since = Some(now);
        member.is_alone = false;
        member.is_held_up = false;
        self.handed -= 1;
        let call = self.calls.remove(&id).expect("a call is known to its end");
        let (_, expected) = call.with.expect("whoever answers had it");
        member.load -= expected;
        let Some(took) = took else { return };
        let pace = self.paces.entry(call.function).or_default();
        pace.expected = Some(match pace.expected {
            None => took,
            Some(before) => (before * (PACE_MEMORY - 1) + took) / PACE_MEMORY,
        });
    }

    /// A worker has given back a call that it had not begun.
    pub(crate) fn handle_given_back(&mut self, worker: u32, id: u64) {
        let Some(member) = self.members.get_mut(&worker) else {
            return;
        };
        let Some(place) = member.calls.iter().position(|other| *other == id) else {
            return; // It is leaving.
        };
        member.calls.remove(place);
        self.handed -= 1;
        let call = self.calls.get_mut(&id).expect("a call is known to its end");
        let (_, expected) = call.with.take().expect("whoever gives it back had it");
        member.load -= expected;
        match call.is_wanted {
            true => {
                let function = call.function;
                self.line.push_front(id);
                self.count_waiting(function, 1);
            }
            false => drop(self.calls.remove(&id)),
        }
    }

    /// The worker is dead. Returns the calls that fail by that, and how many workers each has outlived.
    pub(crate) fn handle_end(&mut self, worker: u32) -> Vec<(u64, u32)> {
        let Some(member) = self.members.remove(&worker) else {
            return Vec::new();
        };
        let mut failed = Vec::new();
        for id in member.calls.into_iter().rev() {
            self.handed -= 1;
            let call = self.calls.get_mut(&id).expect("a call is known to its end");
            call.with = None;
            call.deaths += 1;
            let (function, deaths) = (call.function, call.deaths);
            if call.is_wanted && deaths <= call.limits.retries {
                self.line.push_front(id);
                self.count_waiting(function, 1);
                continue;
            }
            if call.is_wanted {
                failed.push((id, deaths));
            }
            self.calls.remove(&id);
        }
        failed
    }

    fn count_waiting(&mut self, function: i64, more: isize) {
        let pace = self.paces.entry(function).or_default();
        pace.waiting = pace.waiting.saturating_add_signed(more);
        self.waiting = self.waiting.saturating_add_signed(more);
    }
}

/// How much work is handed to a worker that has some: enough to hide how long the next call is on its way, and so little
/// that none waits for long behind another while a worker is free. A call that runs for longer than all of it holds up what
/// lies behind it.
pub(crate) const AHEAD: Duration = Duration::from_millis(10);

/// How many places in the line may be kept for calls that were called off: so that few of them cost no look at all.
const LINE_SLACK: usize = 64;

/// Every so many calls the older half of what was learned is forgotten.
const PACE_MEMORY: u32 = 8;

/// How long no other worker is asked for after one was refused; twice as long after each further one, so often.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);
const REFUSALS_COUNTED_MAX: u32 = 5;
