//! The classic form of selecting: operations as values, each with what to do about its result.

use crate::{
    error::ChannelError,
    receiver::Receiver,
    select::{Arm, Arms, Begun, Chosen},
    sender::Sender,
};
use serde::{Serialize, de::DeserializeOwned};
use std::panic::Location;

/// A channel operation with what to do about its result, for [`select`](fn@crate::select) and [`run`].
pub trait Selectable: sealed::Operation {}

mod sealed {
    use super::{Arm, Begun};

    /// What a `Selectable` is; nobody else makes one.
    pub trait Operation {
        #[expect(private_interfaces, reason = "the trait is sealed")]
        fn arm(&self) -> &dyn Arm;
        /// Does it, which was begun, and what is to be done about its result.
        #[expect(private_interfaces, reason = "the trait is sealed")]
        fn perform(self: Box<Self>, begun: Begun);
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// Receiving, as an operation to select: `value` is called with the value, or `error` with the channel's error.
    pub fn selectable_recv<'a>(
        &'a self,
        value: impl FnOnce(T) + 'a,
        error: impl FnOnce(ChannelError) + 'a,
    ) -> impl Selectable + 'a {
        Receiving {
            receiver: self,
            value,
            error,
        }
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Sender<T> {
    /// Sending, as an operation to select: `value` is called for the value once it can be sent, and `error` with the
    /// channel's error.
    pub fn selectable_send<'a>(
        &'a self,
        value: impl FnOnce() -> T + 'a,
        error: impl FnOnce(ChannelError) + 'a,
    ) -> impl Selectable + 'a {
        Sending {
            sender: self,
            value,
            error,
        }
    }
}

/// Blocks until one of the operations is ready, does it, and returns the others.
///
/// ```no_run
/// # use deploy::*;
/// fn relay(orders: &Receiver<String>, answers: &Sender<u64>) {
///     select(vec![
///         Box::new(orders.selectable_recv(|order| println!("{order}"), |error| println!("no orders: {error}"))),
///         Box::new(answers.selectable_send(|| 7, |error| println!("no answers: {error}"))),
///     ]);
/// }
/// ```
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn select<'a>(mut operations: Vec<Box<dyn Selectable + 'a>>) -> Vec<Box<dyn Selectable + 'a>> {
    assert!(
        !operations.is_empty(),
        "deploy: a select without operations would wait for ever"
    );
    let mut arms = Arms::default();
    for operation in &operations {
        arms.add(operation.arm());
    }
    let chosen = arms.wait(None, Location::caller());
    let Chosen { index, begun, .. } = chosen.expect("a wait without deadline finds something");
    operations.remove(index).perform(begun);
    operations
}

/// Does all the operations, each when it is ready; blocks until all are done. See [`select`](fn@crate::select).
///
/// ```no_run
/// # use deploy::*;
/// fn first_of_each(orders: &Receiver<String>, answers: &Sender<u64>) {
///     run(vec![
///         Box::new(orders.selectable_recv(|order| println!("{order}"), |error| println!("no orders: {error}"))),
///         Box::new(answers.selectable_send(|| 7, |error| println!("no answers: {error}"))),
///     ]);
/// }
/// ```
#[track_caller]
pub fn run<'a>(mut operations: Vec<Box<dyn Selectable + 'a>>) {
    while !operations.is_empty() {
        operations = select(operations);
    }
}

struct Receiving<'a, T: Serialize + DeserializeOwned + Send + 'static, V, E> {
    receiver: &'a Receiver<T>,
    value: V,
    error: E,
}

struct Sending<'a, T, V, E> {
    sender: &'a Sender<T>,
    value: V,
    error: E,
}

impl<T, V, E> Selectable for Receiving<'_, T, V, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    V: FnOnce(T),
    E: FnOnce(ChannelError),
{
}

impl<T, V, E> sealed::Operation for Receiving<'_, T, V, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    V: FnOnce(T),
    E: FnOnce(ChannelError),
{
    fn arm(&self) -> &dyn Arm {
        self.receiver
    }

    fn perform(self: Box<Self>, begun: Begun) {
        match self.receiver.take_received(begun.received()) {
            Ok(value) => (self.value)(value),
            Err(error) => (self.error)(error),
        }
    }
}

impl<T, V, E> Selectable for Sending<'_, T, V, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    V: FnOnce() -> T,
    E: FnOnce(ChannelError),
{
}

impl<T, V, E> sealed::Operation for Sending<'_, T, V, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    V: FnOnce() -> T,
    E: FnOnce(ChannelError),
{
    fn arm(&self) -> &dyn Arm {
        self.sender
    }

    fn perform(self: Box<Self>, _: Begun) {
        if let Err(error) = self.sender.send((self.value)()) {
            (self.error)(error);
        }
    }
}
