//! One connection with another machine while it is being made: this node's part of the hello, on a socket.
//!
//! Deliberately absent: what is said (`deploy_wire::hello`), and all others of its kind (`outside.rs`).

use crate::exchange::End;
use deploy_sys::random;
use deploy_wire::{
    hello::{Accept, Dial, Route},
    secret::Secret,
};
use mio::{Interest, Registry, Token, net::TcpStream};
use std::{
    io::{self, Read, Write},
    net::{self, SocketAddr},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// One that is not proved yet.
#[derive(Debug)]
pub(crate) struct Greeting {
    socket: TcpStream,
    hello: Hello,
    outgoing: Vec<u8>,
    deadline: Instant,
}

#[derive(Debug)]
enum Hello {
    Dial(Box<Dial>, Route, SocketAddr),
    Accept(Box<Accept>),
}

impl Greeting {
    /// With the machine whose data port is there.
    pub(crate) fn dial(
        key: &Secret,
        route: Route,
        at: SocketAddr,
        now: Instant,
    ) -> io::Result<Greeting> {
        let dial = Dial::new(key, route, random::bytes()?);
        let socket = TcpStream::connect(at)?;
        let hello = Hello::Dial(Box::new(dial), route, at);
        Ok(Greeting::new(socket, hello, now))
    }

    /// With a machine that has dialed, and whose first words were these.
    pub(crate) fn accept(
        key: &Secret,
        socket: OwnedFd,
        first: &[u8],
        now: Instant,
    ) -> io::Result<Greeting> {
        let mut accept = Accept::new(random::bytes()?);
        if first.len() > accept.wanted() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let heard = accept.handle_bytes(first, |_| Some(key.clone()));
        heard.map_err(io::Error::other)?;
        let socket = net::TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        let socket = TcpStream::from_std(socket);
        Ok(Greeting::new(socket, Hello::Accept(Box::new(accept)), now))
    }

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
    pub(crate) fn proceed(&mut self) -> io::Result<Option<Route>> {
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

    /// The connection, once both nodes are proved, with what makes it its process's own.
    pub(crate) fn into_end(self, key: &Secret, route: Route) -> io::Result<End> {
        let (dialers, accepters) = key.seals(route.from, route.to, true);
        let seal = match self.hello {
            Hello::Dial(..) => dialers,
            Hello::Accept(_) => accepters,
        };
        let socket = net::TcpStream::from(OwnedFd::from(self.socket));
        socket.set_nodelay(true)?;
        socket.set_nonblocking(false)?;
        Ok(End::new(socket.into(), Some(seal)))
    }

    /// Whom this machine has dialed for whom, and where, if it has.
    pub(crate) fn dialed(&self) -> Option<(Route, SocketAddr)> {
        match self.hello {
            Hello::Dial(_, route, at) => Some((route, at)),
            Hello::Accept(_) => None,
        }
    }

    /// Whether the other machine is there, whatever it says.
    pub(crate) fn is_connected(&self) -> bool {
        self.socket.peer_addr().is_ok()
    }

    /// When it has taken too long.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Has the loop told when it may go on.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(
            &mut self.socket,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// No more.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.socket)
    }
}

impl Hello {
    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Hello::Dial(dial, ..) => dial.poll_transmit(),
            Hello::Accept(accept) => accept.poll_transmit(),
        }
    }

    fn wanted(&self) -> usize {
        match self {
            Hello::Dial(dial, ..) => dial.wanted(),
            Hello::Accept(accept) => accept.wanted(),
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let heard = match self {
            Hello::Dial(dial, ..) => dial.handle_bytes(bytes),
            // Its first words, which name the job, came with the connection.
            Hello::Accept(accept) => accept.handle_bytes(bytes, |_| None),
        };
        heard.map_err(io::Error::other)
    }

    fn proved(&self) -> Option<Route> {
        match self {
            Hello::Dial(dial, route, _) => dial.is_proved().then_some(*route),
            Hello::Accept(accept) => accept.proved(),
        }
    }
}

/// How long the other machine may take to answer: a packet that was lost is sent again after a second. Then the head looks
/// for another way.
pub(crate) const DIAL_TIME_MAX: Duration = Duration::from_secs(2);
/// Far longer than a hello takes between two machines that are up.
pub(crate) const GREETING_TIME_MAX: Duration = Duration::from_secs(5);
