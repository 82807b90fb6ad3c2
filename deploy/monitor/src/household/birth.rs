//! How a process begins: started, announced, put into its group, and given its certificate.
//!
//! What a certificate means to the newborn is for the library to know.
//!
//! # The order
//! Nothing slow comes before the start. The certificate is sent when all else is done, so that no code of the user's runs
//! before the process is where it belongs; then the one who asked is answered, who can do nothing but ask for another
//! while the first is on its way.

use super::Household;
use crate::{
    child::{Child, Control},
    exchange::End,
    head::Head,
    keeper::Keeper,
    launcher::{Stdio, explain},
    signals::SIGKILL,
    voice::{STREAMS, Voice},
    watched::{Source, Watched},
};
use deploy_sys::{fd, group_limits::Limits, packet, pipe, process};
use deploy_wire::{birth::Birth, control::Notice, job::Begin, resources::Resources};
use mio::{Interest, unix::SourceFd};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

/// A process that runs and does not yet know what for.
struct Newborn {
    child: Child,
    is_wrapped: bool,
}

impl Household {
    /// Begins a process. Nothing is started for one that a person's signal has ended.
    pub(super) fn begin(
        &mut self,
        begin: Begin,
        file: Option<OwnedFd>,
        head: &mut dyn Head,
        now: Instant,
    ) {
        let (number, resources) = (begin.number, begin.resources);
        let asker = begin.parent.zip(begin.asked);
        if asker.is_some_and(|(parent, _)| self.is_interrupted(parent)) {
            return head.handle_not_begun(number, INTERRUPTED.to_string());
        }
        if begin.work.is_some() && self.keeper_due.is_some() {
            self.keeper_due = Some(now); // What a worker leaves behind has somebody to clear it away from the first on.
            self.start_keeper(now);
        }
        let worker = begin.work.as_ref().map(|work| work.function.name.as_str());
        if let Some(work) = &begin.work {
            // Where there is no memory for that, nothing is foretold, or something else.
            let _ = self.launcher.foretell(&work.name);
        }
        let parent = asker.map(|(parent, _)| parent);
        let mut started = self.launch_connected(number, worker, parent);
        if started.is_err() && self.release_spares() {
            started = self.launch_connected(number, worker, parent);
        }
        let ((parents_end, childs_end), newborn) = match started {
            Ok(started) => started,
            Err(error) => return head.handle_not_begun(number, explain(&error)),
        };
        head.handle_begun(number, now);
        if let (None, Some(input)) = (&begin.work, &mut self.input) {
            input.handle_begun();
        }
        let is_spawned = begin.work.is_some() && !newborn.is_wrapped;
        self.settle(newborn, begin, childs_end, file, head, now);
        if let Some((parent, id)) = asker {
            let result = Ok(self.pid(number));
            let (socket, seal) = parents_end.map(|end| (end.socket, end.seal)).unzip();
            let seal = seal.flatten();
            self.tell(parent, &Notice::Spawned { id, result, seal }, socket);
        }
        self.prepare();
        if is_spawned {
            self.spare.expect(now, resources, asker.is_some());
        }
    }

    /// Lets a keeper follow, a while after the initial process.
    pub(crate) fn expect_keeper(&mut self, now: Instant) {
        self.keeper_due = Some(now + KEEPER_AFTER);
    }

    /// Starts the keeper once it is due, where there is something to keep. A machine that cannot start one goes on
    /// without.
    pub(super) fn start_keeper(&mut self, now: Instant) {
        if self.keeper_due.take_if(|due| *due <= now).is_some() {
            self.keeper = (self.tree.as_ref()).and_then(|tree| Keeper::start(tree).ok());
        }
    }

    /// Starts the program once more, with a connection to its parent if that is here.
    fn launch_connected(
        &mut self,
        number: u32,
        worker: Option<&str>,
        parent: Option<u32>,
    ) -> io::Result<(Ends, Newborn)> {
        let connect = |parent| {
            let (parent, child) = (self.pid(parent), self.pid(number));
            self.about.exchange.connect(parent, child)
        };
        let ends = parent.map(connect).transpose()?;
        Ok((ends.unzip(), self.launch(number, worker)?))
    }

    /// Starts the program once more; nothing stays behind if that fails.
    fn launch(&mut self, number: u32, worker: Option<&str>) -> io::Result<Newborn> {
        if self.is_ending {
            return Err(io::Error::other(INTERRUPTED));
        }
        let is_wrapped = self.launcher.wraps(worker);
        let spare = match worker {
            Some(_) if !is_wrapped => self.spare.take(&self.registry),
            _ => None,
        };
        let child = match spare {
            Some(child) => child,
            None => self.execute(worker.is_none(), is_wrapped)?,
        };
        self.watch(number, &child).inspect_err(|_| {
            // Without these it would never be heard of again.
            let _ = child.process.signal(SIGKILL);
            let _ = child.process.wait();
        })?;
        Ok(Newborn { child, is_wrapped })
    }

