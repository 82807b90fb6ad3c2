//! One Rust program, run on one machine or on a cluster.

mod alone;
#[cfg(test)]
mod channel_tests;
mod codec;
mod control;
mod drain;
mod error;
mod hub;
mod init;
mod link;
mod links;
mod long;
mod pid;
mod process;
mod reactor;
mod receiver;
mod scratch;
mod sender;
mod spawn;
mod turn;

pub use crate::{
    error::{
        ChannelError, End, ExitStatus, Lost, ParseAmountError, Reason, RecvTimeoutError,
        SpawnError, TryRecvError, TrySendError, WaitError,
    },
    init::init,
    pid::Pid,
    process::{parent, pid, resources},
    receiver::Receiver,
    sender::Sender,
    spawn::{Builder, spawn},
};
pub use deploy_wire::resources::{Cpu, Mem, Resources};
