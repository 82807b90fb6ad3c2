//! Which life is this? The first process of a program, one of its processes, or what a debugger made of one.
//!
//! 1. The person starts the program. `init` finds no certificate: this process stays as the *monitor* (`alone.rs`), and
//!    starts the program once more, as its initial process.
//! 2. There `init` finds the number of a descriptor in its environment, and on that descriptor its birth certificate.
//!    The initial process goes on with its `main`.
//! 3. Every other process runs its function, on a thread of its own, and ends.
//!
//! One more, the *keeper*, never gets past `init`: it waits there for the end of a monitor that is killed, and clears up.

use crate::{
    alone,
    control::{self, Control},
    drain,
    hub::Hub,
    links::Links,
    process::{self, Process},
    reactor::Reactor,
    spin::Spin,
};
use deploy_monitor::KEEPER_VARIABLE;
use deploy_sys::{
    code, exit, fd, fork, limit, memfd, newborn,
    packet::{self, Beside},
    poller::Poller,
    process as os,
};
use deploy_wire::{
    birth::{BIRTH_VARIABLE, Birth},
    code::OwnCode,
    control::{Argument, Function},
    resources::Resources,
};
use std::{
    env,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
};

/// Makes this program one of many processes. The first statement of `main`: what stands before it runs in every
/// process, and what stands behind it only in the initial one.
///
/// `resources` is what the initial process needs. Threads may exist already, as under `#[tokio::main]`. In the process that
/// the person started it never returns: that one watches over the others, and exits when all have ended.
///
/// ```no_run
/// use deploy::*;
///
/// fn main() {
///     init(Resources { mem: 2 * Mem::GIB, cpu: Cpu::CORE, ..Resources::default() });
///     println!("I am {}, with {}", pid(), resources());
/// }
/// ```
///
/// # Panics
/// If it is called twice, or on another thread than `main`'s, as in a `#[test]`; if the machine cannot start another
/// process.
#[track_caller]
pub fn init(resources: Resources) {
    assert!(
        process::find().is_none(),
        "deploy: init was called before; call it once, at the beginning of main"
    );
    // On a thread of the test harness it would begin a job for each test, in each of whose processes all tests run.
    assert!(
        os::is_main_thread(),
        "deploy: init is called at the beginning of main, on its thread; a test that needs it sets `harness = false` and \
         has a main of its own"
    );
    if let Err(error) = deploy_monitor::keep_if_asked() {
        eprintln!("deploy: unset {KEEPER_VARIABLE}, which is for our own processes only: {error}");
        std::process::exit(OwnCode::Setting.number())
    }
    match certificate() {
        Some(papers) => {
            if let Err(error) = born(papers, resources) {
                let why = limit::explain(&error);
                eprintln!("deploy: this process could not begin: {why}");
                std::process::exit(OwnCode::Internal.number())
            }
        }
        None => alone::run(resources),
    }
}

/// The certificate of this process, if there is one and it is this process's own: a program that was started by one
/// of ours, and uses this library too, is a first process.
fn certificate() -> Option<Papers> {
    let variable = env::var_os(BIRTH_VARIABLE)?;
    // Whatever it says, it is not for our children: one that is not ours would make each of them a first process.
    newborn::remove_variable(BIRTH_VARIABLE);
    let variable = variable.to_str()?;
    let (number, monitor) = variable.split_once(',').unwrap_or((variable, ""));
    let adopted = fd::adopt(number.parse().ok()?);
    if adopted.is_err() && monitor.parse() == Ok(os::parent()) {
        // To go on as a first process would be to start processes without end.
        eprintln!(
            "deploy: descriptor {number} was closed before init: let init be the first statement of main"
        );
        std::process::exit(OwnCode::Setting.number())
    }
    let socket = adopted.ok()?;
    // A spare waits here, and has done by then what needs no certificate.
    let prepared = prepare();
    let mut bytes = Vec::new();
    let Some(beside) = packet::receive(socket.as_fd(), &mut bytes).ok()? else {
        exit::vanish() // The monitor ended before it had a use for this process.
    };
    let birth = Birth::decode(&bytes).ok()?;
    let own = if birth.wrapped {
        os::is_ancestor(birth.monitor)
    } else {
        os::parent() == birth.monitor
    };
    if !own
        && matches!(
            packet::try_receive(socket.as_fd(), &mut Vec::new()),
            Ok(None)
        )
    {
        exit::vanish() // The monitor was killed just now: this is no first process, which would run everything anew.
    }
    own.then_some(Papers {
        socket,
        birth,
        beside,
        packet: bytes,
        prepared,
    })
}

