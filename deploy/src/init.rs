//! Which life is this? The first process of a program, one of its processes, or what a debugger made of one.
//!
//! 1. The person starts the program. `init` finds no certificate: this process stays as the *monitor* (`alone.rs`), and
//!    starts the program once more, as its initial process.
//! 2. There `init` finds the number of a descriptor in its environment, and on that descriptor its birth certificate.
//!    The initial process goes on with its `main`.
//! 3. Every other process runs its function, on a thread of its own, and ends. That thread is mostly there before the
//!    certificate is (`ahead.rs`).
//!
//! One more, the *keeper*, never gets past `init`: it waits there for the end of a monitor that is killed, and clears up.

use crate::{
    ahead, alone,
    control::{self, Control},
    drain,
    hub::Hub,
    links::Links,
    process::{self, Process},
    reactor::Reactor,
    share::Sharing,
    spin::Spin,
};
use deploy_monitor::KEEPER_VARIABLE;
use deploy_sys::{
    code::{self, Entry},
    exit, fd, fork, limit, memfd, newborn,
    packet::{self, Beside},
    poller::Poller,
    process as os,
};
use deploy_wire::{
    birth::{BIRTH_VARIABLE, Birth, Cue, Expected, Work},
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
    let papers = Cradle::find().and_then(|mut cradle| match cradle.expected.take() {
        Some(expected) if cradle.is_to_wait() => ahead::wait(cradle, expected),
        _ => cradle.receive(),
    });
    match papers {
        Some(papers) => born(papers, resources).unwrap_or_else(|error| cannot_begin(&error)),
        None => alone::run(resources),
    }
}

/// Ends this process, which could not take up what its certificate says.
pub(crate) fn cannot_begin(error: &io::Error) -> ! {
    let why = limit::explain(error);
    eprintln!("deploy: this process could not begin: {why}");
    std::process::exit(OwnCode::Internal.number())
}

/// Where a newborn waits for its certificate.
pub(crate) struct Cradle {
    socket: OwnedFd,
    /// What it will be, most likely.
    expected: Option<Expected>,
    prepared: io::Result<Prepared>,
}

impl Cradle {
    /// That of this process, if it is told of one.
    fn find() -> Option<Cradle> {
        let variable = env::var_os(BIRTH_VARIABLE)?;
        // Whatever it says, it is not for our children: one that is not ours would make each of them a first process.
        newborn::remove_variable(BIRTH_VARIABLE);
        let cue = Cue::read(variable.to_str()?)?;
        let is_near = cue.monitor == Some(os::parent());
        let adopted = fd::adopt(cue.number);
        if adopted.is_err() && is_near {
            // To go on as a first process would be to start processes without end.
            eprintln!(
                "deploy: descriptor {} was closed before init: let init be the first statement of main",
                cue.number
            );
            std::process::exit(OwnCode::Setting.number())
        }
        Some(Cradle {
            socket: adopted.ok()?,
            expected: cue.expected.filter(|_| is_near),
            // A spare waits after this, and has done by then what needs no certificate.
            prepared: prepare(),
        })
    }

    /// Whether the certificate is not there yet.
    fn is_to_wait(&self) -> bool {
        !packet::is_waiting(self.socket.as_fd())
    }

    /// The poller of this process, unless there could be none.
    pub(crate) fn poller(&self) -> Option<Arc<Poller>> {
        Some(self.prepared.as_ref().ok()?.poller.clone())
    }

    /// Waits for the certificate. Nothing, if it is not this process's own: a program that was started by one of ours, and
    /// uses this library too, is a first process.
    pub(crate) fn receive(self) -> Option<Papers> {
        let socket = self.socket;
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
            prepared: self.prepared,
        })
    }
}

/// What any process of a job has. Where this is none, it does no harm.
fn prepare() -> io::Result<Prepared> {
    fork::watch()?;
    drain::prepare()?;
    code::find();
    Ok(Prepared {
        poller: Arc::new(Poller::new()?),
        spin: Spin::new(newborn::has_processors()),
    })
}

struct Prepared {
    poller: Arc<Poller>,
    spin: Spin,
}

/// What a process is born with.
pub(crate) struct Papers {
    socket: OwnedFd,
    birth: Birth,
    beside: Beside,
    /// What the certificate came in: memory for other packets.
    packet: Vec<u8>,
    prepared: io::Result<Prepared>,
}

impl Papers {
    /// Whether they say what was expected.
    pub(crate) fn are_of(&self, expected: &Expected) -> bool {
        let work = self.birth.work.as_ref();
        work.is_some_and(|work| work.name == expected.name)
    }
}

/// Becomes what the certificate says. Returns if this is the initial process; every other runs its function and ends.
fn born(papers: Papers, needed: Resources) -> io::Result<()> {
    newborn::name_process();
    let name = papers.birth.work.as_ref().map(|work| work.name.clone());
    let (reactor, task) = take_up(papers, Some(needed))?;
    let (Some(task), Some(name)) = (task, name) else {
        return reactor.start();
    };
    start(name, move || task.run())?;
    reactor.run()
}

/// Takes up what the certificate says, as far as it can be before the function runs. Only the initial process may need
/// something else than it was started with.
pub(crate) fn take_up(
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
    let task = birth.work.map(|work| Task::new(birth.image, work, file));
    Ok((Reactor::new(control, links), task.transpose()?))
}

/// A function of this program, and what it is called with.
pub(crate) struct Task {
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
    pub(crate) fn run(self) -> ! {
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
pub(crate) fn start(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.replace('\0', "\u{fffd}")) // Which no thread's name may hold.
        .stack_size(newborn::main_stack_bytes())
        .spawn(run)?;
    Ok(())
}

/// What a program ends with whose `main` panicked.
const PANICKED: i32 = 101;
