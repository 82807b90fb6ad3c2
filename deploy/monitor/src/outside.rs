//! Connections with processes on other machines, while they are being made.
//!
//! Deliberately absent: who is to be connected to whom, which the head knows; the listener, which is the node's; and every
//! byte of the processes, who are handed the connection as soon as both nodes have proved the job's key.
//!
//! # The story
//! 1. The head orders one of the two machines to dial the other's data port. There the node takes the connection in and
//!    passes it on, with the first words that came, to its part of the job.
//! 2. Both play their parts of the hello (`greeting.rs`), for at most [`GREETING_TIME_MAX`]. Who has dialed and is not
//!    answered within [`DIAL_TIME_MAX`](crate::greeting::DIAL_TIME_MAX) gives up.
//! 3. Each gives its process the connection, and what the process makes it its own with.
//!
//! A connection may come for a process whose beginning was ordered and did not happen yet: it waits as long.

use crate::{
    exchange::End,
    greeting::{GREETING_TIME_MAX, Greeting},
    launcher::explain,
    watched::Watched,
};
use deploy_wire::{hello::Route, pid::Pid, secret::Secret};
use mio::Registry;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    time::Instant,
};

/// All of them.
#[derive(Debug)]
pub(crate) struct Outside {
    /// None, where there are no other machines.
    key: Option<Secret>,
    greetings: BTreeMap<usize, Greeting>,
    /// How many there ever were: each has a number of its own.
    greeted: usize,
    /// Those that may go on.
    ready: BTreeSet<usize>,
    early: Vec<Early>,
}

/// A connection that is proved, for a process that has not begun.
#[derive(Debug)]
struct Early {
    route: Route,
    end: End,
    deadline: Instant,
}

/// What has become of one.
#[derive(Debug)]
pub(crate) enum Met {
    /// Both nodes are proved. The route is as the one that dialed has it.
    Connected {
        route: Route,
        /// The other machine's data port, if that was dialed from here.
        dialed: Option<SocketAddr>,
        end: End,
    },
    /// One that was dialed from here has come to nothing.
    Failed { route: Route, why: String },
}

impl Outside {
    pub(crate) fn new(key: Option<Secret>) -> Outside {
        Outside {
            key,
            greetings: BTreeMap::new(),
            greeted: 0,
            ready: BTreeSet::new(),
            early: Vec::new(),
        }
    }

    /// The kernel says that this one may go on.
    pub(crate) fn handle_ready(&mut self, count: usize) {
        self.ready.insert(count);
    }

    /// When the next of them has taken too long.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let greetings = self.greetings.values().map(Greeting::deadline);
        let early = self.early.iter().map(|early| early.deadline);
        greetings.chain(early).min()
    }

    /// Begins one with a process on the machine whose data port is there.
    pub(crate) fn dial(
        &mut self,
        route: Route,
        at: SocketAddr,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let greeting = self.greet(route, at, now)?;
        self.insert(greeting, registry)
    }

    /// Begins one that is somebody else's to go on with.
    pub(crate) fn greet(&self, route: Route, at: SocketAddr, now: Instant) -> io::Result<Greeting> {
        Greeting::dial(self.key()?, route, at, now)
    }

    /// One of those that is proved.
    pub(crate) fn end_of(&self, greeting: Greeting, route: Route) -> io::Result<End> {
        greeting.into_end(self.key()?, route)
    }

    /// Takes in one that another machine has begun, with the first words that came.
    pub(crate) fn accept(
        &mut self,
        socket: OwnedFd,
        first: &[u8],
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let key = self.key()?;
        if self.greetings.len() >= GREETINGS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let greeting = Greeting::accept(key, socket, first, now)?;
        self.insert(greeting, registry)
    }

    fn key(&self) -> io::Result<&Secret> {
        Ok(self.key.as_ref().ok_or(io::ErrorKind::Unsupported)?)
    }

    fn insert(&mut self, mut greeting: Greeting, registry: &Registry) -> io::Result<()> {
        let count = self.greeted;
        self.greeted += 1;
        greeting.register(registry, Watched::Greeting(count).token())?;
        self.greetings.insert(count, greeting);
        self.ready.insert(count);
        Ok(())
    }

    /// Goes on with all that may, and gives up those that took too long. Returns what has become of those that are over.
    pub(crate) fn meet(&mut self, registry: &Registry, now: Instant) -> Vec<Met> {
        let mut met = Vec::new();
        if self.ready.is_empty() && self.poll_timeout().is_none() {
            return met;
        }
        for count in std::mem::take(&mut self.ready) {
            let Some(greeting) = self.greetings.get_mut(&count) else {
                continue;
            };
            match greeting.proceed() {
                Ok(None) => {}
                Ok(Some(route)) => met.extend(self.handle_met(count, route, registry)),
                Err(error) => met.extend(self.give_up(count, &explain(&error))),
            }
        }
        let greetings = self.greetings.iter();
        let late: Vec<_> = greetings
            .filter(|(_, greeting)| greeting.deadline() <= now)
            .map(|(count, _)| *count)
            .collect();
        for count in late {
            met.extend(self.give_up(count, "the other node did not answer in time"));
        }
        self.early.retain(|early| early.deadline > now);
        met
    }

    fn handle_met(&mut self, count: usize, route: Route, registry: &Registry) -> Option<Met> {
        let greeting = self.greetings.remove(&count);
        let mut greeting = greeting.expect("it has just proceeded");
        // It stays watched only where this fails, until its process closes it.
        let _ = greeting.deregister(registry);
        let dialed = greeting.dialed().map(|(_, at)| at);
        match self.end_of(greeting, route) {
            Ok(end) => Some(Met::Connected { route, dialed, end }),
            Err(error) => {
                let why = explain(&error);
                dialed.map(|_| Met::Failed { route, why })
            }
        }
    }

    fn give_up(&mut self, count: usize, why: &str) -> Option<Met> {
        let (route, _) = self.greetings.remove(&count)?.dialed()?;
        let why = why.to_string();
        Some(Met::Failed { route, why })
    }

    /// One is proved whose process here has not begun.
    pub(crate) fn keep_early(&mut self, route: Route, end: End, now: Instant) {
        self.early.push(Early {
            route,
            end,
            deadline: now + GREETING_TIME_MAX,
        });
    }

    /// Those that came before this process had begun, with whom they are from.
    pub(crate) fn claim_early(&mut self, number: u32) -> Vec<(Pid, End)> {
        let early = &mut self.early;
        let claimed = early.extract_if(.., |early| early.route.to.number() == number);
        claimed.map(|early| (early.route.from, early.end)).collect()
    }
}

/// How many that others began may be half way: each holds a descriptor of ours.
const GREETINGS_MAX: usize = 256;
