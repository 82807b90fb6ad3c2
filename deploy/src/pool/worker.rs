//! A worker: one call after the other, in the order in which they come, until the pool lets go of it.
//!
//! While a function runs its thread hears nothing. So the reactor takes in what comes meanwhile, by the connection's bell:
//! calls that lie behind a long one are given back when the pool asks for them.
//!
//! Deliberately absent: when answers leave (`worker/company.rs`).

mod company;
#[cfg(test)]
mod order_tests;

pub(crate) use company::ANSWER_WAITS_MAX;

use super::{
    broadcast,
    message::{Answer, Bytes, Message, Outcome, Reply},
    panics,
};
use crate::{
    error::{ChannelError, TryRecvError, TrySendError},
    link::{Link, Seat},
    outlet::Outlet,
    pid::Pid,
    process,
    receiver::Receiver,
    scratch,
    sender::Sender,
};
use company::Company;
use deploy_sys::code;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};

/// What a worker process runs.
pub(crate) fn pool_worker(pool: Pid, (): ()) {
    panics::watch();
    panics::tell_aborts();
    let worker = Worker::new(process::link_to(pool.0));
    // Where the pool is gone nothing more comes either.
    let _ = worker.serve();
    worker.queue().seat = Seat::default(); // Which holds the worker, and so its ends of the channels.
}

struct Worker {
    messages: Receiver<Message>,
    replies: Sender<Reply>,
    /// The same for what has waited for its company already.
    at_once: Outlet,
    queue: Mutex<Queue>,
    /// Whether the connection's bell will ring for it.
    is_listening: AtomicBool,
}

/// What has come and was not looked at, and what was answered and has not left.
#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    company: Company,
    /// Whether a function runs, so that nobody but the reactor can look what has come.
    is_running: bool,
    seat: Seat,
}

impl Worker {
    /// For the pool at the other end of this connection.
    fn new(link: Arc<Link>) -> Arc<Worker> {
        let replies = Sender::on(link.clone());
        Arc::new(Worker {
            messages: Receiver::on(link),
            at_once: replies.outlet.clone(),
            replies: replies.patient(),
            queue: Mutex::default(),
            is_listening: AtomicBool::new(false),
        })
    }

