//! What callers do for their calls themselves, so that nobody need be woken for it.
//!
//! # A burst
//! Whoever makes many calls at once, as `join_all` and `buffer_unordered` do, makes them first and begins them then, one
//! right after the other. So calls are counted as they are made, and as long as others are coming those that begin wait
//! for company: they leave together with the last one, or a few at a time, so that the worker has something to do.
//!
//! # A look
//! When no other is coming, whoever has begun a call is about to wait. Then it looks at the worker's socket for a short
//! while, as a thread that receives does (`link/waiting.rs`): otherwise each answer would come by the reactor, two wake-ups
//! later. It looks until something came. That may be the answers of others, whose tasks are woken by it: mostly they are
//! this thread's own.
//!
//! Deliberately absent: a look at several workers, and at one whose calls take longer than a look.

#[cfg(test)]
mod order_tests;

use super::{Crew, State, Ticket};
use crate::{hub::Hub, link::Link, spin::SPIN};
use std::{
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicUsize, Ordering::*},
    },
    time::{Duration, Instant},
};

/// What callers are about to do, as far as that can be known.
#[derive(Default)]
pub(super) struct Tally {
    /// Calls that were made and have not begun.
    coming: AtomicUsize,
    /// Calls whose task was woken and has not taken the answer. For a moment less, if it is quicker than the count.
    pub(super) ripe: AtomicIsize,
}

impl Crew {
    /// A call was made: it will begin, or be forgotten.
    pub(crate) fn handle_made(&self) {
        self.tally.coming.fetch_add(1, SeqCst);
    }

    /// It begins now, or never.
    pub(crate) fn handle_begun(&self) {
        self.tally.coming.fetch_sub(1, SeqCst);
    }

    /// A task that was woken has its answer, or wants none.
    pub(crate) fn handle_picked(self: &Arc<Crew>, ticket: &Ticket) {
        let was_woken = isize::from(ticket.has_woken());
        let ripe = self.tally.ripe.fetch_sub(was_woken, SeqCst) - was_woken;
        if ripe <= 0 && self.tally.coming.load(SeqCst) == 0 {
            self.rest();
        }
    }

    /// Looks for the answer for a short while, if no other call is coming and looking pays.
    pub(crate) fn look_for(self: &Arc<Crew>, id: u64, ticket: &Ticket) {
        if self.tally.coming.load(SeqCst) > 0 {
            return;
        }
        let Some((worker, link)) = self.worth_a_look(id) else {
            return;
        };
        link.lease();
        match self.look_again(worker, ticket) {
            true => link.hub.spin.handle_won(),
            false => link.hub.spin.handle_lost(),
        }
        self.keep(worker);
    }

    /// Looks until something came, or for a short while. Says whether it did.
    fn look_again(self: &Arc<Crew>, worker: u32, ticket: &Ticket) -> bool {
        let end = Instant::now() + SPIN;
        let mut came = false;
        while !came && Instant::now() < end {
            let mut state = self.lock();
            came = state.hear_at_once(worker) || ticket.is_done();
            if came {
                self.has_news.store(true, SeqCst);
            }
            self.finish(state);
            std::hint::spin_loop();
        }
        came
    }

    /// A caller has looked, and the next one soon may: the bell is heard again.
    fn keep(self: &Arc<Crew>, worker: u32) {
        let mut state = self.lock();
        if let Some(hand) = state.hands.get_mut(&worker) {
            let may_have_more = hand.keep();
            self.is_keeping.store(true, SeqCst);
            if may_have_more && state.hear_arrived(worker) {
                self.has_news.store(true, SeqCst);
            }
        }
        if state.is_alarm_over() {
            self.has_news.store(true, SeqCst); // It may have rung while nobody listened.
        }
        self.finish(state);
    }

    /// The worker that has this call, and the connection to it, which is nobody's for the time of a look.
    fn worth_a_look(self: &Arc<Crew>, id: u64) -> Option<(u32, Arc<Link>)> {
        let mut state = self.lock();
        let worker = state.leave_to_caller(id);
        self.finish(state);
        worker
    }

    /// Whoever waits from now on is told by the reactor; unless tasks are awake that will look again.
    pub(crate) fn rest(self: &Arc<Crew>) {
        if self.tally.ripe.load(SeqCst) > 0 || !self.is_keeping.load(SeqCst) {
            return;
        }
        let state = self.lock();
        // Otherwise nobody waits.
        if state.plan.handed() > 0 {
            self.is_keeping.store(false, SeqCst);
            for hand in state.hands.values().filter(|hand| hand.is_kept()) {
                hand.news.mark();
                self.has_news.store(true, SeqCst);
            }
        }
        self.finish(state);
    }
}

/// Calls that follow each other at once, for as long as this lives. The last words leave with its end.
pub(crate) struct Burst(Arc<Crew>);

impl Burst {
    pub(crate) fn new(crew: Arc<Crew>) -> Burst {
        crew.handle_made();
        Burst(crew)
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.0.handle_begun();
        self.0.finish(self.0.lock());
    }
}

impl State {
    /// A call begins: whether it is one of many is seen by how soon it follows.
    pub(super) fn handle_beginning(&mut self) {
        let now = Instant::now();
        let before = self.called.replace(now);
        self.is_burst = before.is_some_and(|before| now - before < BURST_GAP_MAX);
    }

    /// Leaves the worker that has this call to a caller that looks at its socket, if that is worth it.
    fn leave_to_caller(&mut self, id: u64) -> Option<(u32, Arc<Link>)> {
        let (worker, expected) = self.plan.handed_to(id)?;
        let hand = self.hands.get_mut(&worker)?;
        let link = hand.link().clone();
        if expected >= SPIN || link.turn.has_owner() || !link.hub.spin.pays() {
            return None;
        }
        hand.leave();
        Some((worker, link))
    }

    /// Where words wait that are to leave now.
    pub(super) fn hub_to_flush(&mut self) -> Option<Arc<Hub<Link>>> {
        let is_burst = self.is_burst && self.tally.coming.load(SeqCst) > 0;
        if self.unsent == 0 || (is_burst && self.unsent < COMPANY) {
            return None;
        }
        self.unsent = 0;
        let hand = self.hands.values().next()?;
        Some(hand.link().hub.clone())
    }

    /// Takes all that a worker has said, up to a batch. Says whether that was anything.
    fn hear_at_once(&mut self, worker: u32) -> bool {
        for count in 0..COMPANY {
            let Some(hand) = self.hands.get_mut(&worker) else {
                return true; // It ended.
            };
            let Some(heard) = hand.hear_at_once() else {
                return count > 0;
            };
            self.handle(worker, heard);
        }
        true
    }

    /// Takes all that a worker has said and was read already. Says whether that was anything.
    fn hear_arrived(&mut self, worker: u32) -> bool {
        let mut came = false;
        while let Some(hand) = self.hands.get(&worker)
            && let Some(heard) = hand.hear_arrived()
        {
            self.handle(worker, heard);
            came = true;
        }
        came
    }
}

/// How many words to a worker leave together, or are heard together: few enough that both sides are at work at once.
const COMPANY: usize = 16;

/// Calls that follow each other by less are of one burst.
const BURST_GAP_MAX: Duration = Duration::from_micros(20);
