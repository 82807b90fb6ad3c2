//! The plan by itself: workers and calls that are numbers, and times that are said.

use super::{
    Limits, Rules,
    plan::{Deed, Plan},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

fn plan(replicas_min: usize, replicas_max: usize, in_flight: usize) -> Plan {
    Plan::new(Rules {
        replicas_min,
        replicas_max,
        in_flight,
        idle: Duration::from_secs(10),
    })
}

fn limits(retries: u32) -> Limits {
    Limits {
        retries,
        timeout: None,
    }
}

fn deeds(plan: &mut Plan, now: Instant) -> Vec<Deed> {
    std::iter::from_fn(|| plan.poll_deed(now)).collect()
}

#[test]
fn the_first_call_starts_the_least_number_and_a_burst_of_long_ones_the_most() {
    let (mut plan, now) = (plan(2, 4, 64), Instant::now());
    assert_eq!(deeds(&mut plan, now), []);
    for id in 0..10 {
        plan.handle_call(id, 1, limits(2));
    }
    assert_eq!(deeds(&mut plan, now), [Deed::Start(0), Deed::Start(1)]);
    plan.handle_started(0);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(0, 0)]);
    plan.handle_started(1);
    // One at a time beyond them.
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(1, 1), Deed::Start(2)]);
    plan.handle_started(2);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(2, 2), Deed::Start(3)]);
    plan.handle_started(3);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(3, 3)]);
}

#[test]
fn calls_that_take_microseconds_share_a_worker_and_start_no_other() {
    let (mut plan, now) = (plan(1, 8, 64), Instant::now());
    plan.handle_call(0, 1, limits(2));
    deeds(&mut plan, now);
    plan.handle_started(0);
    plan.handle_ready(0, now);
    deeds(&mut plan, now);
    plan.handle_answer(0, 0, Some(Duration::from_micros(5)), now);
    for id in 1..100 {
        plan.handle_call(id, 1, limits(2));
    }
    let done = deeds(&mut plan, now);
    let handed = |deed: &Deed| matches!(deed, Deed::Hand(0, _));
    assert!(done.len() == 64 && done.iter().all(handed), "{done:?}");
}

#[test]
fn what_dies_with_its_worker_is_repeated_alone_and_then_an_error() {
    let (mut plan, now) = (plan(1, 1, 64), Instant::now());
    plan.handle_call(0, 1, limits(2));
    deeds(&mut plan, now);
    plan.handle_started(0);
    deeds(&mut plan, now);
    plan.handle_answer(0, 0, Some(Duration::from_micros(5)), now);
    // The second of three kills its worker whenever it runs.
    for id in 1..4 {
        plan.handle_call(id, 1, limits(2));
    }
    assert_eq!(
        deeds(&mut plan, now),
        [Deed::Hand(0, 1), Deed::Hand(0, 2), Deed::Hand(0, 3)]
    );
    plan.handle_answer(0, 1, Some(Duration::from_micros(5)), now);
    assert_eq!(plan.handle_end(0), []);
    for worker in [1, 2] {
        assert_eq!(deeds(&mut plan, now), [Deed::Start(worker)]);
        plan.handle_started(worker);
        assert_eq!(deeds(&mut plan, now), [Deed::Hand(worker, 2)]);
        let failed = if worker == 2 { vec![(2, 3)] } else { vec![] };
        assert_eq!(plan.handle_end(worker), failed);
    }
    assert_eq!(deeds(&mut plan, now), [Deed::Start(3)]);
    plan.handle_started(3);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(3, 3)]);
}

