//! One Rust program, many processes: a function becomes a process, and processes talk over typed channels.
//!
//! ```no_run
//! use deploy::*;
//!
//! fn main() {
//!     init(Resources::default());
//!     let pid = spawn(square, 7, Resources::default()).expect("Out of resources!");
//!     let receiver = Receiver::<u64>::new(pid);
//!     assert_eq!(receiver.recv(), Ok(49));
//!     assert_eq!(receiver.recv(), Err(ChannelError::Closed));
//!     assert!(pid.wait().unwrap().success());
//! }
//!
//! fn square(parent: Pid, number: u64) {
//!     let sender = Sender::<u64>::new(parent);
//!     sender.send(number * number).unwrap();
//! }
//! ```
//!
//! `cargo run` runs them on this machine; `cargo deploy`, a command of its own, runs the same program on a cluster,
//! unchanged. Where to begin:
//!
//! - A function that is called many times, by as many processes as there is room for: [`Pool`], with [`on`](macro@on) and
//!   [`with`](macro@with).
//! - Processes that talk to each other: [`spawn`] or [`Builder`], [`Sender`] and [`Receiver`], [`select!`].
//! - What goes wrong, as values: [`ChannelError`], [`SpawnError`], [`WaitError`], [`DistributionError`].
//!
//! Deliberately absent: an executor of tasks, which programs choose themselves; and anything about other machines, which the
//! daemon `fabric` and `cargo deploy` look after.
//!
//! # The lives of a program
//! The process that the person starts never goes on behind [`init`]: it executes the program again, as its *initial
//! process*, watches, and stands between the processes and the terminal. The initial process goes on with `main`. Every
//! other process runs `main` up to `init`, and there, on a thread of its own, the function that it was spawned with. So
//! `init` is the first statement of `main`, and what stands before it runs in every process.
//!
//! A process outlives its parent unless it is [linked](Builder::link) to it. The program ends when all its processes
//! have ended. What they change in their environment, their statics or their working directory is their own; each
//! begins with the arguments and the environment that the program was started with. The initial process has the
//! program's standard input, the others have none.
//!
//! # What blocks, and until when
//!
//! | call                                         | blocks until                                                        |
//! |----------------------------------------------|---------------------------------------------------------------------|
//! | [`spawn`]                                    | the process was started or refused, about a millisecond             |
//! | [`Builder::spawn`] with [`Builder::wait`]    | its resources are free, in the order of asking                      |
//! | [`Sender::new`], [`Receiver::new`]           | never; nor does dropping them                                       |
//! | [`Sender::send`]                             | the receiver's window has room                                      |
//! | [`Sender::try_send`], [`Receiver::try_recv`] | never                                                               |
//! | [`Sender::flush`]                            | the peer's runtime holds all that was sent                          |
//! | [`Receiver::recv`], [`Receiver::iter`]       | a value or the channel's end has come                               |
//! | `read` and `write` of channels of bytes      | there is a byte, or the channel's end; the window has room          |
//! | [`Receiver::recv_timeout`]                   | the same, or the time is over                                       |
//! | [`select!`], [`Select::select`]              | one of the operations is ready                                      |
//! | [`Pid::wait`]                                | the process has ended and all that it printed was taken             |
//! | [`Pid::wait_timeout`]                        | the same, or the time is over                                       |
//! | [`Pid::kill`]                                | the signal is on its way                                            |
//! | `return` from a worker or `main`, `exit`     | every peer that lives has what was sent; its user's code need do nothing |
//!
//! A call that blocks stops no channel used by another thread. On a thread of an async runtime it stops that thread, as
//! any blocking call does: tasks use [`Sender::send_async`], [`Receiver::recv_async`], or the two ends as a `Sink` and a
//! `Stream`, [`Builder::spawn_async`] and [`Pid::wait_async`].
//!
//! # The environment
//!
//! | variable                                 | what it does                                                            |
//! |------------------------------------------|-------------------------------------------------------------------------|
//! | `DEPLOY_FORMAT`                          | `human`, as if not set; `fold`, identical lines of several processes once; or `json`, one object a line on standard output |
//! | `DEPLOY_CAPACITY`                        | `'4GiB 2'`, memory and cores, GPUs as a third word: counts what processes ask for; not set, everything fits |
//! | `DEPLOY_WRAP`                            | `'gdb --args'`: a command that starts the initial process with its own command behind |
//! | `DEPLOY_WRAP_WORKER`                     | a function's name: the processes that `DEPLOY_WRAP` starts instead      |
//! | `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` | no colours; none with `0`; colours also where there is no terminal      |
//! | `TERM`                                   | `dumb`: a terminal without colours                                      |
//! | `DEPLOY_CHANNELS`                        | for tests and measurement: `tcp` or `tcp-plain` as if on two machines; `sockets` or `memory` alone on one |
//! | `DEPLOY_BIRTH`                           | how a process finds what it is; [`init`] removes it                     |
//! | `DEPLOY_KEEPER`                          | how the process that clears up after a killed monitor finds its duty    |
//!
//! # The exit code
//! The initial process's own if it failed; else that of the first other process that failed by itself, and was not
//! ended by [`Pid::kill`], by its link or from the terminal; else 0. A signal N counts as 128 + N. Where no process of the
//! program decided it, it is one of our own, [`OwnCode`].

