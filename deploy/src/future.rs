//! Channels for tasks: the same looks at the same connection, with a wake-up where a thread would sleep.
//!
//! Nothing here knows an executor. The reactor reads for tasks that wait, and rings the bell that wakes them.

use crate::{
    error::ChannelError,
    link::Seat,
    receiver::{Found, Receiver},
    sender::Sender,
    sending::Sending,
    waits::Waiting,
};
use deploy_wire::{frame::Kind, wait::Awaited};
use futures_core::Stream;
use futures_sink::Sink;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    future::{Future, poll_fn},
    panic::Location,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
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
    pub(crate) fn find(&self) -> Option<Result<T, ChannelError>> {
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

/// A value is sent at once where there is room, as by [`send`](Sender::send); one for which there is none is kept, the next is
/// accepted when it was sent, and `flush` completes when the last one was. Dropped before, the sender drops it too. `close`,
/// which `forward` ends with too, does to the peer what dropping the sender does, and whatever is sent after it returns
/// [`ChannelError::Closed`].
///
/// # `send` and `flush` in a task
/// The sender's own [`send`](Sender::send) and [`flush`](Sender::flush) hide those of `futures::SinkExt`: `sender.send(value)`
/// blocks the task's thread, also where the trait is imported, and only an `.await` behind it is an error of the compiler's.
/// A task writes `sender.send_async(value).await`, or says which one it means. `feed`, `send_all` and `close` are the sink's
/// alone; and on a variable that is itself a `&mut Sender`, so are all of them.
///
/// ```
/// use deploy::*;
/// use futures::{SinkExt, executor::block_on};
///
/// fn main() {
///     init(Resources::default());
///     let pid = spawn(sum, (), Resources::default()).expect("Out of resources!");
///     let mut sender = Sender::<u64>::new(pid);
///     block_on(talk(&mut sender)).unwrap();
///     assert_eq!(Receiver::<u64>::new(pid).recv(), Ok(15));
/// }
///
/// async fn talk(sender: &mut Sender<u64>) -> Result<(), ChannelError> {
///     sender.send_async(1).await?;
///     SinkExt::send(sender, 2).await?;
///     sender.feed(3).await?; // It may be kept until the next one, or until `flush`.
///     sender.send(4).await?; // The sink's, since `sender` is a `&mut Sender`.
///     let own: &Sender<u64> = sender;
///     own.send(5)?; // Blocks, until there is room.
///     sender.close().await
/// }
///
/// fn sum(parent: Pid, (): ()) {
///     let numbers = Receiver::<u64>::new(parent);
///     let sum: u64 = numbers.iter().map(Result::unwrap).sum();
///     Sender::new(parent).send(sum).unwrap();
/// }
/// ```
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
        let mut begun = Sending::new(outlet, value, Some(waiting));
        if let Some(done) = begun.start() {
            return done;
        }
        *sending = Some(begun);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        self.poll_sent(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ChannelError>> {
        ready!(self.as_mut().poll_sent(cx))?;
        self.outlet.close(Kind::Fin);
        self.outlet = self.outlet.cancellable(Arc::new(AtomicBool::new(true)));
        Poll::Ready(Ok(()))
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