#[test]
fn what_lies_behind_a_long_call_is_asked_back_and_goes_to_another_in_its_order() {
    let (mut plan, now) = (plan(2, 2, 64), Instant::now());
    plan.handle_call(0, 1, limits(2));
    deeds(&mut plan, now);
    plan.handle_started(0);
    plan.handle_ready(0, now);
    deeds(&mut plan, now);
    plan.handle_answer(0, 0, Some(Duration::from_micros(5)), now);
    for id in 1..5 {
        plan.handle_call(id, 1, limits(2));
    }
    let handed = (1..5).map(|id| Deed::Hand(0, id)).collect::<Vec<_>>();
    assert_eq!(deeds(&mut plan, now), handed);
    plan.handle_started(1);
    plan.handle_ready(1, now);
    let later = plan.poll_timeout().unwrap();
    let asked = [4, 3, 2].map(|id| Deed::CallOff(0, id));
    assert_eq!(deeds(&mut plan, later), asked);
    // The last is given back, the one before it had begun when the word came, and then its worker gets others again.
    plan.handle_given_back(0, 4);
    assert_eq!(deeds(&mut plan, later), [Deed::Hand(1, 4)]);
    plan.handle_call(5, 1, limits(2));
    assert_eq!(deeds(&mut plan, later), [Deed::Hand(1, 5)]);
    plan.handle_answer(0, 1, Some(Duration::from_secs(1)), later);
    plan.handle_answer(0, 2, Some(Duration::from_micros(5)), later);
    plan.handle_given_back(0, 3);
    assert_eq!(deeds(&mut plan, later), [Deed::Hand(0, 3)]);
}

#[test]
fn without_retries_a_call_is_alone_and_runs_once() {
    let (mut plan, now) = (plan(1, 1, 64), Instant::now());
    for id in 0..3 {
        plan.handle_call(id, 1, limits(0));
    }
    deeds(&mut plan, now);
    plan.handle_started(0);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(0, 0)]);
    plan.handle_answer(0, 0, Some(Duration::from_nanos(1)), now);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(0, 1)]);
    assert_eq!(plan.handle_end(0), [(1, 1)]);
}

#[test]
fn a_refusal_fails_nothing_as_long_as_there_is_a_worker() {
    let (mut plan, now) = (plan(1, 8, 64), Instant::now());
    for id in 0..3 {
        plan.handle_call(id, 1, limits(2));
    }
    deeds(&mut plan, now);
    plan.handle_started(0);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(0, 0), Deed::Start(1)]);
    assert!(plan.handle_refused(now).is_empty());
    assert_eq!(deeds(&mut plan, now), []);
    let again = plan.poll_timeout().unwrap();
    assert_eq!(deeds(&mut plan, again), [Deed::Start(2)]);
    assert!(plan.handle_refused(again).is_empty());
    // The only one dies: the next is asked for at once, in its place, and is not to be had either.
    assert_eq!(plan.handle_end(0), []);
    assert_eq!(deeds(&mut plan, again), [Deed::Start(3)]);
    assert_eq!(plan.handle_refused(again), [0, 1, 2]);
    assert_eq!(
        (deeds(&mut plan, again), plan.poll_timeout()),
        (vec![], None)
    );
}

#[test]
fn a_refusal_is_forgotten_with_the_last_worker_that_was_let_go() {
    let (mut plan, now) = (plan(0, 2, 64), Instant::now());
    for id in 0..2 {
        plan.handle_call(id, 1, limits(2));
    }
    deeds(&mut plan, now);
    plan.handle_started(0);
    plan.handle_ready(0, now);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(0, 0), Deed::Start(1)]);
    let idle = now + Duration::from_secs(10);
    assert!(plan.handle_refused(idle).is_empty());
    for id in 0..2 {
        plan.handle_answer(0, id, Some(Duration::from_secs(1)), now);
        deeds(&mut plan, now);
    }
    assert_eq!(deeds(&mut plan, idle), [Deed::Dismiss(0)]);
    plan.handle_call(2, 1, limits(2));
    assert_eq!(deeds(&mut plan, idle), [Deed::Start(2)]);
}