#[cfg(feature = "distributed")]
mod alone;
#[cfg(feature = "distributed")]
mod aside;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod bed_tests;
#[cfg(feature = "distributed")]
mod bytes;
#[cfg(feature = "distributed")]
mod carrier;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod channel_tests;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod choice_tests;
#[cfg(feature = "distributed")]
mod codec;
#[cfg(feature = "distributed")]
mod control;
#[cfg(feature = "distributed")]
mod drain;
#[cfg(feature = "distributed")]
mod encoder;
#[cfg(feature = "distributed")]
mod error;
#[cfg(feature = "distributed")]
mod fatal;
#[cfg(feature = "distributed")]
mod future;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod future_tests;
#[cfg(feature = "distributed")]
mod hub;
#[cfg(feature = "distributed")]
mod init;
#[cfg(feature = "distributed")]
mod iter;
#[cfg(feature = "distributed")]
mod itself;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod late_tests;
#[cfg(feature = "distributed")]
mod link;
#[cfg(feature = "distributed")]
mod links;
#[cfg(feature = "distributed")]
mod long;
#[cfg(feature = "distributed")]
mod lookout;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod lying_tests;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod many_tests;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod midst_tests;
#[cfg(feature = "distributed")]
mod outlet;
mod park;
#[cfg(feature = "distributed")]
mod pid;
mod pool;
#[cfg(feature = "distributed")]
mod process;
#[cfg(feature = "distributed")]
mod reactor;
#[cfg(feature = "distributed")]
mod reactor_waker;
#[cfg(feature = "distributed")]
mod receiver;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod room_tests;
#[cfg(feature = "distributed")]
mod scratch;
#[cfg(feature = "distributed")]
mod select;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod select_tests;
#[cfg(feature = "distributed")]
mod selectable;
#[cfg(feature = "distributed")]
mod sender;
#[cfg(feature = "distributed")]
mod sending;
#[cfg(feature = "distributed")]
mod share;
#[cfg(feature = "distributed")]
mod spawn;
mod spawn_error;
#[cfg(feature = "distributed")]
mod spin;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod stress_tests;
#[cfg(test)]
#[cfg(feature = "distributed")]
mod tampered_tests;
#[cfg(feature = "distributed")]
mod turn;
#[cfg(feature = "distributed")]
mod waits;
#[cfg(feature = "distributed")]
mod windows;

