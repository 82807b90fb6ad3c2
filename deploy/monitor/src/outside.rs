//! Connections with processes on other machines, while they are being made.
//!
//! Deliberately absent: who is to be connected to whom, which the head knows; the listener, which is the node's; and every
//! byte of the processes, who are handed the connection as soon as both nodes have proved the job's key.
//!
//! # The story
//! 1. The head orders one of the two machines to dial the other's data port. There the node takes the connection in and
//!    passes it on, with the first words that came, to its part of the job.
//! 2. Both play their parts of the hello (`deploy_wire::hello`), for at most [`GREETING_TIME_MAX`]. Who has dialed and is not
//!    answered within [`DIAL_TIME_MAX`] gives up.
//! 3. Each gives its process the connection, and what the process makes it its own with.
//!
//! A connection may come for a process whose beginning was ordered and did not happen yet: it waits as long.

use crate::{exchange::End, head::Head, household::Household, launcher::explain, watched::Watched};
use deploy_sys::random;
use deploy_wire::{
    control::Notice,
    hello::{Accept, Dial, Route},
    pid::Pid,
    secret::Secret,
};
use mio::{Interest, Registry, net::TcpStream};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::{self, SocketAddr},
    os::fd::OwnedFd,
    time::{Duration, Instant},
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

/// One that is not proved yet.
#[derive(Debug)]
struct Greeting {
    socket: TcpStream,
    hello: Hello,
    outgoing: Vec<u8>,
    deadline: Instant,
}

#[derive(Debug)]
enum Hello {
    Dial(Box<Dial>, Route),
    Accept(Box<Accept>),
}

/// A connection that is proved, for a process that has not begun.
#[derive(Debug)]
struct Early {
    route: Route,
    end: End,
    deadline: Instant,
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
        let greetings = self.greetings.values().map(|greeting| greeting.deadline);
        let early = self.early.iter().map(|early| early.deadline);
        greetings.chain(early).min()
    }

    fn insert(&mut self, mut greeting: Greeting, registry: &Registry) -> io::Result<()> {
        let count = self.greeted;
        self.greeted += 1;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut greeting.socket, Watched::Greeting(count).token(), both)?;
        self.greetings.insert(count, greeting);
        self.ready.insert(count);
        Ok(())
    }

    fn start_dial(&mut self, route: Route, at: SocketAddr, now: Instant) -> io::Result<Greeting> {
        let key = self.key.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let dial = Dial::new(key, route, random::bytes()?);
        let socket = TcpStream::connect(at)?;
        Ok(Greeting::new(
            socket,
            Hello::Dial(Box::new(dial), route),
            now,
        ))
    }

    fn start_accept(
        &mut self,
        socket: OwnedFd,
        hello: &[u8],
        now: Instant,
    ) -> io::Result<Greeting> {
        let key = self.key.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let mut accept = Accept::new(random::bytes()?);
        if hello.len() > accept.wanted() || self.greetings.len() >= GREETINGS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let heard = accept.handle_bytes(hello, |_| Some(key.clone()));
        heard.map_err(io::Error::other)?;
        let socket = net::TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        let socket = TcpStream::from_std(socket);
        Ok(Greeting::new(socket, Hello::Accept(Box::new(accept)), now))
    }

    /// Gives the connection to whom it is for, with what makes it that process's own.
    fn end(&self, greeting: Greeting, route: Route) -> io::Result<End> {
        let key = self.key.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let (dialers, accepters) = key.seals(route.from, route.to, true);
        let seal = match greeting.hello {
            Hello::Dial(..) => dialers,
            Hello::Accept(_) => accepters,
        };
        let socket = net::TcpStream::from(OwnedFd::from(greeting.socket));
        socket.set_nodelay(true)?;
        socket.set_nonblocking(false)?;
        Ok(End::new(socket.into(), Some(seal)))
    }
}

impl Greeting {
    fn new(socket: TcpStream, hello: Hello, now: Instant) -> Greeting {
        let patience = match hello {
            Hello::Dial(..) => DIAL_TIME_MAX,
            Hello::Accept(_) => GREETING_TIME_MAX,
        };
        Greeting {
            socket,
            hello,
            outgoing: Vec::new(),
            deadline: now + patience,
        }
    }

    /// Goes on as far as the socket lets it. Says who is connected once both nodes are proved.
    fn proceed(&mut self) -> io::Result<Option<Route>> {
        match self.try_proceed() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            other => other.map(Some),
        }
    }

    fn try_proceed(&mut self) -> io::Result<Route> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        self.socket.peer_addr()?;
        loop {
            self.outgoing
                .extend(self.hello.poll_transmit().unwrap_or_default());
            while !self.outgoing.is_empty() {
                let count = self.socket.write(&self.outgoing)?;
                self.outgoing.drain(..count);
            }
            if let Some(route) = self.hello.proved() {
                return Ok(route);
            }
            let mut bytes = vec![0; self.hello.wanted()];
            let count = self.socket.read(&mut bytes)?;
            if count == 0 {
                let why = "the other node closed the connection: the job may have ended there";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            self.hello.handle_bytes(&bytes[..count])?;
        }
    }
}

