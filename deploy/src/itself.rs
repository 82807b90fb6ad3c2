//! What a process is told of itself: who it is, who its parent is, and what it was granted.
//!
//! Deliberately absent: other processes, of which a [`Pid`] can be asked (`pid.rs`).

use crate::{pid::Pid, process::current};
use deploy_wire::resources::Resources;

/// The identity of this process, which others send to and receive from. Does not block.
///
/// ```no_run
/// # use deploy::*;
/// fn worker(parent: Pid, (): ()) {
///     Sender::<Pid>::new(parent).send(pid()).expect("the parent listens");
/// }
/// ```
///
/// # Panics
/// If `init` was not called.
#[track_caller]
pub fn pid() -> Pid {
    Pid(current().pid)
}

/// The process that spawned this one, alive or not; nobody, if it is the initial process. Does not block.
///
/// # Panics
/// If `init` was not called.
#[track_caller]
pub fn parent() -> Option<Pid> {
    current().parent.map(Pid)
}

/// What this process was granted: what was asked for it, in bytes of memory, millionths of a core and whole GPUs. Does not
/// block.
///
/// ```no_run
/// # use deploy::*;
/// # init(Resources::default());
/// let buffer = Vec::<u8>::with_capacity(resources().mem.bytes() as usize / 2);
/// ```
///
/// # Panics
/// If `init` was not called.
#[track_caller]
pub fn resources() -> Resources {
    current().resources
}
