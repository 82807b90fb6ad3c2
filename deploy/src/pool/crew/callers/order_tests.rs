//! What a crew hears in an order that broke once, over a real connection to a worker that is played by hand.

use super::super::{Crew, Job};
use crate::{
    channel_tests::{Ends, connected},
    link::{Link, Seat},
    pool::{
        Limits, Rules,
        hand::Hand,
        message::{Answer, Bytes, Message, Outcome, Reply},
        plan::{AHEAD, Deed},
    },
    receiver::Receiver,
    sender::Sender,
};
use deploy_wire::resources::Resources;
use std::{
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    task::{Wake, Waker},
    time::{Duration, Instant},
};

/// While a caller looks at a worker's socket itself, the bell of that connection wakes nobody. An alarm that rings just
/// then has to be heeded when the look is over: here, that a call has run for so long that those behind it are asked back.
#[test]
fn an_alarm_that_rings_during_a_callers_look_is_heeded_after_it() {
    let Ends { left, right } = connected();
    let messages = Receiver::<Message>::on(right);
    let crew = crew_of_one(left.clone());
    let mut bell = Bell::new(&left);
    let due = Instant::now() + AHEAD;
    let calls = [crew.call(job()), crew.call(job())];
    for (id, _) in &calls {
        let handed = messages.recv();
        assert!(matches!(&handed, Ok(Message::Call { id: other, .. }) if other == id));
    }
    let look = crew.worth_a_look(calls[0].0);
    let (worker, _) = look.expect("its function is quick");
    // It looks until the alarm has rung.
    bell.await_ring(due);
    crew.keep(worker);

    let asked_back = messages.recv_timeout(PATIENCE);
    let is_right = matches!(asked_back, Ok(Message::CallOff { id }) if id == calls[1].0);
    assert!(is_right, "behind the long one: {asked_back:?}");
}

/// What is read between a caller's last look and the time from which the bell is heard again rings for nobody.
#[test]
fn an_answer_that_is_read_right_after_a_callers_look_is_taken_when_it_leaves() {
    let Ends { left, right } = connected();
    let (messages, replies) = (
        Receiver::<Message>::on(right.clone()),
        Sender::<Reply>::on(right),
    );
    let crew = crew_of_one(left.clone());
    let (id, ticket) = crew.call(job());
    let handed = messages.recv();
    assert!(matches!(handed, Ok(Message::Call { .. })));
    let (worker, _) = crew.worth_a_look(id).expect("its function is quick");
    assert!(!crew.lock().hear_at_once(worker), "it has said nothing");
    let answer = Answer {
        id,
        nanoseconds: 1,
        outcome: Outcome::Returned(Bytes(Arc::default())),
    };
    replies.send(Reply::Answers(vec![answer])).unwrap();
    while left.rx().inbound.is_empty() {
        left.read(false);
    }
    crew.keep(worker);
    assert!(ticket.is_done());
}

/// Who has news and finds the lock held leaves it to whoever holds it, also where that one only counts who waits.
#[test]
fn news_that_comes_while_waits_are_counted_is_looked_at() {
    let crew = crew_of_one(connected().left);
    crew.has_news.store(true, SeqCst);
    assert!(crew.awaited().is_some());
    assert!(!crew.has_news.load(SeqCst));
}

/// A crew with one worker, at the other end of this connection, which is known to do such calls quickly; another one is
/// being born for ever.
fn crew_of_one(link: Arc<Link>) -> Arc<Crew> {
    let rules = Rules {
        replicas_min: 2,
        replicas_max: 2,
        in_flight: 64,
        idle: Duration::from_secs(10),
    };
    let crew = Crew::new(rules, Resources::DEFAULT);
    let hand = Hand::new(link, crew.news());
    let mut state = crew.lock();
    let now = Instant::now();
    state.next_id = 1;
    state.plan.handle_call(0, FUNCTION, LIMITS);
    while let Some(deed) = state.plan.poll_deed(now) {
        assert!(matches!(deed, Deed::Start(_)));
    }
    state.plan.handle_started(0);
    state.plan.handle_ready(0, now);
    assert_eq!(state.plan.poll_deed(now), Some(Deed::Hand(0, 0)));
    let quick = Some(Duration::from_micros(5));
    state.plan.handle_answer(0, 0, quick, now);
    state.hands.insert(0, hand);
    drop(state);
    crew
}

fn job() -> Job {
    Job {
        name: "",
        function: FUNCTION,
        given: Bytes(Arc::default()),
        named: Vec::new(),
        limits: LIMITS,
    }
}

/// Hears the connection's bell beside whoever else does.
struct Bell {
    link: Arc<Link>,
    seat: Seat,
    waker: Waker,
    rung: mpsc::Receiver<()>,
}

struct Ring(mpsc::Sender<()>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

impl Bell {
    fn new(link: &Arc<Link>) -> Bell {
        let (ring, rung) = mpsc::channel();
        let mut bell = Bell {
            link: link.clone(),
            seat: Seat::default(),
            waker: Waker::from(Arc::new(Ring(ring))),
            rung,
        };
        bell.listen();
        bell
    }

    fn listen(&mut self) {
        self.seat.listen_for_bell(&self.link, &self.waker, None);
    }

    /// Blocks until it has rung then, or later.
    fn await_ring(&mut self, due: Instant) {
        loop {
            let rung = self.rung.recv_timeout(PATIENCE);
            rung.expect("the reactor rings it");
            self.listen();
            if Instant::now() >= due {
                return;
            }
        }
    }
}

const FUNCTION: i64 = 7;

const LIMITS: Limits = Limits {
    retries: 2,
    timeout: None,
};

/// Only a test that fails takes so long.
const PATIENCE: Duration = Duration::from_secs(10);
