//! How a process begins: granted, started, announced, put into its group, and given its certificate.
//!
//! What a certificate means to the newborn is for the library to know.
//!
//! # The order
//! Nothing slow comes before the start. The one who asked is answered as soon as that succeeded. The certificate
//! comes last, so that no code of the user's runs before the process is where it belongs.

use crate::{
    audience::Audience,
    child::{Child, Control},
    household::{Household, SIGKILL, Source},
    keeper::Keeper,
    launcher::{Stdio, explain},
    ledger::Verdict,
    run::token,
    voice::{STREAMS, Voice},
};
use deploy_sys::{fd, packet, pipe, process};
use deploy_wire::{
    birth::{Birth, Work},
    control::{Argument, NodeResources, Notice, Refusal, SpawnRequest},
    event::Event,
    pid::Pid,
    resources::Resources,
};
use mio::{Interest, unix::SourceFd};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

/// A process that another asked for.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Who asked.
    pub(crate) from: u32,
    /// For what.
    pub(crate) request: Box<SpawnRequest>,
    /// The file with its argument, if that is how it comes.
    pub(crate) file: Option<OwnedFd>,
}

/// A process that runs and does not yet know what for.
struct Newborn {
    pid: Pid,
    child: Child,
    is_wrapped: bool,
}

impl Household {
    /// A process asks for another. False if the request makes no sense.
    pub(crate) fn handle_spawn(
        &mut self,
        queued: Queued,
        audience: &mut dyn Audience,
        now: Instant,
    ) -> bool {
        let request = &queued.request;
        let comes_as_file = matches!(request.argument, Argument::File { .. });
        if comes_as_file != queued.file.is_some() {
            return false;
        }
        let asked = request.resources;
        let refusal = match &request.node {
            Some(node) if *node != self.about.node => {
                let why = format!("there is no node {node:?}, only {:?}", self.about.node);
                Refusal::Launch { why }
            }
            _ => match self.ledger.ask(asked, request.wait) {
                Verdict::Granted => {
                    self.start(queued, audience, now);
                    return true;
                }
                Verdict::AfterOthers => {
                    self.ledger.queue(asked, queued);
                    return true;
                }
                Verdict::OutOfResources { free } => Refusal::OutOfResources {
                    asked,
                    nodes: self.nodes(free),
                },
                Verdict::NeverFits { capacity } => Refusal::NeverFits {
                    asked,
                    nodes: self.nodes(capacity),
                },
            },
        };
        self.refuse(&queued, refusal);
        true
    }

    /// Starts a process whose resources were granted, or refuses it and gives them back. Nothing is started for one
    /// that a person's signal has ended.
    pub(crate) fn start(&mut self, queued: Queued, audience: &mut dyn Audience, now: Instant) {
        let asked = queued.request.resources;
        self.heed_signals(now);
        if self.is_interrupted(queued.from) {
            return self.ledger.release(asked);
        }
        let started = connection().and_then(|ends| {
            let worker = Some(queued.request.function.name.as_str());
            Ok((ends, self.launch(worker, asked)?))
        });
        let ((parents_end, childs_end), newborn) = match started {
            Ok(started) => started,
            Err(error) => {
                self.ledger.release(asked);
                let why = explain(&error);
                return self.refuse(&queued, Refusal::Launch { why });
            }
        };
        let Queued {
            from,
            request,
            file,
        } = queued;
        let SpawnRequest {
            id,
            function,
            argument,
            name,
            link,
            ..
        } = *request;
        self.roster.handle_birth(Some(from), link);
        self.announce(
            newborn.pid,
            Some(from),
            function.name.clone(),
            asked,
            audience,
            now,
        );
        self.tell(
            from,
            &Notice::Spawned {
                id,
                result: Ok(newborn.pid),
            },
            Some(parents_end),
        );
        let name = name.unwrap_or_else(|| function.name.clone());
        let work = Work {
            function,
            argument,
            name,
        };
        let descriptors = [childs_end].into_iter().chain(file).collect();
        let is_wrapped = newborn.is_wrapped;
        self.settle(newborn, Some(from), Some(work), descriptors, now);
        if !is_wrapped {
            self.expect_spawn(now);
        }
    }

    /// Starts the process that goes on with the program's `main`.
    pub(crate) fn start_initial(
        &mut self,
        resources: Resources,
        audience: &mut dyn Audience,
        now: Instant,
    ) -> io::Result<()> {
        let newborn = self.launch(None, resources)?;
        self.roster.handle_birth(None, false);
        let worker = self.about.initial_worker.clone();
        self.announce(newborn.pid, None, worker, resources, audience, now);
        self.settle(newborn, None, None, Vec::new(), now);
        self.keeper_due = Some(now + KEEPER_AFTER);
        Ok(())
    }

