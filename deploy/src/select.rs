//! The first of several channels that is ready.
//!
//! Deliberately absent: which one is chosen, and how a thread waits for it (`select/choice.rs`).

mod choice;

pub(crate) use choice::{Arm, Arms, Begun, Chosen};

use crate::{error::ChannelError, receiver::Receiver, sender::Sender};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    panic::Location,
    ptr,
    time::{Duration, Instant},
};

/// A set of channel operations, made at run time, of which one is done.
///
/// ```no_run
/// # use deploy::*;
/// fn first(receivers: &[Receiver<u64>]) -> Result<u64, ChannelError> {
///     let mut select = Select::new();
///     for receiver in receivers {
///         select.recv(receiver);
///     }
///     let operation = select.select();
///     let index = operation.index();
///     operation.recv(&receivers[index])
/// }
/// ```
#[derive(Default)]
pub struct Select<'a> {
    arms: Arms<'a>,
}

impl<'a> Select<'a> {
    /// An empty set.
    pub fn new() -> Select<'a> {
        Select::default()
    }

    /// Adds receiving from `receiver`; returns its index. It is ready when there is a value or an end.
    pub fn recv<T: Serialize + DeserializeOwned + Send + 'static>(
        &mut self,
        receiver: &'a Receiver<T>,
    ) -> usize {
        self.arms.add(receiver)
    }

    /// Adds sending to `sender`; returns its index. It is ready when sending can start, or when there is an end.
    pub fn send<T: Serialize + DeserializeOwned + Send + 'static>(
        &mut self,
        sender: &'a Sender<T>,
    ) -> usize {
        self.arms.add(sender)
    }

    /// Blocks until an operation is ready; among several, one is chosen at random, each as likely as the others.
    ///
    /// # Panics
    /// If the set is empty.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        assert!(
            self.arms.len() > 0,
            "deploy: a select without operations would wait for ever"
        );
        let chosen = self.arms.wait(None, Location::caller());
        chosen
            .map(SelectedOperation::new)
            .expect("a wait without deadline finds something")
    }

    /// An operation that is ready, if any is.
    pub fn try_select(&mut self) -> Option<SelectedOperation<'a>> {
        self.arms.begin_one().map(SelectedOperation::new)
    }

    /// Blocks until an operation is ready, or until `timeout` is over.
    #[track_caller]
    pub fn select_timeout(&mut self, timeout: Duration) -> Option<SelectedOperation<'a>> {
        let deadline = Instant::now().checked_add(timeout);
        let chosen = self.arms.wait(deadline, Location::caller());
        chosen.map(SelectedOperation::new)
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Select of {}", self.arms.len())
    }
}

/// The operation that was chosen: do it now.
///
/// To receive does not block, whatever other threads take meanwhile; dropped, it leaves the value to the next who receives.
/// To send blocks where the value is longer than there is room for, or another thread has taken the room.
#[must_use = "a selected operation is yet to be done"]
pub struct SelectedOperation<'a> {
    index: usize,
    arm: &'a dyn Arm,
    begun: Option<Begun>,
}

impl<'a> SelectedOperation<'a> {
    fn new(chosen: Chosen<'a>) -> SelectedOperation<'a> {
        SelectedOperation {
            index: chosen.index,
            arm: chosen.arm,
            begun: Some(chosen.begun),
        }
    }

    /// Which one it is, in the order of adding.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Receives from the receiver that was added.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub fn recv<T: Serialize + DeserializeOwned + Send + 'static>(
        mut self,
        receiver: &Receiver<T>,
    ) -> Result<T, ChannelError> {
        assert!(
            ptr::addr_eq(self.arm, receiver),
            "deploy: a selected operation is done with the receiver that was added"
        );
        let begun = self.begun.take().expect("it is done once");
        receiver.take_received(begun.received())
    }

    /// Sends to the sender that was added.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub fn send<T: Serialize + DeserializeOwned + Send + 'static>(
        self,
        sender: &Sender<T>,
        value: T,
    ) -> Result<(), ChannelError> {
        assert!(
            ptr::addr_eq(self.arm, sender),
            "deploy: a selected operation is done with the sender that was added"
        );
        sender.send(value)
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.arm.leave(begun);
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SelectedOperation({})", self.index)
    }
}