/// What any process of a job has. Where this is none, it does no harm.
fn prepare() -> io::Result<Prepared> {
    fork::watch()?;
    drain::prepare()?;
    Ok(Prepared {
        poller: Poller::new()?,
        spin: Spin::new(newborn::has_processors()),
    })
}

struct Prepared {
    poller: Poller,
    spin: Spin,
}

/// What a process is born with.
struct Papers {
    socket: OwnedFd,
    birth: Birth,
    beside: Beside,
    /// What the certificate came in: memory for other packets.
    packet: Vec<u8>,
    prepared: io::Result<Prepared>,
}

/// Takes up what the certificate says. Returns if this is the initial process; every other runs its function and ends.
fn born(papers: Papers, needed: Resources) -> io::Result<()> {
    let birth = papers.birth;
    if papers.beside.is_cut {
        return Err(limit::no_descriptor());
    }
    os::die_with_parent()?;
    newborn::name_process();
    if !birth.wrapped && os::parent() != birth.monitor {
        std::process::abort(); // The monitor ended before it could be noticed.
    }
    os::raise_descriptor_limit()?;
    os::set_blocked_signals(birth.signals_blocked);
    let mut descriptors = papers.beside.descriptors;
    let Prepared { poller, spin } = papers.prepared?;
    let hub = Hub::new(birth.resources.mem.bytes(), spin, poller);
    let links = Arc::new(Links::new(Arc::new(hub)));
    let socket = control::raise(papers.socket);
    let control = Arc::new(Control::new(socket, links.clone(), papers.packet)?);
    // Alone it was started with what it needs; a cluster learns that only now.
    let resources = match &birth.work {
        None if birth.resources != needed => control.need(needed),
        _ => birth.resources,
    };
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
    // A parent on another machine is connected later, without being asked.
    if let (Some(parent), Some(socket)) = (birth.parent, descriptors.pop()) {
        links.handle_connected(parent, control::raise(socket), birth.seal);
    }
    let reactor = Reactor::new(control, links);
    let Some(work) = birth.work else {
        return reactor.start();
    };
    let argument = argument(work.argument, file)?;
    start(birth.image, work.function, work.name, argument)?;
    reactor.run()
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

/// Runs the function on a thread of its own, named after it, with the stack that a main thread has: a runtime that
/// the main thread is inside of (`#[tokio::main]`) is not in the function's way. The process ends with the function.
fn start(image: u128, function: Function, name: String, argument: Vec<u8>) -> io::Result<()> {
    let entry = code::entry(image, function.offset).map_err(|why| {
        io::Error::other(format!("{} is not in this program: {why:?}", function.name))
    })?;
    let run = move || {
        // Its values are dropped, as they would be at the end of any thread, before the process ends.
        let ended = panic::catch_unwind(AssertUnwindSafe(|| entry(argument)));
        std::process::exit(if ended.is_ok() { 0 } else { PANICKED })
    };
    thread::Builder::new()
        .name(name.replace('\0', "\u{fffd}")) // Which no thread's name may hold.
        .stack_size(newborn::main_stack_bytes())
        .spawn(run)?;
    Ok(())
}

/// What a program ends with whose `main` panicked.
const PANICKED: i32 = 101;
