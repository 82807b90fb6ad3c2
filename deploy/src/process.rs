//! This process, once `init` has found out who it is.

use crate::{control::Control, link::Link, links::Links, pid::Pid};
use deploy_sys::fork;
use deploy_wire::{pid, resources::Resources};
use std::sync::{Arc, OnceLock};

pub(crate) struct Process {
    pub(crate) pid: pid::Pid,
    pub(crate) parent: Option<pid::Pid>,
    pub(crate) resources: Resources,
    /// Whether standard error, which is a pipe, ends at a terminal.
    pub(crate) stderr_is_terminal: bool,
    pub(crate) control: Arc<Control>,
    pub(crate) links: Arc<Links>,
    /// The kernel's process id: another one means that the user's code forked.
    pub(crate) os_pid: u32,
}

static CURRENT: OnceLock<Process> = OnceLock::new();

/// This process.
///
/// # Panics
/// If `init` was not called, or in a child that the program forked.
#[track_caller]
pub(crate) fn current() -> &'static Process {
    assert!(
        !fork::happened(),
        "deploy: this is a child that the program forked, and only a process that was spawned has channels: use spawn"
    );
    find().expect("deploy: call init(resources) first, at the beginning of main")
}

/// This process, if `init` was called.
pub(crate) fn find() -> Option<&'static Process> {
    CURRENT.get()
}

/// `init` says who this is.
pub(crate) fn set(process: Process) {
    assert!(CURRENT.set(process).is_ok(), "a process is born once");
}

/// Ends this process, which cannot be helped any more, with a sentence that says why.
pub(crate) fn give_up(why: &str) -> ! {
    eprintln!("deploy: {why}");
    std::process::abort()
}

/// The program closed what it did not open.
pub(crate) const CLOSED_OURS: &str = "this process closed descriptors that it did not open, and with them its connection \
    to the first process: a program may close what it opened itself, and nothing from number 512 on that it did not";

/// The connection to another process, made behind the caller's back if there is none.
#[track_caller]
pub(crate) fn link_to(pid: Pid) -> Arc<Link> {
    let process = current();
    assert!(
        pid.0 != process.pid,
        "deploy: {pid} is this process; a channel leads to another one"
    );
    process.links.to(pid.0, || process.control.connect(pid.0))
}

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