/// Waits for the first of several channel operations, and does it.
///
/// `recv(receiver) -> result => ..` is ready when there is a value or an end; `send(sender, value) -> result => ..` is
/// ready when sending can start, and evaluates its value only when it is chosen. Among several that are ready, one is
/// chosen at random, each as likely as the others. With `default => ..` it does not wait; with `default(timeout) => ..` it waits no longer than that.
/// The arms' values are the macro's.
///
/// A value longer than some 16 KiB may still wait for room once its arm is chosen, and nothing is received meanwhile: two
/// processes that do so to each other wait for ever. Send such values from another thread or task than the one that receives.
///
/// ```no_run
/// # use deploy::*; use std::time::Duration;
/// fn serve(orders: &Receiver<String>, ticks: &Receiver<u64>, answers: &Sender<usize>) {
///     let mut ready = 0;
///     loop {
///         select! {
///             recv(orders) -> order => match order {
///                 Ok(order) => ready += order.len(),
///                 Err(_) => break,
///             },
///             recv(ticks) -> _tick => println!("{ready} ready"),
///             send(answers, ready) -> sent => sent.expect("somebody listens"),
///             default(Duration::from_secs(1)) => println!("a quiet second"),
///         }
///     }
/// }
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)+) => { $crate::__select!(@arms [] () $($arms)+) };
}

/// The steps of [`select!`](crate::select!), apart from it so that its page shows none of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Each arm is parsed, and its channel evaluated once, in order.
    (@arms [$($done:tt)*] $default:tt recv($receiver:expr) -> $result:pat => $body:block $($rest:tt)*) => {{
        let receiver = &$receiver;
        $crate::__select!(@arms [$($done)* (recv receiver $result, $body)] $default $($rest)*)
    }};
    (@arms [$($done:tt)*] $default:tt recv($receiver:expr) -> $result:pat => $body:expr $(, $($rest:tt)*)?) => {{
        let receiver = &$receiver;
        $crate::__select!(@arms [$($done)* (recv receiver $result, $body)] $default $($($rest)*)?)
    }};
    (@arms [$($done:tt)*] $default:tt send($sender:expr, $value:expr) -> $result:pat => $body:block $($rest:tt)*) => {{
        let sender = &$sender;
        $crate::__select!(@arms [$($done)* (send sender $value, $result, $body)] $default $($rest)*)
    }};
    (@arms [$($done:tt)*] $default:tt send($sender:expr, $value:expr) -> $result:pat => $body:expr $(, $($rest:tt)*)?) => {{
        let sender = &$sender;
        $crate::__select!(@arms [$($done)* (send sender $value, $result, $body)] $default $($($rest)*)?)
    }};
    (@arms $done:tt () default => $body:block $($rest:tt)*) => {
        $crate::__select!(@arms $done (try_select() $body) $($rest)*)
    };
    (@arms $done:tt () default => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@arms $done (try_select() $body) $($($rest)*)?)
    };
    (@arms $done:tt () default($timeout:expr) => $body:block $($rest:tt)*) => {
        $crate::__select!(@arms $done (select_timeout($timeout) $body) $($rest)*)
    };
    (@arms $done:tt () default($timeout:expr) => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@arms $done (select_timeout($timeout) $body) $($($rest)*)?)
    };
    // A block may have a comma behind it, which the rules above cannot tell from what follows it.
    (@arms $done:tt $default:tt , $($rest:tt)*) => { $crate::__select!(@arms $done $default $($rest)*) };
    // All are: choose.
    (@arms [$($done:tt)*] ()) => {{
        let mut select = $crate::Select::new();
        $( $crate::__select!(@add select $done); )*
        let chosen = select.select();
        $crate::__select!(@do chosen [0usize] $($done)*)
    }};
    (@arms [$($done:tt)*] ($wait:ident($($timeout:expr)?) $default:expr)) => {{
        #[allow(unused_mut, reason = "a select of a default alone adds nothing")]
        let mut select = $crate::Select::new();
        $( $crate::__select!(@add select $done); )*
        match select.$wait($($timeout)?) {
            Some(chosen) => $crate::__select!(@do chosen [0usize] $($done)*),
            None => $default,
        }
    }};
    (@add $select:ident (recv $receiver:ident $($rest:tt)*)) => { $select.recv($receiver) };
    (@add $select:ident (send $sender:ident $($rest:tt)*)) => { $select.send($sender) };
    // Do the one with this number.
    (@do $chosen:ident [$index:expr]) => {{ let _ = $chosen; unreachable!("every number belongs to an arm") }};
    (@do $chosen:ident [$index:expr] (recv $receiver:ident $result:pat, $body:expr) $($rest:tt)*) => {
        if $chosen.index() == $index {
            let $result = $chosen.recv($receiver);
            $body
        } else {
            $crate::__select!(@do $chosen [$index + 1] $($rest)*)
        }
    };
    (@do $chosen:ident [$index:expr] (send $sender:ident $value:expr, $result:pat, $body:expr) $($rest:tt)*) => {
        if $chosen.index() == $index {
            let $result = $chosen.send($sender, $value);
            $body
        } else {
            $crate::__select!(@do $chosen [$index + 1] $($rest)*)
        }
    };
    (@ $($wrong:tt)*) => {
        compile_error!("select! takes recv(receiver) -> result => .., send(sender, value) -> result => .., and one default => .. or default(timeout) => ..")
    };
}
