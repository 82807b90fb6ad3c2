//! The workers of a pool and the calls that are on their way to them and back.
//!
//! # Who does the work
//! There is no thread for it. Whoever has news has the crew look at all of it: a caller with a new call, or the reactor,
//! whose bell rings for the workers' connections and for the monitor's answers (`News`). If somebody else is looking just
//! then, the news is marked and that one looks again. No code of the user's runs meanwhile: answers stay encoded until
//! their caller takes them, and callers are woken when the crew's lock is free again.
//!
//! Deliberately absent: which worker gets which call (`plan.rs`), and what callers do beside (`callers.rs`).

mod callers;
mod leaving;
mod state;

pub(crate) use callers::Burst;
pub(crate) use leaving::await_ends;

use super::{
    Rules,
    news::{News, Reader},
    ticket::{Job, Ticket},
};
use crate::waits::{self, Waiting};
use callers::Tally;
use deploy_wire::{pid::Pid, resources::Resources};
use state::State;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicBool, Ordering::*},
    },
    task::Waker,
};

pub(crate) struct Crew {
    resources: Resources,
    /// Whether somebody is to look.
    has_news: AtomicBool,
    /// Whether some worker's socket may be left to callers that look at it themselves.
    is_keeping: AtomicBool,
    tally: Arc<Tally>,
    state: Mutex<State>,
}

impl Crew {
    pub(crate) fn new(rules: Rules, resources: Resources) -> Arc<Crew> {
        let tally = Arc::new(Tally::default());
        Arc::new(Crew {
            resources,
            has_news: AtomicBool::new(false),
            is_keeping: AtomicBool::new(false),
            tally: tally.clone(),
            state: Mutex::new(State::new(rules, tally)),
        })
    }

    /// A call begins. Returns its number and where its answer will be.
    pub(crate) fn call(self: &Arc<Crew>, job: Job) -> (u64, Arc<Ticket>) {
        let ticket = Arc::new(Ticket::new(job));
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.latest = ticket.job.name;
        state.handle_beginning();
        state
            .plan
            .handle_call(id, ticket.job.function, ticket.job.limits);
        state.tickets.insert(id, ticket.clone());
        self.has_news.store(true, SeqCst);
        self.finish(state);
        (id, ticket)
    }

    /// Nobody wants this call any more.
    pub(crate) fn call_off(self: &Arc<Crew>, id: u64) {
        let mut state = self.lock();
        let ticket = state.tickets.remove(&id);
        if let Some(ticket) = ticket {
            waits::over(ticket.number);
            state.plan.handle_called_off(id);
            self.has_news.store(true, SeqCst);
        }
        self.finish(state);
    }

    /// How many workers there are.
    pub(crate) fn size(self: &Arc<Crew>) -> usize {
        let state = self.lock();
        let size = state.hands.len();
        self.finish(state);
        size
    }

    /// Which answers are waited for, as numbered waits, and of which workers; nothing, where something else may go on: a
    /// worker that is being born, a call that waits for one or that has a limit on its time.
    pub(crate) fn awaited(self: &Arc<Crew>) -> Option<Vec<(u64, (Pid, Waiting))>> {
        let state = self.state.try_lock().ok()?;
        let awaited = state.awaited();
        self.finish(state);
        awaited
    }

    /// Looks at the news there are, and lets go of the lock.
    fn finish<'a>(self: &'a Arc<Crew>, mut state: MutexGuard<'a, State>) {
        loop {
            while self.has_news.swap(false, SeqCst) {
                state.turn(self);
            }
            let woken = std::mem::take(&mut state.woken);
            let hub = state.hub_to_flush();
            drop(state);
            if let Some(hub) = hub {
                hub.flush();
            }
            woken.into_iter().for_each(Waker::wake);
            // What came between the look and the letting go found the lock held.
            if !self.has_news.load(SeqCst) {
                return;
            }
            state = match self.state.try_lock() {
                Ok(state) => state,
                Err(TryLockError::Poisoned(state)) => state.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
        }
    }

    /// To be let go of by [`Crew::finish`]: who has news meanwhile leaves them to whoever holds it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(self: &Arc<Crew>) -> Arc<News> {
        let reader: Weak<Crew> = Arc::downgrade(self);
        News::new(reader)
    }
}

/// Each is the only one for what its pool's calls need.
impl PartialEq for Crew {
    fn eq(&self, other: &Crew) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Reader for Crew {
    /// Unless somebody else is looking, who then looks again.
    fn look(self: Arc<Crew>) {
        self.has_news.store(true, SeqCst);
        match self.state.try_lock() {
            Ok(state) => self.finish(state),
            Err(TryLockError::Poisoned(state)) => self.finish(state.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}
