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

use super::{
    Rules,
    error::DistributionError,
    hand::{Hand, Heard},
    message::{Message, Outcome, Reply},
    news::{News, Reader},
    plan::{Deed, Plan},
    ticket::{Answer, Job, Ticket},
    worker,
};
use crate::{
    error::{ChannelError, SpawnError},
    hub::Hub,
    link::{Link, Look},
    pid::Pid,
    process,
    spawn::Builder,
    waits::{self, Waiting},
};
pub(crate) use callers::Burst;
use callers::Tally;
use deploy_wire::{pid, resources::Resources, wait::Awaited};
use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak,
        atomic::{AtomicBool, Ordering::*},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
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

struct State {
    plan: Plan,
    tally: Arc<Tally>,
    tickets: HashMap<u64, Arc<Ticket>>,
    next_id: u64,
    hands: BTreeMap<u32, Hand>,
    births: HashMap<u32, Birth>,
    /// Tasks to wake when the lock is free.
    woken: Vec<Waker>,
    /// How many words to workers wait for company.
    unsent: usize,
    /// When a call began last, and whether that was right after another.
    called: Option<Instant>,
    is_burst: bool,
    /// When the reactor will have somebody look.
    alarm: Option<Instant>,
    /// The process ends: no other worker is started, and no call handed out.
    is_over: bool,
}

/// A worker that was asked for.
struct Birth {
    spawning: Pin<Box<dyn Future<Output = Result<Pid, SpawnError>> + Send>>,
    news: Arc<News>,
}

impl Crew {
    pub(crate) fn new(rules: Rules, resources: Resources) -> Arc<Crew> {
        let tally = Arc::new(Tally::default());
        Arc::new(Crew {
            resources,
            has_news: AtomicBool::new(false),
            is_keeping: AtomicBool::new(false),
            tally: tally.clone(),
            state: Mutex::new(State {
                plan: Plan::new(rules),
                tally,
                tickets: HashMap::new(),
                next_id: 0,
                hands: BTreeMap::new(),
                births: HashMap::new(),
                woken: Vec::new(),
                unsent: 0,
                called: None,
                is_burst: false,
                alarm: None,
                is_over: false,
            }),
        })
    }

