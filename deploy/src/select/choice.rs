//! Which of several channels is chosen, and how a thread waits until one can be.
//!
//! To look whether something came is to take it: between a look and a later `recv` another thread could take the value, and
//! whoever had chosen it would wait there, for as long as it likes, and hear neither the other operations nor the deadline.
//! So they are looked at one by one, and the order of looking decides among several that are ready: it is drawn anew for each
//! look, every order as likely as the others. To begin at random and go round is not enough: whoever stands behind idle
//! ones would be chosen in their place, too.
//!
//! A thread that waits for several connections sleeps on none of them: the reactor reads them all and rings their bells,
//! which wake it as they wake a task.

use crate::{
    link::{self, Link, Seat},
    park,
    receiver::{Received, Receiver},
    sender::Sender,
    waits::{Line, Waiting},
};
use deploy_wire::wait::Awaited;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

/// Operations to choose from, each with its number, in the order in which they were looked at last.
#[derive(Default)]
pub(crate) struct Arms<'a>(Vec<(usize, &'a dyn Arm)>);

/// An operation that was begun.
pub(crate) struct Chosen<'a> {
    pub(crate) index: usize,
    pub(crate) arm: &'a dyn Arm,
    pub(crate) begun: Begun,
}

impl<'a> Arms<'a> {
    /// Adds one; returns its number.
    pub(crate) fn add(&mut self, arm: &'a dyn Arm) -> usize {
        let index = self.0.len();
        self.0.push((index, arm));
        index
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Blocks until an arm is ready, or until the deadline.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>, at: Line) -> Option<Chosen<'a>> {
        if let Some(chosen) = self.begin_one() {
            return Some(chosen);
        }
        let mut seats: Vec<Seat> = self.0.iter().map(|_| Seat::default()).collect();
        park::until(deadline, |waker| {
            for (index, arm) in &self.0 {
                seats[*index].listen(arm.link(), waker, Some(arm.waiting(at)));
            }
            // What came before the bells could ring for this thread.
            self.begin_one()
        })
    }

    /// Begins an arm that is ready, each of several with the same chance: the shuffle of Fisher and Yates, as far as it is
    /// needed. It begins with the order of the last time, which is as good as any.
    pub(crate) fn begin_one(&mut self) -> Option<Chosen<'a>> {
        for left in (1..=self.0.len()).rev() {
            let drawn = random_below(left);
            let (index, arm) = self.0[drawn];
            if let Some(begun) = arm.begin() {
                return Some(Chosen { index, arm, begun });
            }
            self.0.swap(drawn, left - 1);
        }
        None
    }
}

/// One end of a channel, as `Select` sees it.
pub(crate) trait Arm: Sync {
    /// Begins the operation, if it can be done without waiting.
    fn begin(&self) -> Option<Begun>;
    /// What was begun will not be done.
    fn leave(&self, begun: Begun);
    fn link(&self) -> &Arc<Link>;
    fn waiting(&self, at: Line) -> Waiting;
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Arm for Receiver<T> {
    fn begin(&self) -> Option<Begun> {
        self.receive_for_later().map(Begun::Received)
    }

    fn leave(&self, begun: Begun) {
        self.put_back(begun.received());
    }

    fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn waiting(&self, at: Line) -> Waiting {
        Receiver::waiting(self, Some(at))
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Arm for Sender<T> {
    fn begin(&self) -> Option<Begun> {
        let is_ready = link::end_of_fork().is_some() || self.outlet.has_room();
        is_ready.then_some(Begun::Room)
    }

    fn leave(&self, _: Begun) {}

    fn link(&self) -> &Arc<Link> {
        &self.outlet.link
    }

    fn waiting(&self, at: Line) -> Waiting {
        self.outlet.waiting(Awaited::Room, Some(at))
    }
}

/// What was done of an operation when it was chosen.
#[derive(Debug)]
pub(crate) enum Begun {
    /// There was room to send, or an end.
    Room,
    /// A value or an end was received.
    Received(Received),
}

impl Begun {
    /// What a receiver has begun.
    pub(crate) fn received(self) -> Received {
        match self {
            Begun::Received(received) => received,
            Begun::Room => unreachable!("a receiver receives"),
        }
    }
}

/// A number below `count`, each about as likely. Nobody is to be fooled by it, so it is Marsaglia's xorshift.
#[inline]
fn random_below(count: usize) -> usize {
    if count == 1 {
        return 0; // The last one.
    }
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
    let mut state = STATE.get();
    if state == 0 {
        state = RandomState::new().hash_one(0) | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    (((state >> 32) * count as u64) >> 32) as usize
}
