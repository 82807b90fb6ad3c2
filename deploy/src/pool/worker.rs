//! A worker: one call after the other, in the order in which they come, until the pool lets go of it.

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
};
use deploy_sys::code;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

/// What a worker process runs.
pub(crate) fn pool_worker(pool: Pid, (): ()) {
    panics::watch();
    let mut worker = Worker {
        messages: Receiver::new(pool),
        replies: Sender::new(pool).patient(),
        unsent: 0,
        queue: VecDeque::new(),
        looked: Instant::now(),
    };
    // Where the pool is gone nothing more comes either.
    let _ = worker.serve();
}

struct Worker {
    messages: Receiver<Message>,
    replies: Sender<Reply>,
    /// How many replies wait for company.
    unsent: usize,
    /// What has come and was not looked at.
    queue: VecDeque<Message>,
    /// When it was last looked what had come.
    looked: Instant,
}

impl Worker {
    /// Runs what it is told to until the pool has let go.
    fn serve(&mut self) -> Result<(), ChannelError> {
        self.replies.send(Reply::Ready)?;
        loop {
            if self.looked.elapsed() > LOOK_EVERY {
                self.look()?;
            }
            let message = match self.queue.pop_front() {
                Some(message) => message,
                None => self.messages.recv()?,
            };
            match message {
                Message::Call {
                    id,
                    function,
                    given,
                } => self.run(id, function, given)?,
                Message::CallOff { .. } => {} // It was done before.
                Message::Broadcast { name, value } => broadcast::learn(name, value),
                Message::Forget { name } => broadcast::forget(name),
            }
        }
    }

    fn run(&mut self, id: u64, function: i64, given: Bytes) -> Result<(), ChannelError> {
        let start = Instant::now();
        let outcome = run(function, Arc::unwrap_or_clone(given.0));
        let took = start.elapsed();
        self.replies.send(Reply::Answer {
            id,
            nanoseconds: took.as_nanos() as u64,
            outcome,
        })?;
        self.unsent += 1;
        // The next one may take as long. Before it waits for more the runtime sends them.
        if took > COMPANY_TIME_MAX || self.unsent >= COMPANY {
            self.unsent = 0;
            self.replies.outlet.link.hub.flush();
        }
        Ok(())
    }

    /// Looks what has come, and whether it calls something off.
    fn look(&mut self) -> Result<(), ChannelError> {
        self.looked = Instant::now();
        loop {
            match self.messages.try_recv() {
                Ok(Message::CallOff { id }) => self.call_off(id)?,
                Ok(message) => self.queue.push_back(message),
                Err(TryRecvError::Empty) => return Ok(()),
                // Nobody hears what would come of the others.
                Err(TryRecvError::Channel(end)) => return Err(end),
            }
        }
    }

    fn call_off(&mut self, id: u64) -> Result<(), ChannelError> {
        let is_meant =
            |message: &Message| matches!(message, Message::Call { id: other, .. } if *other == id);
        let Some(place) = self.queue.iter().position(is_meant) else {
            return Ok(());
        };
        self.queue.remove(place);
        self.replies.send(Reply::Answer {
            id,
            nanoseconds: 0,
            outcome: Outcome::CalledOff,
        })
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

/// How many answers leave together, where the calls take less time than waking somebody does. Others leave at once, and
/// one that is followed by an unexpectedly long call leaves by the reactor, within a millisecond.
const COMPANY: usize = 16;
const COMPANY_TIME_MAX: Duration = Duration::from_micros(10);

/// How often a worker that always has a next call looks whether some were called off.
const LOOK_EVERY: Duration = Duration::from_millis(1);