    /// Runs what it is told to until the pool has let go.
    fn serve(self: &Arc<Worker>) -> Result<(), ChannelError> {
        self.replies.send(Reply::Ready)?;
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() > LOOK_EVERY {
                self.look()?;
                looked = Instant::now();
            }
            let queued = self.queue().messages.pop_front();
            let message = match queued {
                Some(message) => message,
                None => {
                    self.send_answers()?;
                    self.messages.recv()?
                }
            };
            match message {
                Message::Call {
                    id,
                    function,
                    given,
                } => {
                    if self.run(id, function, given) {
                        self.send_answers()?;
                    }
                }
                Message::CallOff { .. } => {} // It was done before.
                Message::Broadcast { name, value } => broadcast::learn(name, value),
                Message::Forget { name } => broadcast::forget(name),
            }
        }
    }

    /// Runs a call. Says whether the answers leave now.
    fn run(self: &Arc<Worker>, id: u64, function: i64, given: Bytes) -> bool {
        self.listen();
        let start = Instant::now();
        let outcome = run(function, Arc::unwrap_or_clone(given.0));
        let end = Instant::now();
        let took = end - start;
        let mut queue = self.queue();
        queue.is_running = false;
        let is_long = outcome.is_long();
        let answer = Answer {
            id,
            nanoseconds: took.as_nanos() as u64,
            outcome,
        };
        queue.company.handle_answer(answer, took, end);
        is_long || queue.company.is_enough(took, queue.messages.len(), end)
    }

    /// All answers leave.
    fn send_answers(&self) -> Result<(), ChannelError> {
        let mut queue = self.queue();
        let is_quick = queue.company.is_quick;
        let Some(answers) = queue.company.take() else {
            return Ok(());
        };
        drop(queue);
        match is_quick {
            true => self.replies.send(answers)?,
            false => scratch::with(|scratch| self.at_once.send(&answers, scratch, None))?,
        }
        self.replies.outlet.link.hub.flush();
        Ok(())
    }

    /// From now on a function runs, and what comes is taken in by whoever reads it. What was read before, by this thread
    /// or while it looked elsewhere, is taken in now: no bell will ring for it.
    fn listen(self: &Arc<Worker>) {
        let mut queue = self.queue();
        queue.is_running = true;
        if queue.company.wants_alarm() {
            self.set_alarm(&mut queue);
        }
        if !self.is_listening.swap(true, SeqCst) {
            self.take_in_arrived(queue);
        }
    }

    /// Has the bell ring when the answers have waited for too long.
    fn set_alarm(&self, queue: &mut Queue) {
        let at = Instant::now() + ANSWER_WAITS_MAX;
        queue.company.alarm = Some(at);
        let link = &self.messages.link;
        link.hub.set_alarm(at, link.clone());
    }

    /// Has the bell ring for what is read from now on, and takes in what was read before.
    fn take_in_arrived(self: &Arc<Worker>, mut queue: MutexGuard<'_, Queue>) {
        let waker = Waker::from(self.clone());
        queue
            .seat
            .listen_for_bell(&self.messages.link, &waker, None);
        let mut has_sent = false;
        // An end is found by its own thread, when the function has returned.
        while let Ok(message) = self.messages.take_arrived() {
            has_sent |= self.take_in(&mut queue, message);
        }
        has_sent |= self.heed_alarm(&mut queue);
        drop(queue);
        if has_sent {
            self.replies.outlet.link.hub.flush();
        }
    }

    /// Sends the answers if they have waited for too long, as far as there is room; says whether it did. What runs now is
    /// known to be long when it has run for that time: whoever runs it could not.
    fn heed_alarm(&self, queue: &mut Queue) -> bool {
        let now = Instant::now();
        if queue.company.alarm.is_none_or(|alarm| now < alarm) {
            return false;
        }
        queue.company.alarm = None;
        let is_late = |since: Instant| now - since >= ANSWER_WAITS_MAX;
        if !queue.company.since.is_some_and(is_late) {
            if queue.company.wants_alarm() {
                self.set_alarm(queue);
            }
            return false;
        }
        let sent = queue.company.take().map(|all| self.replies.try_send(all));
        if let Some(Err(TrySendError::Full(all) | TrySendError::TooLarge(all))) = sent {
            queue.company.take_back(all); // Until the function has returned.
        }
        true
    }

    /// Looks what has come, between two calls, and whether something is asked back.
    fn look(&self) -> Result<(), ChannelError> {
        loop {
            match self.messages.try_recv() {
                Ok(message) => drop(self.take_in(&mut self.queue(), message)),
                Err(TryRecvError::Empty) => return Ok(()),
                // Nobody hears what would come of the others.
                Err(TryRecvError::Channel(end)) => return Err(end),
            }
        }
    }

    /// Says whether a call was given back for it.
    fn take_in(&self, queue: &mut Queue, message: Message) -> bool {
        let Message::CallOff { id } = message else {
            queue.messages.push_back(message);
            return false;
        };
        let is_meant =
            |message: &Message| matches!(message, Message::Call { id: other, .. } if *other == id);
        let place = queue.messages.iter().position(is_meant);
        // Where there is no room to say so, it is run after all.
        let given_back = place.filter(|_| self.replies.try_send(Reply::GivenBack { id }).is_ok());
        if let Some(place) = given_back {
            queue.messages.remove(place);
        }
        given_back.is_some()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bell rang: whoever read has read for a function that runs, or for nobody else.
impl Wake for Worker {
    fn wake(self: Arc<Self>) {
        self.is_listening.store(false, SeqCst);
        let queue = self.queue();
        if !queue.is_running {
            return; // Its own thread looks before it runs another.
        }
        self.is_listening.store(true, SeqCst);
        self.take_in_arrived(queue);
    }
}

/// Runs a function of this program.
fn run(function: i64, given: Vec<u8>) -> Outcome {
    let entry = code::image().map(|image| code::entry(image, function));
    let Ok(Ok(entry)) = entry else {
        return Outcome::Uncoded("the function is not in this program".to_string());
    };
    match catch_unwind(AssertUnwindSafe(|| entry(given))) {
        Ok(mut returned) => match returned.pop() {
            Some(CODED) => Outcome::Returned(Bytes(Arc::new(returned))),
            _ => Outcome::Uncoded(String::from_utf8_lossy(&returned).into_owned()),
        },
        Err(payload) => {
            let panics::Panicked {
                message,
                file,
                line,
            } = panics::caught(&*payload);
            Outcome::Panicked {
                message,
                file,
                line,
            }
        }
    }
}

/// The last byte of what a function returned: the bytes before it are its result, or say why there is none.
pub(crate) const CODED: u8 = 1;
pub(crate) const UNCODED: u8 = 0;

/// How often a worker that always has a next call looks whether some were called off.
const LOOK_EVERY: Duration = Duration::from_millis(1);
