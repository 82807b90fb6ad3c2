//! The first of several channels that is ready.
//!
//! To look whether something came is to take it: between a look and a later `recv` another thread could take the value, and
//! whoever had chosen it would wait there, for as long as it likes, and hear neither the other operations nor the deadline.
//!
//! A thread that waits for several connections sleeps on none of them: the reactor reads them all and rings their bells,
//! which wake it as they wake a task.

use crate::{
    error::ChannelError,
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
    fmt,
    hash::{BuildHasher, RandomState},
    panic::Location,
    ptr,
    sync::Arc,
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
    arms: Vec<&'a dyn Arm>,
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
        self.add(receiver)
    }

    /// Adds sending to `sender`; returns its index. It is ready when sending can start, or when there is an end.
    pub fn send<T: Serialize + DeserializeOwned + Send + 'static>(
        &mut self,
        sender: &'a Sender<T>,
    ) -> usize {
        self.add(sender)
    }

    /// Blocks until an operation is ready; among several, one is chosen at random.
    ///
    /// # Panics
    /// If the set is empty.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        assert!(
            !self.arms.is_empty(),
            "deploy: a select without operations would wait for ever"
        );
        let chosen = wait(&self.arms, None, Location::caller());
        self.selected(chosen)
            .expect("a wait without deadline finds something")
    }

    /// An operation that is ready, if any is.
    pub fn try_select(&mut self) -> Option<SelectedOperation<'a>> {
        self.selected(begin_one(&self.arms))
    }

    /// Blocks until an operation is ready, or until `timeout` is over.
    #[track_caller]
    pub fn select_timeout(&mut self, timeout: Duration) -> Option<SelectedOperation<'a>> {
        let deadline = Instant::now().checked_add(timeout);
        let chosen = wait(&self.arms, deadline, Location::caller());
        self.selected(chosen)
    }

    fn selected(&self, chosen: Option<(usize, Begun)>) -> Option<SelectedOperation<'a>> {
        let (index, begun) = chosen?;
        Some(SelectedOperation {
            index,
            arm: self.arms[index],
            begun: Some(begun),
        })
    }

    fn add(&mut self, arm: &'a dyn Arm) -> usize {
        self.arms.push(arm);
        self.arms.len() - 1
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

impl SelectedOperation<'_> {
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
    #[track_caller]
    pub fn send<T: Serialize + DeserializeOwned + Send + 'static>(
        self,
        sender: &Sender<T>,
        value: T,
    ) -> Result<(), ChannelError> {
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

/// Blocks until an arm is ready, or until the deadline.
pub(crate) fn wait(
    arms: &[&dyn Arm],
    deadline: Option<Instant>,
    at: Line,
) -> Option<(usize, Begun)> {
    if let Some(begun) = begin_one(arms) {
        return Some(begun);
    }
    let mut seats: Vec<Seat> = arms.iter().map(|_| Seat::default()).collect();
    park::until(deadline, |waker| {
        for (seat, arm) in seats.iter_mut().zip(arms) {
            seat.listen(arm.link(), waker, Some(arm.waiting(at)));
        }
        // What came before the bells could ring for this thread.
        begin_one(arms)
    })
}

/// Begins an arm that is ready, at random among several.
fn begin_one(arms: &[&dyn Arm]) -> Option<(usize, Begun)> {
    let start = random_below(arms.len());
    let mut order = (start..arms.len()).chain(0..start);
    order.find_map(|index| {
        let begun = arms[index].begin()?;
        Some((index, begun))
    })
}

/// A number below `count`, each about as likely. Nobody is to be fooled by it, so it is Marsaglia's xorshift.
fn random_below(count: usize) -> usize {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1));
    let mut state = STATE.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    STATE.set(state);
    (((state >> 32) * count as u64) >> 32) as usize
}

/// Waits for the first of several channel operations, and does it.
///
/// `recv(receiver) -> result => ..` is ready when there is a value or an end; `send(sender, value) -> result => ..` is
/// ready when sending can start, and evaluates its value only when it is chosen. Among several that are ready, one is
/// chosen at random. With `default => ..` it does not wait; with `default(timeout) => ..` it waits no longer than that.
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
