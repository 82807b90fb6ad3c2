//! A worker: one call after the other, in the order in which they come, until the pool lets go of it.
//!
//! While a function runs its thread hears nothing. So the reactor takes in what comes meanwhile, by the connection's bell:
//! calls that lie behind a long one are given back when the pool asks for them.

use super::{
    broadcast,
    message::{Bytes, Message, Outcome, Reply},
    panics,
};
use crate::{
    error::{ChannelError, TryRecvError},
    pid::Pid,
    receiver::Receiver,
    sender::Sender,
    turn::Seat,
};
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
    let worker = Arc::new(Worker {
        messages: Receiver::new(pool),
        replies: Sender::new(pool).patient(),
        queue: Mutex::default(),
        is_listening: AtomicBool::new(false),
    });
    // Where the pool is gone nothing more comes either.
    let _ = worker.serve();
    worker.queue().seat = Seat::default(); // Which holds the worker, and so its ends of the channels.
}

struct Worker {
    messages: Receiver<Message>,
    replies: Sender<Reply>,
    queue: Mutex<Queue>,
    /// Whether the connection's bell will ring for it.
    is_listening: AtomicBool,
}

/// What has come and was not looked at.
#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// Whether a function runs, so that nobody but the reactor can look what has come.
    is_running: bool,
    seat: Seat,
}

impl Worker {
    /// Runs what it is told to until the pool has let go.
    fn serve(self: &Arc<Worker>) -> Result<(), ChannelError> {
        self.replies.send(Reply::Ready)?;
        let mut company = Company::new();
        loop {
            if company.is_look_due() {
                self.look()?;
            }
            let queued = self.queue().messages.pop_front();
            let message = match queued {
                Some(message) => message,
                None => self.messages.recv()?,
            };
            match message {
                Message::Call {
                    id,
                    function,
                    given,
                } => {
                    let took = self.run(id, function, given)?;
                    if company.is_enough(took) {
                        self.replies.outlet.link.hub.flush();
                    }
                }
                Message::CallOff { .. } => {} // It was done before.
                Message::Broadcast { name, value } => broadcast::learn(name, value),
                Message::Forget { name } => broadcast::forget(name),
            }
        }
    }

    /// Runs a call. Says how long it took.
    fn run(
        self: &Arc<Worker>,
        id: u64,
        function: i64,
        given: Bytes,
    ) -> Result<Duration, ChannelError> {
        self.listen();
        let start = Instant::now();
        let outcome = run(function, Arc::unwrap_or_clone(given.0));
        let took = start.elapsed();
        self.queue().is_running = false;
        self.replies.send(Reply::Answer {
            id,
            nanoseconds: took.as_nanos() as u64,
            outcome,
        })?;
        Ok(took)
    }

    /// From now on a function runs, and what comes is taken in by whoever reads it. What was read before, by this thread
    /// or while it looked elsewhere, is taken in now: no bell will ring for it.
    fn listen(self: &Arc<Worker>) {
        let mut queue = self.queue();
        queue.is_running = true;
        if !self.is_listening.swap(true, SeqCst) {
            self.take_in_arrived(queue);
        }
    }

    /// Has the bell ring for what is read from now on, and takes in what was read before.
    fn take_in_arrived(self: &Arc<Worker>, mut queue: MutexGuard<'_, Queue>) {
        let waker = Waker::from(self.clone());
        queue
            .seat
            .listen_for_bell(&self.messages.link, &waker, None);
        let mut has_given_back = false;
        // An end is found by its own thread, when the function has returned.
        while let Ok(message) = self.messages.take_arrived() {
            has_given_back |= self.take_in(&mut queue, message);
        }
        drop(queue);
        if has_given_back {
            self.replies.outlet.link.hub.flush();
        }
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

/// Which answers leave together: those of calls that take less time than waking somebody does. Before it waits for more
/// the runtime sends them; and where an unexpectedly long call follows, the reactor does, within a millisecond.
struct Company {
    answers: usize,
    /// When it was last looked what had come.
    looked: Instant,
}

impl Company {
    fn new() -> Company {
        Company {
            answers: 0,
            looked: Instant::now(),
        }
    }

    /// One more answer waits, of a call that took so long. Says whether they leave now.
    fn is_enough(&mut self, took: Duration) -> bool {
        self.answers += 1;
        let is_enough = took > COMPANY_TIME_MAX || self.answers >= COMPANY;
        if is_enough {
            self.answers = 0;
        }
        is_enough
    }

    fn is_look_due(&mut self) -> bool {
        let is_due = self.looked.elapsed() > LOOK_EVERY;
        if is_due {
            self.looked = Instant::now();
        }
        is_due
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

/// How many answers leave together, and how short the calls are whose answers wait for that.
const COMPANY: usize = 16;
const COMPANY_TIME_MAX: Duration = Duration::from_micros(10);

/// How often a worker that always has a next call looks whether some were called off.
const LOOK_EVERY: Duration = Duration::from_millis(1);