impl Hello {
    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Hello::Dial(dial, _) => dial.poll_transmit(),
            Hello::Accept(accept) => accept.poll_transmit(),
        }
    }

    fn wanted(&self) -> usize {
        match self {
            Hello::Dial(dial, _) => dial.wanted(),
            Hello::Accept(accept) => accept.wanted(),
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let heard = match self {
            Hello::Dial(dial, _) => dial.handle_bytes(bytes),
            // Its first words, which name the job, came with the connection.
            Hello::Accept(accept) => accept.handle_bytes(bytes, |_| None),
        };
        heard.map_err(io::Error::other)
    }

    fn proved(&self) -> Option<Route> {
        match self {
            Hello::Dial(dial, route) => dial.is_proved().then_some(*route),
            Hello::Accept(accept) => accept.proved(),
        }
    }
}

impl Household {
    /// Connects a process here with one on another machine.
    pub(crate) fn dial(
        &mut self,
        one: u32,
        other: u32,
        at: SocketAddr,
        head: &mut dyn Head,
        now: Instant,
    ) {
        let route = Route {
            from: self.pid(one),
            to: self.pid(other),
        };
        let started = self.outside.start_dial(route, at, now);
        let started = started.and_then(|greeting| self.outside.insert(greeting, &self.registry));
        if let Err(error) = started {
            head.handle_not_connected(one, other, explain(&error));
        }
    }

    /// Takes in a connection that another machine made. Who makes no sense is hung up on, without a word.
    pub(crate) fn accept(&mut self, socket: OwnedFd, hello: &[u8], now: Instant) {
        let started = self.outside.start_accept(socket, hello, now);
        let _ = started.and_then(|greeting| self.outside.insert(greeting, &self.registry));
    }

    /// Goes on with all that may, and gives up those that took too long.
    pub(crate) fn meet(&mut self, head: &mut dyn Head, now: Instant) {
        if self.outside.ready.is_empty() && self.outside.poll_timeout().is_none() {
            return;
        }
        for count in std::mem::take(&mut self.outside.ready) {
            let Some(greeting) = self.outside.greetings.get_mut(&count) else {
                continue;
            };
            match greeting.proceed() {
                Ok(None) => {}
                Ok(Some(route)) => self.handle_met(count, route, head, now),
                Err(error) => self.give_up(count, &explain(&error), head),
            }
        }
        let greetings = self.outside.greetings.iter();
        let late: Vec<_> = greetings
            .filter(|(_, greeting)| greeting.deadline <= now)
            .map(|(count, _)| *count)
            .collect();
        for count in late {
            self.give_up(count, "the other node did not answer in time", head);
        }
        self.outside.early.retain(|early| early.deadline > now);
    }

    /// Gives a process that has begun the connections that came before it.
    pub(crate) fn claim_early(&mut self, number: u32) {
        let early = &mut self.outside.early;
        let claimed = early.extract_if(.., |early| early.route.to.number() == number);
        for Early { route, end, .. } in claimed.collect::<Vec<_>>() {
            self.hand_over(number, route.from, end);
        }
    }

    fn handle_met(&mut self, count: usize, route: Route, head: &mut dyn Head, now: Instant) {
        let greeting = self.outside.greetings.remove(&count);
        let mut greeting = greeting.expect("it has just proceeded");
        // It stays watched only where this fails, until its process closes it.
        let _ = self.registry.deregister(&mut greeting.socket);
        let is_dialed = matches!(greeting.hello, Hello::Dial(..));
        let (ours, peer) = match is_dialed {
            true => (route.from, route.to),
            false => (route.to, route.from),
        };
        let number = ours.number();
        match self.outside.end(greeting, route) {
            Ok(end) if self.children.contains_key(&number) => self.hand_over(number, peer, end),
            Ok(end) if !is_dialed && ours.job() == self.about.job => {
                self.outside.early.push(Early {
                    route,
                    end,
                    deadline: now + GREETING_TIME_MAX,
                })
            }
            Ok(_) => {} // It has ended meanwhile.
            Err(error) if is_dialed => {
                head.handle_not_connected(number, peer.number(), explain(&error))
            }
            Err(_) => {}
        }
    }

    fn give_up(&mut self, count: usize, why: &str, head: &mut dyn Head) {
        let Some(greeting) = self.outside.greetings.remove(&count) else {
            return;
        };
        if let Hello::Dial(_, route) = greeting.hello {
            let (one, other) = (route.from.number(), route.to.number());
            head.handle_not_connected(one, other, why.to_string());
        }
    }

    /// A process has a connection with one on another machine.
    pub(crate) fn hand_over(&mut self, number: u32, peer: Pid, end: End) {
        let seal = end.seal;
        self.tell(number, &Notice::Connected { peer, seal }, Some(end.socket));
    }
}

/// How long the other machine may take to answer: a packet that was lost is sent again after a second. Then the head looks
/// for another way.
const DIAL_TIME_MAX: Duration = Duration::from_secs(2);
/// Far longer than a hello takes between two machines that are up.
const GREETING_TIME_MAX: Duration = Duration::from_secs(5);
/// How many that others began may be half way: each holds a descriptor of ours.
const GREETINGS_MAX: usize = 256;
