//! This process, once `init` has found out who it is.

use crate::{control::Control, link::Link, links::Links};
use deploy_sys::fork;
use deploy_wire::{pid::Pid, resources::Resources};
use std::sync::{Arc, OnceLock};

pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: Option<Pid>,
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

/// The connection to another process, made behind the caller's back if there is none.
#[track_caller]
pub(crate) fn link_to(pid: Pid) -> Arc<Link> {
    let process = current();
    assert!(
        pid != process.pid,
        "deploy: {pid} is this process; a channel leads to another one"
    );
    process.links.to(pid, || process.control.connect(pid))
}
