//! A worker: one call after the other, in the order in which they come, until the pool lets go of it.

use super::{
    message::{Bytes, Message, Outcome, Reply},
    panics,
};
use crate::{error::TryRecvError, pid::Pid, receiver::Receiver, sender::Sender};
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
        calls: Receiver::new(pool),
        queue: VecDeque::new(),
        looked: Instant::now(),
    };
    let replies = Sender::<Reply>::new(pool);
    if replies.send(Reply::Ready).is_err() {
        return;
    }
    while let Some((id, function, given)) = worker.next() {
        let start = Instant::now();
        let outcome = run(function, Arc::unwrap_or_clone(given.0));
        let answer = Reply::Answer {
            id,
            nanoseconds: start.elapsed().as_nanos() as u64,
            outcome,
        };
        if replies.send(answer).is_err() {
            return;
        }
    }
}

struct Worker {
    calls: Receiver<Message>,
    /// What has come and was not looked at.
    queue: VecDeque<Message>,
    /// When it was last looked what had come.
    looked: Instant,
}

impl Worker {
    /// The next call; nothing, when the pool has let go. Blocks until there is one.
    fn next(&mut self) -> Option<(u64, i64, Bytes)> {
        loop {
            if self.looked.elapsed() > LOOK_EVERY {
                self.look();
            }
            let message = match self.queue.pop_front() {
                Some(message) => message,
                None => self.calls.recv().ok()?,
            };
            if let Message::Call {
                id,
                function,
                given,
            } = message
            {
                return Some((id, function, given));
            }
        }
    }

    fn look(&mut self) {
        self.looked = Instant::now();
        loop {
            match self.calls.try_recv() {
                Ok(message) => self.queue.push_back(message),
                Err(TryRecvError::Empty) => return,
                // Nobody hears what would come of them.
                Err(TryRecvError::Channel(_)) => return self.queue.clear(),
            }
        }
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
