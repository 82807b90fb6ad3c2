//! Channels for tasks: the same looks at the same connection, with a wake-up where a thread would sleep.
//!
//! Nothing here knows an executor. The reactor reads for tasks that wait, and rings the bell that wakes them.

use crate::{
    error::ChannelError,
    long::{self, Slot},
    outlet::{self, Encoded, Outlet, Refusal},
    receiver::{Found, Receiver},
    scratch,
    sender::Sender,
    turn::{Look, Seat},
    waits::Waiting,
};
use deploy_sys::limit;
use deploy_wire::{outbound::RECORD_BYTES_MAX, wait::Awaited};
use futures_core::Stream;
use futures_sink::Sink;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    future::{Future, poll_fn},
    panic::Location,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::*},
    },
    task::{Context, Poll, ready},
    thread,
};

impl<T: Serialize + DeserializeOwned + Send + 'static> Sender<T> {
    /// Sends a value; completes when there was room for it. Dropped before, it has sent the value wholly or not at all.
    ///
    /// # Errors
    /// As for [`send`](Sender::send).
    #[track_caller]
    pub fn send_async(
        &self,
        value: T,
    ) -> impl Future<Output = Result<(), ChannelError>> + Send + '_ {
        let waiting = (self.outlet).waiting(Awaited::Room, Some(Location::caller()));
        let mut sending = Sending::new(self.outlet.clone(), value, Some(waiting));
        poll_fn(move |cx| sending.poll(cx))
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// Receives a value; completes when there is one. Dropped before, it loses nothing.
    ///
    /// # Errors
    /// As for [`recv`](Receiver::recv).
    #[track_caller]
    pub fn recv_async(&self) -> impl Future<Output = Result<T, ChannelError>> + Send + '_ {
        let mut seat = Seat::default();
        let waiting = Some(self.waiting(Some(Location::caller())));
        poll_fn(move |cx| self.poll_recv(&mut seat, cx, waiting))
    }

    pub(crate) fn poll_recv(
        &self,
        seat: &mut Seat,
        cx: &mut Context<'_>,
        waiting: Option<Waiting>,
    ) -> Poll<Result<T, ChannelError>> {
        if let Some(value) = self.find() {
            return Poll::Ready(value);
        }
        seat.listen(&self.link, cx.waker(), waiting);
        // What came before the bell could ring for this task.
        self.find().map_or(Poll::Pending, Poll::Ready)
    }

    /// A value or an end, if it can be had without waiting.
    fn find(&self) -> Option<Result<T, ChannelError>> {
        match self.try_find()? {
            Found::Value(value) => Some(value),
            Found::Panicked => self.link.look_end_after_panic().map(Err),
            Found::Long { total, .. } => {
                self.receive_aside(total);
                None
            }
        }
    }
}

/// The values as they come. Ends when the peer drops its sender; after any other error of the channel comes that error,
/// and then the end.
impl<T: Serialize + DeserializeOwned + Send + 'static> Stream for Receiver<T> {
    type Item = Result<T, ChannelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut seat = std::mem::take(&mut self.seat);
        let waiting = Some(self.waiting(None));
        let polled = self.poll_recv(&mut seat, cx, waiting);
        self.seat = seat;
        let value = ready!(polled);
        self.over = !matches!(value, Ok(_) | Err(ChannelError::Codec(_)));
        Poll::Ready(Some(value).filter(|value| !matches!(value, Err(ChannelError::Closed))))
    }
}

/// A value is accepted when the one before it was sent; `flush` completes when the last one was.
impl<T: Serialize + DeserializeOwned + Send + 'static> Sink<T> for Sender<T> {
    type Error = ChannelError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        self.poll_sent(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), ChannelError> {
        let outlet = self.outlet.clone();
        let sending = self.sending();
        assert!(sending.is_none(), "poll_ready comes before start_send");
        let waiting = outlet.waiting(Awaited::Room, None);
        *sending = Some(Sending::new(outlet, value, Some(waiting)));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        self.poll_sent(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        self.poll_sent(cx)
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Sender<T> {
    fn poll_sent(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        let slot = self.sending();
        let Some(sending) = slot else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(sending.poll(cx));
        *slot = None;
        Poll::Ready(sent)
    }
}

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

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        if let State::Value(_) = self.state {
            let State::Value(value) = std::mem::replace(&mut self.state, State::Over) else {
                unreachable!("it was a value a line above");
            };
            if let Some(done) = self.begin(value) {
                return Poll::Ready(done);
            }
        }
        if let Some(done) = self.look() {
            return self.finish(done);
        }
        self.seat
            .listen(&self.outlet.link, cx.waker(), self.waiting);
        // What came before the bell could ring for this task.
        match self.look() {
            Some(done) => self.finish(done),
            None => Poll::Pending,
        }
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
            let sent = long::help(|| scratch::with(|scratch| outlet.send(&value, scratch, at)));
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

    fn finish(&mut self, done: Result<(), ChannelError>) -> Poll<Result<(), ChannelError>> {
        self.state = State::Over;
        Poll::Ready(done)
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
