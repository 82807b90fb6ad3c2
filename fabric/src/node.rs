//! A node: it is in session with the master, has a warden for each job that has processes here, and carries between them.
//!
//! Deliberately absent: any decision, and any look at what processes say to each other.
//!
//! # The story
//! 1. The node dials the master and says what it has. From then on it answers the master's beats.
//! 2. `Open` has it start a warden, once the job's program is here; until then the job's orders wait. What a warden
//!    reports goes to the master.
//! 3. A connection that arrives at the data port names its job, and is handed to that job's warden, which looks whether it
//!    may be believed; or it is for a program that another node takes from this one.
//! 4. When the session is cut, or silent, the node dials again, and the jobs go on: the master, or another that was started
//!    in its place, says which of them it still has, and both say again what the other has not got.
//! 5. When its lease is over (`lease.rs`), some 10 s after it was cut off, or the master says goodbye, all jobs here are
//!    killed, before the master tells everybody that they are lost: nothing may run twice. From then on it is a new
//!    incarnation.

mod dwelling;
mod fetch;
mod give;
mod lane;
mod lease;
mod orders;
mod session;
mod shares;
mod sweeper;
mod tenants;
mod transit;
mod warden_link;

use crate::{
    capacity, head,
    own_node::{self, Leash},
};
use deploy_sys::{random, signal::Signals, tell};
use deploy_trust::{
    door::{Arrival, Door, TOKENS},
    endpoint::Connector,
    identity::Identity,
    session::SessionError,
    state::StateDir,
};
use deploy_wire::{hello, resources::Resources};
pub use dwelling::Estate;
pub(crate) use lease::LEASE;
use lease::Lease;
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use session::{Master, SILENT_AFTER};
use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};
pub use tenants::Tenants;

/// What a node is to serve.
#[derive(Debug)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// Where that is kept.
    pub identity_dir: StateDir,
    /// Where the master is.
    pub master: SocketAddr,
    /// Where others reach its data port.
    pub address: SocketAddr,
    /// What it has.
    pub capacity: Resources,
    /// What else it goes by than its name.
    pub labels: Vec<String>,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    config: Config,
    connector: Connector,
    poll: Poll,
    master: Option<Master>,
    dial_at: Instant,
    /// What was wrong the last time, so that it is said once.
    complaint: String,
    incarnation: u128,
    lease: Lease,
    /// When to ask for a new certificate again, if one is due.
    renew_at: Instant,
    /// Why this machine is no member of the cluster any more.
    dismissed: Option<String>,
    tenants: Tenants,
    /// The last to go: who sees its end sees that nothing is left of the node.
    data: Data,
}

/// Where connections for data come from.
#[derive(Debug)]
pub enum Data {
    /// A door of its own, the first of the poll's tokens.
    Door(Box<Door>),
    /// The master's, which hands them over.
    Leash(Box<Leash>),
}

impl Node {
    /// A node for these jobs, whose data comes from there.
    ///
    /// # Errors
    /// If its identity is of no use.
    pub fn new(
        config: Config,
        tenants: Tenants,
        poll: Poll,
        data: Data,
    ) -> Result<Node, SessionError> {
        Ok(Node {
            connector: Connector::member(&config.identity)?,
            config,
            tenants,
            poll,
            data,
            master: None,
            dial_at: Instant::now(),
            complaint: String::new(),
            incarnation: random::bits().map_err(SessionError::Cut)?,
            lease: Lease::default(),
            renew_at: Instant::now(),
            dismissed: None,
        })
    }

