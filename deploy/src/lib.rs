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
//! Deliberately absent: an executor of tasks, which programs choose themselves, and other machines.
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
//! | `DEPLOY_FORMAT`                          | `human`, as if not set, or `json`: one object a line on standard output |
//! | `DEPLOY_CAPACITY`                        | `'4GiB 2'`, memory and cores, GPUs as a third word: counts what processes ask for; not set, everything fits |
//! | `DEPLOY_WRAP`                            | `'gdb --args'`: a command that starts the initial process with its own command behind |
//! | `DEPLOY_WRAP_WORKER`                     | a function's name: the processes that `DEPLOY_WRAP` starts instead      |
//! | `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` | no colours; none with `0`; colours also where there is no terminal      |
//! | `DEPLOY_BIRTH`                           | how a process finds what it is; [`init`] removes it                     |
//! | `DEPLOY_KEEPER`                          | how the process that clears up after a killed monitor finds its duty    |
//!
//! # The exit code
//! The initial process's own if it failed; else that of the first other process that failed by itself, and was not
//! ended by [`Pid::kill`], by its link or from the terminal; else 0. A signal N counts as 128 + N. Our own codes:
//!
//! | code | meaning                                                          |
//! |------|------------------------------------------------------------------|
//! | 70   | something that should not happen, told on standard error         |
//! | 71   | the machine could not start or watch the initial process         |
//! | 72   | the initial process asks for more than there is                  |
//! | 74   | what the processes printed could not be written, as on a full disk |
//! | 78   | a variable of the environment says nothing that we know          |

mod alone;
mod bytes;
mod carrier;
#[cfg(test)]
mod channel_tests;
mod codec;
mod control;
mod drain;
mod error;
mod future;
#[cfg(test)]
mod future_tests;
mod hub;
mod init;
mod iter;
mod link;
mod links;
mod long;
#[cfg(test)]
mod many_tests;
mod outlet;
mod park;
mod pid;
mod pool;
mod process;
mod reactor;
mod receiver;
mod scratch;
mod select;
#[cfg(test)]
mod select_tests;
mod selectable;
mod sender;
mod spawn;
mod spin;
#[cfg(test)]
mod stress_tests;
#[cfg(test)]
mod tampered_tests;
mod turn;

pub use crate::{
    error::{
        ChannelError, End, ExitStatus, Lost, ParseAmountError, Reason, RecvTimeoutError,
        SpawnError, TryRecvError, TrySendError, WaitError,
    },
    init::init,
    iter::{IntoIter, Iter},
    pid::Pid,
    pool::{Call, DistributedResult, DistributionError, Map, Pool},
    process::{parent, pid, resources},
    receiver::Receiver,
    select::{Select, SelectedOperation},
    selectable::{Selectable, run, select},
    sender::Sender,
    spawn::{Builder, spawn},
};
pub use deploy_macros::{on, with};
pub use deploy_wire::resources::{Cpu, Mem, Resources};

/// What the attributes' own code needs.
#[doc(hidden)]
pub mod __private {
    pub use crate::pool::{Pool, Terms, Travels, call, call_async, returns};
}