    /// Executes the program once more, for nobody in particular yet.
    pub(super) fn execute(&mut self, is_initial: bool, is_wrapped: bool) -> io::Result<Child> {
        self.prepare();
        let (socket, birth) = packet::pair()?;
        let ((stdout, stdout_theirs), (stderr, stderr_theirs)) = (pipe::pipe()?, pipe::pipe()?);
        let stdin = match &self.input {
            _ if !is_initial => Some(self.about.null.as_fd()),
            Some(input) => Some(input.reader().unwrap_or(self.about.null.as_fd())),
            None => None, // Our own.
        };
        let stdio = Stdio {
            stdin,
            stdout: stdout_theirs.as_fd(),
            stderr: stderr_theirs.as_fd(),
            birth: birth.as_fd(),
        };
        let child = Child {
            process: self
                .launcher
                .start(is_wrapped, stdio, self.nursery.as_ref())?,
            voice: Voice::new([stdout, stderr]),
            leaf: self.nursery.take(),
            limits: None,
            allowance: None,
            is_dead: false,
            control: Control::new(fd::raise(socket)?),
            awaits_room: false,
        };
        // Fails only if it has ended already.
        let _ = process::limit_descriptors_of(child.process.id(), self.about.descriptor_limit);
        Ok(child)
    }

    fn watch(&self, number: u32, child: &Child) -> io::Result<()> {
        let process = (child.process.as_fd(), Source::Process);
        let control = (child.control.as_fd(), Source::Control);
        let pipe = |stream| Some((child.voice.pipe(stream)?, Source::Output(stream)));
        let sources = [process, control]
            .into_iter()
            .chain(STREAMS.into_iter().filter_map(pipe));
        for (descriptor, source) in sources {
            let raw = descriptor.as_raw_fd();
            let token = Watched::Process(number, source).token();
            self.registry
                .register(&mut SourceFd(&raw), token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Takes a newborn in and tells it who it is.
    fn settle(
        &mut self,
        newborn: Newborn,
        begin: Begin,
        connection: Option<End>,
        file: Option<OwnedFd>,
        head: &mut dyn Head,
        now: Instant,
    ) {
        let number = begin.number;
        let (socket, seal) = connection.map(|end| (end.socket, end.seal)).unzip();
        let birth = Birth {
            pid: self.pid(number),
            parent: begin.parent.map(|parent| self.pid(parent)),
            monitor: std::process::id(),
            wrapped: newborn.is_wrapped,
            image: self.about.image,
            work: begin.work,
            resources: begin.resources,
            signals_blocked: self.about.signals_blocked,
            stdout_is_terminal: self.about.stdout_is_terminal,
            stderr_is_terminal: self.about.stderr_is_terminal,
            seal: seal.flatten(),
        };
        let descriptors = socket.into_iter().chain(file).collect();
        self.children.insert(number, newborn.child);
        self.limit(number, begin.resources, now);
        self.catch_up(number, head, now);
        if let Some(child) = self.children.get_mut(&number) {
            let sent = child.control.send(birth.encode(), descriptors);
            sent.expect("a new outbox has room");
        }
        self.note_backlog(number);
        self.claim_early(number);
    }

    /// Limits a process to what it was granted, on a cluster.
    pub(super) fn limit(&mut self, number: u32, resources: Resources, now: Instant) {
        let Some(child) = self.children.get_mut(&number) else {
            return;
        };
        if let Some(allowance) = self.memory.allow(resources.mem, now) {
            child.allowance = Some(allowance);
        }
        if self.about.is_limited {
            child.limit(limits(resources));
        }
    }

    /// Looks at what each process uses, if it is time to, and kills who uses too much.
    pub(super) fn look_at_memory(&mut self, now: Instant) {
        let living = self.children.iter_mut().filter(|(_, child)| !child.is_dead);
        let allowed = living.filter_map(|(number, child)| {
            Some((*number, child.process.id(), child.allowance.as_mut()?))
        });
        for number in self.memory.look(allowed, now) {
            self.kill(number);
        }
    }

    /// Sends a newborn the signals that have come while it was started: the kernel may have passed it over. It does
    /// not know yet what it runs, so twice is as good as once.
    fn catch_up(&mut self, number: u32, head: &mut dyn Head, now: Instant) {
        for signal in self.heed_signals(head, now) {
            self.signal(number, signal);
        }
    }

    /// Makes the group of the next process ahead of time, where groups can be made.
    pub(super) fn prepare(&mut self) {
        if let (None, Some(tree)) = (&self.nursery, &self.tree) {
            self.nursery = self.vacant.pop().or_else(|| {
                self.groups_made += 1;
                tree.leaf(&self.groups_made.to_string()).ok()
            });
        }
    }
}

/// What a process that has these may use.
pub(super) fn limits(resources: Resources) -> Limits {
    Limits {
        memory_bytes: resources.mem.bytes(),
        cpu_millionths: resources.cpu.millionths(),
        tasks: TASKS_MAX,
    }
}

/// The parent's end of a connection, and the child's.
type Ends = (Option<End>, Option<End>);

/// A program that only says hello has ended by then, and pays for no keeper.
const KEEPER_AFTER: Duration = Duration::from_millis(5);
/// Of processes and threads that one process and what it starts may be; a program that starts more by mistake, without
/// end, stops there.
const TASKS_MAX: u32 = 1_024;
const INTERRUPTED: &str = "the job was interrupted";
