//! One value on its way to a receiver, for as long as a task waits until it has left.
//!
//! A value that fits a frame is encoded once, and waits for room as bytes; a longer one is sent by a helper thread, which
//! blocks in place of the task. Dropped before it is over, it has sent the value wholly or not at all.
//!
//! Deliberately absent: who holds it: a future, a sink (`future.rs`), or a pool's hand.

use crate::{
    aside::{self, Slot},
    error::ChannelError,
    link::{Look, Seat},
    outlet::{self, Encoded, Outlet, Refusal},
    scratch,
    waits::Waiting,
};
use deploy_sys::limit;
use deploy_wire::outbound::RECORD_BYTES_MAX;
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::*},
    },
    task::{Context, Poll},
    thread,
};

/// One value on its way.
pub(crate) struct Sending<T> {
    outlet: Outlet,
    state: State<T>,
    seat: Seat,
    /// What its task waits for, if that is to be remembered.
    waiting: Option<Waiting>,
}

enum State<T> {
    /// Not looked at yet.
    Value(T),
    /// Encoded, and waiting for room.
    Record(Vec<u8>),
    /// Long, and being sent by a helper thread, which says in the slot what became of it.
    Aside {
        slot: Arc<Slot<()>>,
        cancelled: Arc<AtomicBool>,
    },
    Over,
}

impl<T> Unpin for Sending<T> {}

impl<T: Serialize + Send + 'static> Sending<T> {
    pub(crate) fn new(outlet: Outlet, value: T, waiting: Option<Waiting>) -> Sending<T> {
        Sending {
            outlet,
            state: State::Value(value),
            seat: Seat::default(),
            waiting,
        }
    }

    /// Sends it, if that can be done without waiting; says then what became of it.
    pub(crate) fn start(&mut self) -> Option<Result<(), ChannelError>> {
        let done = match std::mem::replace(&mut self.state, State::Over) {
            State::Value(value) => self.begin(value),
            begun => {
                self.state = begun;
                None
            }
        };
        let done = done.or_else(|| self.look())?;
        self.state = State::Over;
        Some(done)
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        if let Some(done) = self.start() {
            return Poll::Ready(done);
        }
        self.seat
            .listen(&self.outlet.link, cx.waker(), self.waiting);
        // What came before the bell could ring for this task.
        self.start().map_or(Poll::Pending, Poll::Ready)
    }

    /// Encodes the value, and sends it if there is room.
    fn begin(&mut self, value: T) -> Option<Result<(), ChannelError>> {
        let record = scratch::with(|scratch| match outlet::encode(&value, scratch) {
            Err(error) => Some(Err(error)),
            Ok(Encoded::Record(record)) => match self.outlet.look(record).found() {
                Some(Ok(())) => Some(Ok(None)),
                _ => Some(Ok(Some(record.to_vec()))),
            },
            Ok(Encoded::Bulk(bytes)) if bytes.len() <= RECORD_BYTES_MAX => {
                Some(Ok(Some(bytes.to_vec())))
            }
            Ok(Encoded::Bulk(_) | Encoded::Stream) => None,
        });
        match record {
            Some(Ok(None)) => return Some(Ok(())),
            Some(Ok(Some(record))) => self.state = State::Record(record),
            Some(Err(error)) => return Some(Err(error)),
            None => return self.send_aside(value),
        }
        None
    }

    /// Has a helper thread send a long value, which blocks.
    fn send_aside(&mut self, value: T) -> Option<Result<(), ChannelError>> {
        let (slot, cancelled) = (Arc::new(Slot::default()), Arc::new(AtomicBool::new(false)));
        let (outlet, done) = (self.outlet.cancellable(cancelled.clone()), slot.clone());
        let at = self.waiting.and_then(|waiting| waiting.at);
        let send = move || {
            let sent = aside::help(|| scratch::with(|scratch| outlet.send(&value, scratch, at)));
            done.put(sent.and_then(|sent| sent));
            outlet.link.turn.ring();
        };
        self.state = State::Aside { slot, cancelled };
        match thread::Builder::new()
            .name("deploy-long".to_string())
            .spawn(send)
        {
            Ok(_) => None,
            Err(error) => Some(Err(ChannelError::Codec(format!(
                "no thread to encode it: {}",
                limit::explain(&error)
            )))),
        }
    }

    fn look(&mut self) -> Option<Result<(), ChannelError>> {
        match &self.state {
            State::Record(record) => match self.outlet.look(record) {
                Look::Found(Ok(())) => Some(Ok(())),
                Look::Found(Err(Refusal::Error(error))) => Some(Err(error)),
                Look::Found(Err(Refusal::Panicked)) => {
                    self.outlet.link.look_end_after_panic().map(Err)
                }
                _ => None,
            },
            State::Aside { slot, .. } => slot.take(),
            State::Value(_) | State::Over => unreachable!("a future is not polled when it is over"),
        }
    }
}

impl<T> Drop for Sending<T> {
    fn drop(&mut self) {
        if let State::Aside { cancelled, .. } = &self.state {
            cancelled.store(true, SeqCst);
            self.outlet.link.turn.ring(); // The helper thread takes back what it has sent.
        }
    }
}