#[test]
fn workers_without_work_are_let_go_but_for_the_least_number() {
    let (mut plan, now) = (plan(1, 2, 64), Instant::now());
    plan.handle_call(0, 1, limits(2));
    plan.handle_call(1, 1, limits(2));
    deeds(&mut plan, now);
    for worker in 0..2 {
        plan.handle_started(worker);
        plan.handle_ready(worker, now);
        deeds(&mut plan, now);
    }
    for worker in 0..2 {
        plan.handle_answer(worker, u64::from(worker), Some(Duration::from_secs(1)), now);
    }
    assert_eq!(deeds(&mut plan, now), []);
    let due = plan.poll_timeout().unwrap();
    assert_eq!(due, now + Duration::from_secs(10));
    assert_eq!(deeds(&mut plan, due), [Deed::Dismiss(1)]);
    assert_eq!(plan.poll_timeout(), None);
}

#[test]
fn a_call_that_takes_too_long_has_its_worker_killed_and_is_not_repeated() {
    let (mut plan, now) = (plan(1, 1, 64), Instant::now());
    let timeout = Some(Duration::from_secs(1));
    plan.handle_call(
        0,
        1,
        Limits {
            retries: 9,
            timeout,
        },
    );
    deeds(&mut plan, now);
    plan.handle_started(0);
    deeds(&mut plan, now);
    assert_eq!(plan.poll_timeout(), None); // Its worker is being born.
    let begun = now + Duration::from_secs(5);
    plan.handle_ready(0, begun);
    let due = plan.poll_timeout().unwrap();
    assert_eq!(due, begun + Duration::from_secs(1));
    assert_eq!(deeds(&mut plan, due), [Deed::Kill(0, 0)]);
    assert_eq!(plan.handle_end(0), []);
    assert_eq!(deeds(&mut plan, due), []);
}

#[test]
fn a_call_that_is_called_off_before_it_is_handed_out_never_is() {
    let (mut plan, now) = (plan(1, 1, 1), Instant::now());
    for id in 0..3 {
        plan.handle_call(id, 1, limits(2));
    }
    deeds(&mut plan, now);
    plan.handle_started(0);
    deeds(&mut plan, now);
    plan.handle_called_off(1);
    plan.handle_called_off(0);
    assert_eq!(deeds(&mut plan, now), [Deed::CallOff(0, 0)]);
    plan.handle_answer(0, 0, Some(Duration::ZERO), now);
    assert_eq!(deeds(&mut plan, now), [Deed::Hand(0, 2)]);
}

/// Whatever happens in whatever order, each call ends once, and no bound is broken.
#[test]
fn every_call_ends_once() {
    for seed in 0..2000 {
        Run::new(seed).run();
    }
}