#[cfg(feature = "distributed")]
pub use crate::{
    error::{ChannelError, Lost, RecvTimeoutError, TryRecvError, TrySendError, WaitError},
    init::init,
    iter::{IntoIter, Iter},
    itself::{parent, pid, resources},
    pid::Pid,
    receiver::Receiver,
    select::{Select, SelectedOperation},
    selectable::{Selectable, run, select},
    sender::Sender,
    spawn::{Builder, spawn},
};
pub use crate::{
    pool::{Broadcast, Call, DistributedResult, DistributionError, Map, Pool},
    spawn_error::SpawnError,
};
/// Has a function run in the worker processes of a [`Pool`]: `#[on(POOL)]`.
///
/// The function returns a [`Call`] of what it returned before: a future of `Result<T, DistributionError>`, or a value that
/// a thread [waits](Call::wait) for. Its body stays as it is.
///
/// ```no_run
/// use deploy::*;
///
/// static POOL: Pool = Pool::new();
///
/// #[on(POOL)]
/// fn shout(text: &str) -> String {
///     text.to_uppercase()
/// }
///
/// fn main() -> Result<(), DistributionError> {
///     init(Resources::default());
///     println!("{}", shout("hello").wait()?);
///     Ok(())
/// }
/// ```
///
/// It may be any function or method that is not a trait's: generic, `async`, nested, in a library, with up to 12 arguments.
/// - Arguments and result are copied to another process and back: they are `Serialize + DeserializeOwned + Send + 'static`.
///   An argument may be a reference whose owned form is that, as `&str`, `&[T]` or `&self` of a type that is `Clone`.
/// - What a call changes in its process, a `static` for one, is the worker's own, and later calls there find it.
/// - Where the function calls itself, it calls the pool: from within a worker, one of the worker's own.
/// - An `async` function is the only task of its worker, which has no runtime but what the function starts.
/// - `T` may be a `Result`; what the function returned is then within what the call returns.
///
/// [`Pool::retries`] says which calls may run twice.
///
/// With the crate's feature `distributed` off there are no processes, and the function runs where it is awaited.
///
/// ```compile_fail
/// # use deploy::*;
/// # static POOL: Pool = Pool::new();
/// struct Picture; // It has no `Serialize`, and the error names it.
///
/// #[on(POOL)]
/// fn mirrored(picture: Picture) -> Picture {
///     picture
/// }
/// # fn main() {}
/// ```
pub use deploy_macros::on;

/// The same as [`on`], with what each call needs beyond the pool's own: `#[with(POOL, mem = "1GiB", cpu = 2)]`.
///
/// | word      | what                                                | written as                                   |
/// |-----------|-----------------------------------------------------|----------------------------------------------|
/// | `mem`     | memory of a worker                                  | `"1GiB"`, or a [`Mem`]                       |
/// | `cpu`     | cores of a worker                                   | `2`, `0.5`, or a [`Cpu`]                     |
/// | `gpu`     | GPUs of a worker                                    | `1`                                          |
/// | `retries` | how often it is repeated where its worker died      | `0`                                          |
/// | `timeout` | how long it may run                                 | `"10s"`, `"250ms"`, or a `Duration`          |
///
/// Functions with other resources than the pool's have workers of their own in it, up to the pool's number for each.
///
/// ```no_run
/// use deploy::*;
///
/// static POOL: Pool = Pool::new();
///
/// #[with(POOL, mem = "1GiB", cpu = 2, timeout = "1min")]
/// fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
///     numbers.sort();
///     numbers
/// }
///
/// fn main() {
///     init(Resources::default());
///     assert_eq!(sorted(vec![2, 1]).wait(), Ok(vec![1, 2]));
/// }
/// ```
pub use deploy_macros::with;
#[cfg(feature = "distributed")]
pub use deploy_wire::code::OwnCode;
pub use deploy_wire::{
    exit::{End, ExitStatus, Reason},
    resources::{Cpu, Mem, ParseAmountError, Resources},
};

/// Nothing to begin: the program is this process alone.
#[cfg(not(feature = "distributed"))]
pub fn init(_resources: Resources) {}

/// What the attributes' own code needs.
#[doc(hidden)]
pub mod __private {
    pub use crate::pool::{
        Asked, Can, Cannot, Pool, Terms, Travels, Way, call, call_async, returns,
    };
}
