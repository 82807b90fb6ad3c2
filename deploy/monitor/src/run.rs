//! The monitor's loop: it owns the poll, waits, and hands on what happened. It decides nothing.

use crate::{
    attention::Attention,
    audience::Audience,
    exchange::{Channels, Exchange},
    head::Head,
    household::{About, Household},
    input::Input,
    interrupts::CAUGHT,
    launcher::{Launcher, Program},
    local::{Local, NeverFits},
    outside::Outside,
    watched::Watched,
};
use deploy_sys::{cgroup::Tree, fd, limit, process, signal::Signals};
use deploy_wire::{pid::Job, resources::Resources, secret::Secret};
use mio::{Events, Interest, Poll, Waker, event, unix::SourceFd};
use std::{fs::File, io, os::fd::AsRawFd, sync::Arc, time::Instant};

/// What a monitor is to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is executed.
    pub program: Program,
    /// Which job its processes belong to.
    pub job: Job,
    /// The identity of the program's code.
    pub image: u128,
    /// What this machine is called.
    pub node: String,
    /// What it has; nothing is counted, if none.
    pub capacity: Option<Resources>,
    /// What the initial process asks for.
    pub resources: Resources,
    /// What carries the bytes between its processes.
    pub channels: Channels,
    /// Whether the processes' standard output ends at a terminal.
    pub stdout_is_terminal: bool,
    /// The same for standard error.
    pub stderr_is_terminal: bool,
}

/// One job, started and watched until its last process has ended.
#[derive(Debug)]
pub struct Monitor {
    hands: Loop,
    alone: Alone,
}

/// What the head of a job that runs alone has to know.
#[derive(Default, Debug)]
struct Alone {
    node: String,
    capacity: Option<Resources>,
    resources: Resources,
    initial_worker: String,
}

/// How a job ended, beside what its events tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The signal that a person sent and that ended the initial process. Whoever started us is to see it too.
    pub interrupted: Option<i32>,
    /// The worker that [`Wrap`](crate::Wrap) names, if no process ran it.
    pub unmet_wrap: Option<String>,
}

/// Why a job could not be run.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// Said before anything is started.
    #[error("the initial process asks for {asked}, but this machine has only {capacity}")]
    NeverFits {
        /// What it asks for.
        asked: Resources,
        /// What there is.
        capacity: Resources,
    },
    /// Said before anything is started.
    #[error("could not start the initial process: {0}")]
    Launch(String),
    /// The kernel failed us; the processes end with the monitor.
    #[error("could not watch the processes: {}", limit::explain(.0))]
    Watch(#[from] io::Error),
}

impl Monitor {
    /// Makes this process a monitor: it adopts orphans, catches signals and raises its limit on descriptors.
    ///
    /// # Errors
    /// If this process has made a monitor before, or the kernel refuses something.
    pub fn new(config: Config) -> io::Result<Monitor> {
        let alone = Alone {
            node: config.node,
            capacity: config.capacity,
            resources: config.resources,
            initial_worker: config.program.initial_worker.clone(),
        };
        let hands = Loop::new(Hands {
            program: config.program,
            job: config.job,
            image: config.image,
            channels: config.channels,
            key: None,
            input: None,
            is_limited: false,
            stdout_is_terminal: config.stdout_is_terminal,
            stderr_is_terminal: config.stderr_is_terminal,
        })?;
        Ok(Monitor { hands, alone })
    }

    /// Wakes the loop, from any thread, so that it asks its audience again.
    pub fn waker(&self) -> Arc<Waker> {
        self.hands.waker.clone()
    }

    /// Starts the initial process and returns when every process has ended and all that they wrote was handed over.
    ///
    /// # Panics
    /// If this program's `main` has not called [`keep_if_asked`](crate::keep_if_asked).
    pub fn run(mut self, audience: &mut dyn Audience) -> Result<Outcome, MonitorError> {
        let job = self.hands.household.about.job;
        let Alone {
            node,
            capacity,
            resources: asked,
            initial_worker,
        } = self.alone;
        let mut head = Local::new(job, node, capacity, audience);
        head.begin_initial(asked, initial_worker)
            .map_err(|NeverFits { capacity }| MonitorError::NeverFits { asked, capacity })?;
        let now = Instant::now();
        let household = &mut self.hands.household;
        household.act(&mut head, now);
        household.expect_keeper(now);
        // What the shell left open for the program belongs to the initial process only.
        fd::close_on_exec_from(FIRST_OF_OTHERS)?;
        self.hands.serve(&mut head)?;
        let interrupts = &self.hands.household.attention.interrupts;
        let interrupted = match head.initial() {
            Some(Err(why)) => return Err(MonitorError::Launch(why.clone())),
            Some(Ok(status)) => interrupts.cause_of(*status),
            None => None,
        };
        let unmet_wrap = self.hands.household.launcher.unmet_wrap();
        let unmet_wrap = unmet_wrap.map(str::to_string);
        self.hands.household.clear();
        Ok(Outcome {
            interrupted,
            unmet_wrap,
        })
    }
}