/// A life of a pool, by a seed.
struct Run {
    seed: u64,
    random: u64,
    now: Instant,
    plan: Plan,
    replicas_max: usize,
    in_flight: usize,
    /// What each worker has, and those that are being started.
    workers: BTreeMap<u32, VecDeque<u64>>,
    starting: Vec<u32>,
    waited_for: BTreeSet<u64>,
    runs: BTreeMap<u64, u32>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let (replicas_max, in_flight) = (1 + seed as usize % 4, 1 + seed as usize % 7);
        Run {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Instant::now(),
            plan: plan(seed as usize % 2, replicas_max, in_flight),
            replicas_max,
            in_flight,
            workers: BTreeMap::new(),
            starting: Vec::new(),
            waited_for: BTreeSet::new(),
            runs: BTreeMap::new(),
        }
    }

    fn next(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn run(mut self) {
        for id in 0..40 {
            let retries = self.next(3) as u32;
            let timeout = (self.next(8) == 0).then_some(Duration::from_millis(5));
            let function = self.next(3) as i64;
            self.plan
                .handle_call(id, function, Limits { retries, timeout });
            self.waited_for.insert(id);
            for _ in 0..self.next(4) {
                self.step(true);
            }
        }
        for _ in 0..10_000 {
            if self.waited_for.is_empty() {
                return;
            }
            self.step(false);
        }
        panic!("seed {}: {:?} never end", self.seed, self.waited_for);
    }

    fn step(&mut self, is_wild: bool) {
        let passed = self.next(4);
        self.now += Duration::from_millis(passed);
        self.act();
        match self.next(if is_wild { 6 } else { 3 }) {
            0 => self.be_born(),
            1 | 2 => self.work(),
            3 if self.next(4) == 0 => self.die(),
            4 => {
                if let Some(id) = self.waited_for.first().copied() {
                    self.plan.handle_called_off(id);
                    self.waited_for.remove(&id);
                }
            }
            _ => {}
        }
        self.act();
    }

    fn act(&mut self) {
        while let Some(deed) = self.plan.poll_deed(self.now) {
            match deed {
                Deed::Start(worker) => self.starting.push(worker),
                Deed::Hand(worker, id) => {
                    self.workers.get_mut(&worker).unwrap().push_back(id);
                    *self.runs.entry(id).or_default() += 1;
                }
                Deed::CallOff(worker, id) => self.give_back(worker, id),
                Deed::Dismiss(worker) => assert!(self.workers.remove(&worker).unwrap().is_empty()),
                Deed::Kill(worker, id) => {
                    assert!(self.workers[&worker].contains(&id));
                    self.waited_for.remove(&id);
                    self.end(worker);
                }
            }
        }
        assert!(
            self.workers.len() + self.starting.len() <= self.replicas_max,
            "seed {}",
            self.seed
        );
        let handed: usize = self.workers.values().map(VecDeque::len).sum();
        assert!(handed <= self.in_flight, "seed {}", self.seed);
        // Otherwise the time would pass unheard: workers are what rings.
        let is_heard = self.workers.len() + self.starting.len() > 0;
        let is_timed = self.plan.poll_timeout().is_some();
        assert!(is_heard || !is_timed, "seed {}", self.seed);
    }

    /// A worker is asked for a call, which it may have begun.
    fn give_back(&mut self, worker: u32, id: u64) {
        let is_slow = self.next(4) == 0;
        let calls = self.workers.get_mut(&worker).unwrap();
        let place = calls.iter().position(|other| *other == id);
        if let Some(place) = place.filter(|place| *place > 0 && !is_slow) {
            calls.remove(place);
            *self.runs.get_mut(&id).unwrap() -= 1;
            self.plan.handle_given_back(worker, id);
        }
    }

    fn be_born(&mut self) {
        let Some(worker) = self.starting.pop() else {
            return;
        };
        if self.next(4) == 0 {
            for id in self.plan.handle_refused(self.now) {
                assert!(self.waited_for.remove(&id), "seed {}: {id}", self.seed);
            }
            return;
        }
        self.workers.insert(worker, VecDeque::new());
        self.plan.handle_started(worker);
        self.plan.handle_ready(worker, self.now);
    }

    fn work(&mut self) {
        let count = self.workers.len().max(1) as u64;
        let chosen = self.next(count) as usize;
        let Some((worker, calls)) = self.workers.iter_mut().nth(chosen) else {
            return;
        };
        let (worker, id) = (*worker, calls.pop_front());
        let Some(id) = id else { return };
        let took = Duration::from_micros(self.next(5000));
        self.plan.handle_answer(worker, id, Some(took), self.now);
        self.waited_for.remove(&id); // It may have been called off.
    }

    fn die(&mut self) {
        let chosen = self.workers.keys().next().copied();
        if let Some(worker) = chosen {
            self.end(worker);
        }
    }

    fn end(&mut self, worker: u32) {
        self.workers.remove(&worker);
        for (id, deaths) in self.plan.handle_end(worker) {
            assert!(self.waited_for.remove(&id), "seed {}: {id}", self.seed);
            assert!(deaths <= self.runs[&id], "seed {}: {id}", self.seed);
        }
    }
}