    /// A call begins. Returns its number and where its answer will be.
    pub(crate) fn call(self: &Arc<Crew>, job: Job) -> (u64, Arc<Ticket>) {
        let ticket = Arc::new(Ticket::new(job));
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
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
    pub(crate) fn awaited(&self) -> Option<Vec<(u64, (pid::Pid, Waiting))>> {
        let state = self.state.try_lock().ok()?;
        let is_open = |ticket: &Arc<Ticket>| ticket.job.limits.timeout.is_some();
        let is_moving = !state.births.is_empty() || state.plan.handed() < state.tickets.len();
        if is_moving || state.tickets.values().any(is_open) {
            return None;
        }
        let at_work = |id: &u64| {
            let hand = state.hands.get(&state.plan.handed_to(*id)?.0)?;
            Some((state.tickets[id].number, (hand.pid(), ANSWER)))
        };
        state.tickets.keys().map(at_work).collect()
    }

    /// The process ends, and lets its workers go.
    pub(crate) fn retire(self: &Arc<Crew>) -> Vec<Leaver> {
        let patience = Instant::now() + BIRTHS_PATIENCE;
        loop {
            if let Ok(mut state) = self.state.try_lock() {
                state.is_over = true;
                state.hear_births(self);
                if state.births.is_empty() || Instant::now() > patience {
                    return state.let_go();
                }
            } else if Instant::now() > patience {
                return Vec::new(); // Somebody else holds it in the middle of something. They die with this process.
            }
            thread::sleep(BIRTHS_LOOK);
        }
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

impl State {
    /// Hears who has news, and does what follows.
    fn turn(&mut self, crew: &Arc<Crew>) {
        if self.is_over {
            return;
        }
        self.hear_births(crew);
        let told = self.hands.iter().filter(|(_, hand)| hand.news.take());
        let told: Vec<u32> = told.map(|(worker, _)| *worker).collect();
        for worker in told {
            self.hear(worker);
        }
        let now = Instant::now();
        while let Some(deed) = self.plan.poll_deed(now) {
            self.act(crew, deed);
        }
        self.give_up_unsent(crew, now);
        self.set_alarm(now);
    }

    /// Answers the calls that could not be sent to their workers.
    fn give_up_unsent(&mut self, crew: &Arc<Crew>, now: Instant) {
        let unsent = self.hands.iter_mut().flat_map(|(worker, hand)| {
            let unsent = hand.take_unsent().into_iter();
            unsent.map(|(id, why)| (*worker, id, why))
        });
        let unsent: Vec<(u32, u64, String)> = unsent.collect();
        for (worker, id, why) in unsent {
            self.plan.handle_answer(worker, id, None, now);
            self.answer(id, Err(DistributionError::Codec(why)));
            crew.has_news.store(true, SeqCst); // There is room for another.
        }
    }

    /// Takes all that a worker has said, and has its next word be news again.
    fn hear(&mut self, worker: u32) {
        while let Some(hand) = self.hands.get_mut(&worker)
            && let Some(heard) = hand.hear()
        {
            self.handle(worker, heard);
        }
        if let Some(hand) = self.hands.get_mut(&worker) {
            hand.send();
        }
    }

    fn handle(&mut self, worker: u32, heard: Heard) {
        match heard {
            Ok(Reply::Ready) => self.plan.handle_ready(worker, Instant::now()),
            Ok(Reply::GivenBack { id }) => self.plan.handle_given_back(worker, id),
            Ok(Reply::Answers(answers)) => {
                let now = Instant::now();
                for done in answers {
                    let took = Some(Duration::from_nanos(done.nanoseconds));
                    self.plan.handle_answer(worker, done.id, took, now);
                    self.answer(done.id, answer(done.outcome));
                }
            }
            Err(ChannelError::Codec(_)) => {} // Of what a worker says, nothing is the user's.
            Err(end) => {
                self.hands.remove(&worker);
                self.alarm = None; // It may have been set on that connection.
                for (id, deaths) in self.plan.handle_end(worker) {
                    self.answer(id, Err(death(&end, deaths)));
                }
            }
        }
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        if let Some(ticket) = self.tickets.remove(&id) {
            let woken = ticket.answer(answer);
            self.tally
                .ripe
                .fetch_add(isize::from(woken.is_some()), SeqCst);
            self.woken.extend(woken);
        }
    }

    fn act(&mut self, crew: &Arc<Crew>, deed: Deed) {
        match deed {
            Deed::Start(worker) => {
                let builder = Builder::new().link(true).resources(crew.resources);
                let spawning = Box::pin(builder.spawn_async(worker::pool_worker, ()));
                let news = crew.news();
                self.births.insert(worker, Birth { spawning, news });
                self.hear_births(crew);
            }
            Deed::Hand(worker, id) => {
                let ticket = self.tickets.get(&id);
                if let (Some(hand), Some(ticket)) = (self.hands.get_mut(&worker), ticket) {
                    hand.call(id, &ticket.job);
                    self.unsent += 1;
                }
            }
            Deed::CallOff(worker, id) => {
                if let Some(hand) = self.hands.get_mut(&worker) {
                    hand.tell(Message::CallOff { id });
                    self.unsent += 1;
                }
            }
            Deed::Dismiss(worker) => {
                if let Some(hand) = self.hands.get_mut(&worker) {
                    hand.let_go();
                }
            }
            Deed::Kill(worker, id) => {
                if let Some(hand) = self.hands.get(&worker) {
                    hand.kill();
                }
                let limit = self
                    .tickets
                    .get(&id)
                    .and_then(|ticket| ticket.job.limits.timeout);
                let limit = limit.unwrap_or_default();
                self.answer(id, Err(DistributionError::TimedOut(limit)));
            }
        }
    }

    /// Hears what became of the workers that were asked for.
    fn hear_births(&mut self, crew: &Arc<Crew>) {
        let told = self.births.iter().filter(|(_, birth)| birth.news.take());
        let told: Vec<u32> = told.map(|(worker, _)| *worker).collect();
        for worker in told {
            let Some(birth) = self.births.get_mut(&worker) else {
                continue;
            };
            let waker = Waker::from(birth.news.clone());
            let polled = birth
                .spawning
                .as_mut()
                .poll(&mut Context::from_waker(&waker));
            let Poll::Ready(born) = polled else { continue };
            self.births.remove(&worker);
            match born {
                Ok(pid) => {
                    let hand = Hand::new(process::link_to(pid.0), crew.news());
                    self.hands.insert(worker, hand);
                    self.plan.handle_started(worker);
                    self.hear(worker);
                }
                Err(why) => {
                    for id in self.plan.handle_refused(Instant::now()) {
                        self.answer(id, Err(DistributionError::Refused(why.clone())));
                    }
                }
            }
        }
    }

    /// Has somebody look when the plan has something to do, though nothing happens.
    fn set_alarm(&mut self, now: Instant) {
        if self.alarm.is_some_and(|alarm| alarm <= now) {
            self.alarm = None;
        }
        let Some(next) = self.plan.poll_timeout() else {
            return;
        };
        if self.alarm.is_some_and(|alarm| alarm <= next) {
            return;
        }
        if let Some(hand) = self.hands.values().next() {
            hand.link().hub.set_alarm(next, hand.link().clone());
            self.alarm = Some(next);
        }
    }

    /// Whether the time of the alarm has come and nobody has looked since.
    fn is_alarm_over(&self) -> bool {
        self.alarm.is_some_and(|alarm| alarm <= Instant::now())
    }

    /// Lets all workers go.
    fn let_go(&mut self) -> Vec<Leaver> {
        self.hands.values_mut().for_each(Hand::let_go);
        let leavers = self.hands.iter().map(|(worker, hand)| Leaver {
            link: hand.link().clone(),
            is_busy: self.plan.is_busy(*worker),
        });
        leavers.collect()
    }
}

/// What the caller hears of what a worker said.
fn answer(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Returned(bytes) => Ok(bytes),
        Outcome::Panicked {
            message,
            file,
            line,
        } => Err(DistributionError::Panicked {
            message,
            file,
            line,
        }),
        Outcome::Uncoded(why) => Err(DistributionError::Codec(why)),
    }
}

fn death(end: &ChannelError, deaths: u32) -> DistributionError {
    match end {
        ChannelError::Exited(status) => DistributionError::Died {
            status: *status,
            deaths,
        },
        other => DistributionError::Lost(other.to_string()),
    }
}

/// A worker that was let go.
pub(crate) struct Leaver {
    link: Arc<Link>,
    /// Whether it had calls.
    is_busy: bool,
}

impl Leaver {
    /// Blocks until it has ended, or then.
    fn has_ended(&self, deadline: Instant) -> bool {
        let look = || Look::of(self.link.has_fate().then_some(()));
        self.link.wait_until(Some(deadline), None, look).is_some()
    }

    fn kill(&self) {
        process::current().control.kill_unheard(self.link.peer);
    }
}

/// Blocks until these have ended. Those that are in the midst of a call are killed soon; the others go by themselves, and
/// only have to be given a processor.
pub(crate) fn await_ends(leavers: &[Leaver]) {
    let soon = Instant::now() + CALLS_PATIENCE;
    let busy = leavers.iter().filter(|leaver| leaver.is_busy);
    for leaver in busy {
        if !leaver.has_ended(soon) {
            leaver.kill();
        }
    }
    let patience = Instant::now() + ENDS_PATIENCE;
    for leaver in leavers {
        if !leaver.has_ended(patience) {
            leaver.kill();
        }
    }
}

/// How long a process that ends waits for workers that are being born.
const BIRTHS_PATIENCE: Duration = Duration::from_millis(500);
const BIRTHS_LOOK: Duration = Duration::from_micros(200);

/// How long a process that ends waits for the calls that its workers are in the midst of: their results are nobody's.
const CALLS_PATIENCE: Duration = Duration::from_millis(100);

/// How long it waits for the ends of the others, and of those that it killed. They die with it if they have not.
const ENDS_PATIENCE: Duration = Duration::from_secs(2);

/// What callers wait for.
const ANSWER: Waiting = Waiting {
    what: Awaited::Answer,
    type_name: "",
    at: None,
};