/// What the hands of a job have to know, whoever its head is.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) program: Program,
    pub(crate) job: Job,
    pub(crate) image: u128,
    pub(crate) channels: Channels,
    /// What its data connections with other machines are proved with, if it has any.
    pub(crate) key: Option<Secret>,
    /// The standard input of the initial process; this process's own, if none.
    pub(crate) input: Option<Input>,
    /// Whether processes are limited to what they asked for.
    pub(crate) is_limited: bool,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
}

/// The loop, and what it holds.
#[derive(Debug)]
pub(crate) struct Loop {
    poll: Poll,
    waker: Arc<Waker>,
    pub(crate) household: Household,
}

impl Loop {
    /// Makes this process one that starts others.
    pub(crate) fn new(hands: Hands) -> io::Result<Loop> {
        let signals_blocked = process::blocked_signals();
        let descriptor_limit = process::raise_descriptor_limit()?;
        process::become_subreaper()?;
        process::can_reap()?;
        let signals = Signals::catch(&CAUGHT)?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Watched::Waker.token())?);
        let raw = signals.as_raw_fd();
        poll.registry().register(
            &mut SourceFd(&raw),
            Watched::Signals.token(),
            Interest::READABLE,
        )?;
        let about = About {
            job: hands.job,
            image: hands.image,
            exchange: Exchange::new(hands.channels)?,
            signals_blocked,
            is_limited: hands.is_limited,
            stdout_is_terminal: hands.stdout_is_terminal,
            stderr_is_terminal: hands.stderr_is_terminal,
            descriptor_limit,
            null: File::open("/dev/null")?,
            strangers: process::children().into_iter().collect(),
        };
        let name = hands.job.to_string();
        let tree = match hands.is_limited {
            true => Tree::create_limiting("deploy-job-", &name, &[]),
            false => Tree::create("deploy-job-", &name),
        };
        let household = Household::new(
            about,
            poll.registry().try_clone()?,
            Attention::new(signals),
            Launcher::new(hands.program, signals_blocked)?,
            tree,
            Outside::new(hands.key),
            hands.input,
        );
        if let Some(input) = &household.input {
            input.register(&household.registry)?;
        }
        Ok(Loop {
            poll,
            waker,
            household,
        })
    }

    /// Returns when every process has ended, and the head begins no more.
    pub(crate) fn serve(&mut self, head: &mut dyn Head) -> io::Result<()> {
        if let Some(socket) = head.socket() {
            let raw = socket.as_raw_fd();
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut SourceFd(&raw), Watched::Head.token(), both)?;
        }
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !(self.household.children.is_empty() && head.is_over()) {
            self.wait(&mut events, head)?;
            let now = Instant::now();
            events.iter().for_each(|event| self.note(event, head));
            // Whether or not the poll told of any: one may have come since, with an end that it caused.
            self.household.heed_signals(head, now);
            self.household.turn(head, now);
            if std::mem::take(&mut self.household.attention.is_to_reap) {
                self.household.reap();
            }
            if head.poll_timeout().is_some_and(|at| at <= now) {
                head.handle_timeout(now);
            }
        }
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, head: &dyn Head) -> io::Result<()> {
        let now = Instant::now();
        let ours = self.household.poll_timeout(head, now);
        let next = [ours, head.poll_timeout()].into_iter().flatten().min();
        let timeout = next.map(|next| next.saturating_duration_since(now));
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Remembers what has something to read. A process that can be told something again is.
    fn note(&mut self, event: &event::Event, head: &mut dyn Head) {
        let (number, source) = match Watched::of(event.token()) {
            Watched::Waker => return,
            Watched::Signals => return self.household.attention.handle_readable(),
            Watched::Spare => return self.household.handle_spares_end(),
            Watched::Head => return head.handle_socket(),
            Watched::Input => return self.household.feed(head),
            Watched::Relay(channel) => return self.household.relays.handle_ready(channel),
            Watched::Line(count) => return self.household.lines.handle_ready(count),
            Watched::Greeting(count) => return self.household.outside.handle_ready(count),
            Watched::Process(number, source) => (number, source),
        };
        if event.is_writable() {
            self.household.flush(number);
        }
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        if is_readable && self.household.children.contains_key(&number) {
            self.household.ready.insert((number, source));
        }
    }
}

/// A turn's worth; more come in the next.
const EVENTS_MAX: usize = 256;
const FIRST_OF_OTHERS: i32 = 3;
