//! What the crew's lock guards: workers, calls, and what follows from the news of either.
//!
//! Deliberately absent: when somebody looks (`crew.rs`).

use super::{Crew, callers::Tally};
use crate::{
    error::{ChannelError, SpawnError},
    pid::Pid,
    pool::{
        Rules,
        error::DistributionError,
        hand::{Hand, Heard},
        message::{Message, Outcome, Reply},
        news::News,
        plan::{Deed, Plan},
        ticket::{Answer, Ticket},
        worker,
    },
    process,
    spawn::Builder,
    waits::Waiting,
};
use deploy_wire::{event::POOL_OF, pid, wait::Awaited};
use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::{Arc, atomic::Ordering::*},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

pub(super) struct State {
    pub(super) plan: Plan,
    pub(super) tally: Arc<Tally>,
    pub(super) tickets: HashMap<u64, Arc<Ticket>>,
    pub(super) next_id: u64,
    pub(super) hands: BTreeMap<u32, Hand>,
    pub(super) births: HashMap<u32, Birth>,
    /// Tasks to wake when the lock is free.
    pub(super) woken: Vec<Waker>,
    /// How many words to workers wait for company.
    pub(super) unsent: usize,
    /// What people call the function that was called last.
    pub(super) latest: &'static str,
    /// When a call began last, and whether that was right after another.
    pub(super) called: Option<Instant>,
    pub(super) is_burst: bool,
    /// When the reactor will have somebody look.
    pub(super) alarm: Option<Instant>,
    /// The process ends: no other worker is started, and no call handed out.
    pub(super) is_over: bool,
}

/// A worker that was asked for.
pub(super) struct Birth {
    spawning: Pin<Box<dyn Future<Output = Result<Pid, SpawnError>> + Send>>,
    news: Arc<News>,
}

impl State {
    pub(super) fn new(rules: Rules, tally: Arc<Tally>) -> State {
        State {
            plan: Plan::new(rules),
            tally,
            tickets: HashMap::new(),
            next_id: 0,
            hands: BTreeMap::new(),
            births: HashMap::new(),
            woken: Vec::new(),
            unsent: 0,
            latest: "",
            called: None,
            is_burst: false,
            alarm: None,
            is_over: false,
        }
    }

    /// Hears who has news, and does what follows.
    pub(super) fn turn(&mut self, crew: &Arc<Crew>) {
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
    pub(super) fn hear(&mut self, worker: u32) {
        while let Some(hand) = self.hands.get_mut(&worker)
            && let Some(heard) = hand.hear()
        {
            self.handle(worker, heard);
        }
        if let Some(hand) = self.hands.get_mut(&worker) {
            hand.send();
        }
    }

    pub(super) fn handle(&mut self, worker: u32, heard: Heard) {
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
                let builder = Builder::new()
                    .shown_as(format!("{POOL_OF}{}", self.latest))
                    .link(true)
                    .resources(crew.resources);
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
    pub(super) fn hear_births(&mut self, crew: &Arc<Crew>) {
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

    /// Which answers are waited for, and of which workers; nothing, where something else may go on.
    pub(super) fn awaited(&self) -> Option<Vec<(u64, (pid::Pid, Waiting))>> {
        let is_open = |ticket: &Arc<Ticket>| ticket.job.limits.timeout.is_some();
        let is_moving = !self.births.is_empty() || self.plan.handed() < self.tickets.len();
        if is_moving || self.tickets.values().any(is_open) {
            return None;
        }
        let at_work = |id: &u64| {
            let hand = self.hands.get(&self.plan.handed_to(*id)?.0)?;
            Some((self.tickets[id].number, (hand.pid(), ANSWER)))
        };
        self.tickets.keys().map(at_work).collect()
    }

    /// Whether the time of the alarm has come and nobody has looked since.
    pub(super) fn is_alarm_over(&self) -> bool {
        self.alarm.is_some_and(|alarm| alarm <= Instant::now())
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

/// What callers wait for.
const ANSWER: Waiting = Waiting {
    what: Awaited::Answer,
    type_name: "",
    at: None,
};