    /// Serves until somebody stops it, by Ctrl-C or SIGTERM. Then nothing is left of it or of the jobs here.
    ///
    /// # Errors
    /// If the kernel fails the poll.
    pub fn run(mut self) -> io::Result<()> {
        let mut signals = Signals::catch(&head::STOPPING)?;
        let raw = signals.as_raw_fd();
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&raw), SIGNALS, Interest::READABLE)?;
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut is_called_off = false;
        while signals.take().is_none() && self.dismissed.is_none() && !is_called_off {
            let now = Instant::now();
            let timeout = self.poll_timeout().saturating_duration_since(now) + ROUNDED_UP;
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                self.handle_ready(event.token(), now);
            }
            self.take_data(now);
            self.tenants.share_out();
            self.look_after_master(now);
            if let Err(error) = self.send() {
                self.lose_master(&error, now);
            }
            if self.lease.end().is_some_and(|end| end <= now) {
                self.fence("it was silent for 10 s")?;
            }
            is_called_off = matches!(&self.data, Data::Leash(leash) if leash.is_over(now));
        }
        self.stop();
        if let Data::Leash(leash) = &self.data {
            leash.say_over(
                self.dismissed
                    .as_deref()
                    .unwrap_or("somebody has stopped it"),
            );
        }
        self.dismissed
            .map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    /// Kills what runs here, and then says goodbye: by that the master knows that nothing runs on.
    fn stop(&mut self) {
        self.tenants.end_all(self.poll.registry());
        if let Some(master) = &mut self.master {
            master.session.finish();
            // Whoever is not told finds out by waiting.
            let _ = master.session.flush();
        }
    }

    fn poll_timeout(&self) -> Instant {
        let door = match &self.data {
            Data::Door(door) => door.deadline(),
            Data::Leash(leash) => leash.deadline(),
        };
        let master = match &self.master {
            None => self.dial_at,
            Some(master) => master
                .session
                .deadline()
                .unwrap_or(master.heard + SILENT_AFTER),
        };
        let others = door.into_iter().chain(self.lease.end());
        others.fold(master, Instant::min)
    }

    fn handle_ready(&mut self, token: Token, now: Instant) {
        match token {
            SIGNALS => {}
            MASTER => {
                if let Err(error) = self.hear_master(now) {
                    self.lose_master(&error, now);
                }
            }
            token if token.0 < TOKENS || own_node::TOKENS.contains(&token) => {
                match &mut self.data {
                    Data::Door(door) => door.handle_ready(token, now),
                    Data::Leash(leash) => {
                        leash.handle_ready(token, self.poll.registry(), now);
                        // Its master has not been dialed yet, which hears of it by the hello.
                        if let Some(terms) = leash.poll_changed() {
                            self.config.capacity = capacity::given(terms.capacity);
                            self.config.labels = terms.labels;
                        }
                    }
                }
            }
            token => self.tenants.handle_ready(token, self.poll.registry()),
        }
    }

    /// Connections for data go to the wardens of their jobs.
    fn take_data(&mut self, now: Instant) {
        loop {
            let arrived = match &mut self.data {
                Data::Leash(leash) => leash.poll_connection(),
                Data::Door(door) => {
                    door.handle_timeout(now);
                    door.poll_arrival().and_then(|arrival| match arrival {
                        Arrival::Data(stream, first) => Some((stream.into(), first)),
                        _ => None,
                    })
                }
            };
            let Some((stream, first)) = arrived else {
                return;
            };
            if let Some(job) = hello::job_of(&first) {
                self.tenants.accept(job, first, stream);
            }
        }
    }

    /// Whatever runs here must not run on.
    fn fence(&mut self, why: &str) -> io::Result<()> {
        self.lease.handle_killed();
        self.master = None;
        tell!("master {}: {why}", self.config.master);
        for job in self.tenants.end_all(self.poll.registry()) {
            tell!("killed the processes of job {job}, which the master cannot know of any more");
        }
        self.incarnation = random::bits()?;
        Ok(())
    }
}

const MASTER: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 3);

/// A poll waits for whole milliseconds, and would come back a little early.
const ROUNDED_UP: Duration = Duration::from_millis(1);
/// A turn's worth; more come in the next.
const EVENTS_MAX: usize = 1024;
