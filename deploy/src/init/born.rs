//! Becoming what the certificate says: its resources, its connections, its function.
//!
//! Deliberately absent: how the certificate comes (`cradle.rs`), and whether a thread waits for it already (`ahead.rs`).

use super::cradle::{Papers, Prepared};
use crate::{
    control::{self, Control},
    hub::Hub,
    links::Links,
    process::{self, Process},
    reactor::Reactor,
    share::Sharing,
    waits,
};
use deploy_sys::{
    code::{self, Entry},
    limit, memfd, newborn, process as os, tell,
};
use deploy_wire::{
    birth::Work,
    code::OwnCode,
    control::{Argument, Function},
    resources::Resources,
};
use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
};

/// Becomes what the certificate says. Returns if this is the initial process; every other runs its function and ends.
pub(super) fn begin(papers: Papers, needed: Resources) -> io::Result<()> {
    newborn::name_process();
    let name = papers.birth.work.as_ref().map(|work| work.name.clone());
    let (reactor, task) = take_up(papers, Some(needed))?;
    let (Some(task), Some(name)) = (task, name) else {
        return reactor.start();
    };
    start(name, move || task.run())?;
    reactor.run()
}

/// Ends this process, which could not take up what its certificate says.
pub(super) fn cannot_begin(error: &io::Error) -> ! {
    let why = limit::explain(error);
    tell!("deploy: this process could not begin: {why}");
    std::process::exit(OwnCode::Internal.number())
}

/// Takes up what the certificate says, as far as it can be before the function runs. Only the initial process may need
/// something else than it was started with.
pub(super) fn take_up(
    papers: Papers,
    needed: Option<Resources>,
) -> io::Result<(Reactor, Option<Task>)> {
    let birth = papers.birth;
    if papers.beside.is_cut {
        return Err(limit::no_descriptor());
    }
    os::die_with_parent()?;
    if !birth.wrapped && os::parent() != birth.monitor {
        std::process::abort(); // The monitor ended before it could be noticed.
    }
    os::raise_descriptor_limit()?;
    os::set_blocked_signals(birth.signals_blocked);
    let mut descriptors = papers.beside.descriptors;
    let Prepared { poller, spin } = papers.prepared?;
    let hub = Hub::new(
        birth.resources.mem.bytes(),
        spin,
        Sharing::from_env(),
        poller,
    );
    let links = Arc::new(Links::new(Arc::new(hub)));
    let socket = control::raise(papers.socket);
    let control = Arc::new(Control::new(socket, links.clone(), papers.packet)?);
    // Alone it was started with what it needs; a cluster learns that only now.
    let resources = match (&birth.work, needed) {
        (None, Some(needed)) if birth.resources != needed => control.need(needed),
        _ => birth.resources,
    };
    waits::be_watched_by(links.hub.reactor.clone());
    process::set(Process {
        pid: birth.pid,
        parent: birth.parent,
        resources,
        stderr_is_terminal: birth.stderr_is_terminal,
        control: control.clone(),
        links: links.clone(),
        os_pid: std::process::id(),
    });
    let file = match &birth.work {
        Some(work) if matches!(work.argument, Argument::File { .. }) => descriptors.pop(),
        _ => None,
    };
    match (birth.parent, descriptors.pop()) {
        (Some(parent), Some(socket)) => {
            links.handle_connected(parent, control::raise(socket), birth.seal);
        }
        // Who is on another machine is connected later.
        (Some(parent), None) => links.expect(parent),
        (None, _) => {}
    }
    let task = birth.work.map(|work| Task::new(birth.image, work, file));
    Ok((Reactor::new(control, links), task.transpose()?))
}

/// A function of this program, and what it is called with.
pub(super) struct Task {
    entry: Entry,
    argument: Vec<u8>,
}

impl Task {
    fn new(image: u128, work: Work, file: Option<OwnedFd>) -> io::Result<Task> {
        let Function { offset, name } = work.function;
        let missing = |why| io::Error::other(format!("{name} is not in this program: {why:?}"));
        Ok(Task {
            argument: argument(work.argument, file)?,
            entry: code::entry(image, offset).map_err(missing)?,
        })
    }

    /// Runs it. The process ends with it.
    pub(super) fn run(self) -> ! {
        // Its values are dropped, as they would be at the end of any thread, before the process ends.
        let ended = panic::catch_unwind(AssertUnwindSafe(|| (self.entry)(self.argument)));
        std::process::exit(if ended.is_ok() { 0 } else { PANICKED })
    }
}

fn argument(argument: Argument, file: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    match (argument, file) {
        (Argument::Inline(bytes), _) => Ok(bytes),
        (Argument::File { .. }, Some(file)) => memfd::read_all(&File::from(file)),
        (Argument::File { .. }, None) => Err(io::Error::other(
            "the certificate came without its argument",
        )),
    }
}

/// Starts the thread that the function runs on, named after it, with the stack that a main thread has: a runtime that the
/// main thread is inside of (`#[tokio::main]`) is not in the function's way.
pub(super) fn start(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.replace('\0', "\u{fffd}")) // Which no thread's name may hold.
        .stack_size(newborn::main_stack_bytes())
        .spawn(run)?;
    Ok(())
}

/// What a program ends with whose `main` panicked.
const PANICKED: i32 = 101;