    /// Starts the keeper once it is due, where there is something to keep. A machine that cannot start one goes on
    /// without.
    pub(crate) fn start_keeper(&mut self, now: Instant) {
        if self.keeper_due.take_if(|due| *due <= now).is_some() {
            let started = |tree| Keeper::start(&mut self.launcher, tree).ok();
            self.keeper = self.tree.as_ref().and_then(started);
        }
    }

    /// Starts the program once more; nothing stays behind if that fails.
    fn launch(&mut self, worker: Option<&str>, resources: Resources) -> io::Result<Newborn> {
        if self.is_ending {
            return Err(io::Error::other("the job was interrupted"));
        }
        let pid = self.roster.next().ok_or_else(|| {
            io::Error::other("the job has had as many processes as it can have over its life")
        })?;
        let is_wrapped = self.launcher.wraps(worker);
        let spare = match worker {
            Some(_) if !is_wrapped => self.take_spare(),
            _ => None,
        };
        let mut child = match spare {
            Some(child) => child,
            None => self.execute(worker.is_none(), is_wrapped)?,
        };
        child.resources = resources;
        self.watch(pid.number(), &child).inspect_err(|_| {
            // Without these it would never be heard of again.
            let _ = child.process.signal(SIGKILL);
            let _ = child.process.wait();
        })?;
        Ok(Newborn {
            pid,
            child,
            is_wrapped,
        })
    }

    /// Executes the program once more, for nobody in particular yet.
    pub(crate) fn execute(&mut self, is_initial: bool, is_wrapped: bool) -> io::Result<Child> {
        self.prepare();
        let (socket, birth) = packet::pair()?;
        let ((stdout, stdout_theirs), (stderr, stderr_theirs)) = (pipe::pipe()?, pipe::pipe()?);
        let stdio = Stdio {
            stdin: (!is_initial).then(|| self.about.null.as_fd()),
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
            resources: Resources::default(),
            is_dead: false,
            control: Control::new(fd::raise(socket)?),
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
            let interest = match source {
                Source::Control => Interest::READABLE | Interest::WRITABLE,
                _ => Interest::READABLE,
            };
            let raw = descriptor.as_raw_fd();
            self.registry
                .register(&mut SourceFd(&raw), token(number, source), interest)?;
        }
        Ok(())
    }

    fn announce(
        &self,
        pid: Pid,
        parent: Option<u32>,
        worker: String,
        resources: Resources,
        audience: &mut dyn Audience,
        now: Instant,
    ) {
        let parent = parent.map(|parent| self.roster.pid(parent));
        let node = self.about.node.clone();
        audience.handle_event(
            Event::Spawned {
                pid,
                parent,
                node,
                worker,
                resources,
            },
            now,
        );
    }

    /// Takes a newborn in and tells it who it is.
    fn settle(
        &mut self,
        newborn: Newborn,
        parent: Option<u32>,
        work: Option<Work>,
        descriptors: Vec<OwnedFd>,
        now: Instant,
    ) {
        let Newborn {
            pid,
            child,
            is_wrapped,
        } = newborn;
        let birth = Birth {
            pid,
            parent: parent.map(|parent| self.roster.pid(parent)),
            monitor: std::process::id(),
            wrapped: is_wrapped,
            image: self.about.image,
            work,
            resources: child.resources,
            signals_blocked: self.about.signals_blocked,
            stdout_is_terminal: self.about.stdout_is_terminal,
            stderr_is_terminal: self.about.stderr_is_terminal,
        };
        let number = pid.number();
        self.children.insert(number, child);
        self.catch_up(number, now);
        if let Some(child) = self.children.get_mut(&number) {
            let sent = child.control.send(birth.encode(), descriptors);
            sent.expect("a new outbox has room");
        }
        self.note_refusal(number);
        self.prepare();
    }

    /// Sends a newborn the signals that have come while it was started: the kernel may have passed it over. It does
    /// not know yet what it runs, so twice is as good as once.
    fn catch_up(&mut self, number: u32, now: Instant) {
        for signal in self.heed_signals(now) {
            self.signal(number, signal);
        }
    }

    /// Makes the group of the next process ahead of time, where groups can be made.
    pub(crate) fn prepare(&mut self) {
        if let (None, Some(tree)) = (&self.nursery, &self.tree) {
            self.nursery = tree.leaf(&self.groups_made.to_string()).ok();
            self.groups_made += 1;
        }
    }

    fn refuse(&mut self, queued: &Queued, refusal: Refusal) {
        let id = queued.request.id;
        self.tell(
            queued.from,
            &Notice::Spawned {
                id,
                result: Err(refusal),
            },
            None,
        );
    }

    fn nodes(&self, resources: Resources) -> Vec<NodeResources> {
        let name = self.about.node.clone();
        vec![NodeResources { name, resources }]
    }
}

/// Both ends of a new connection between two processes.
pub(crate) fn connection() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = fd::socketpair_stream()?;
    Ok((fd::raise(one)?, fd::raise(other)?))
}

/// A program that only says hello has ended by then, and pays for no keeper.
const KEEPER_AFTER: Duration = Duration::from_millis(5);
