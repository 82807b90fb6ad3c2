//! Where connections arrive: whoever is not known yet is kept here, few at a time and not for long.
//!
//! Deliberately absent: what is said once it is known who speaks. Members, requests to join and connections for data
//! are handed over.
//!
//! # The story
//! 1. A connection's first byte says what it is: `0x16` begins TLS, the first byte of a data hello begins that; anything
//!    else is closed without a word.
//! 2. A session stays here until it is open. A member's is handed over then; a stranger's when its one message has come.
//!    A data connection is handed over when the fixed first part of its hello has come; not a byte behind it is read.
//! 3. Who takes more than 5 s is dropped. When more than [`UNKNOWN_MAX`] are here one is dropped: of those that have said
//!    nothing the one that came first, and if there is none, the first of all.
//! 4. Connections are accepted a few at a time, so that whoever speaks at once is heard before it would be its turn to be
//!    dropped, however many come together.
//!
//! # When no descriptor is left
//! A listener that is ready and cannot be accepted from stays ready. One descriptor is held in reserve: it is given up, a
//! connection is accepted and closed, so that whoever dials learns it at once, and the door rests for 100 ms.

use crate::{endpoint::Acceptor, limits::HANDSHAKE, session::Session};
use mio::{
    Interest, Registry, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A listener, and whoever has come through it and is not known yet.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    registry: Registry,
    first_token: usize,
    tls: Option<Acceptor>,
    data: Option<DataHello>,
    unknown: Vec<Option<Unknown>>,
    arrivals: VecDeque<Arrival>,
    reserve: Option<File>,
    rests_until: Option<Instant>,
}

/// How a connection for data begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataHello {
    /// Its first byte.
    pub first_byte: u8,
    /// How many bytes are read before it is handed over, with the first.
    pub len: usize,
}

/// Somebody about whom enough is known.
#[derive(Debug)]
pub enum Arrival {
    /// A session with a member, open. Its stream is registered nowhere, and its first message may be there already:
    /// register it, and treat it as ready.
    Member(Box<Session>),
    /// A stranger that asks to join, with these words. To be given to [`answer`](crate::join::answer), and flushed.
    Stranger(Box<Session>, Vec<u8>),
    /// A connection for data, with the first bytes of its hello.
    Data(TcpStream, Vec<u8>),
}

#[derive(Debug)]
struct Unknown {
    since: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Nothing has come.
    Silent(TcpStream),
    /// TLS.
    Session(Box<Session>),
    /// Part of a data hello.
    Hello(TcpStream, Vec<u8>),
}

impl Door {
    /// Listens at an address. Sessions are accepted by `tls`, connections for data if they begin like `data`.
    ///
    /// The poll behind `registry` will tell of [`TOKENS`] tokens from `first_token` on, which are to be given to
    /// [`handle_ready`](Door::handle_ready).
    pub fn open(
        address: SocketAddr,
        registry: &Registry,
        first_token: usize,
        tls: Option<Acceptor>,
        data: Option<DataHello>,
    ) -> io::Result<Door> {
        let mut listener = TcpListener::bind(address)?;
        registry.register(&mut listener, Token(first_token), Interest::READABLE)?;
        Ok(Door {
            listener,
            registry: registry.try_clone()?,
            first_token,
            tls,
            data,
            unknown: std::iter::repeat_with(|| None).take(UNKNOWN_MAX).collect(),
            arrivals: VecDeque::new(),
            reserve: reserve(),
            rests_until: None,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts sessions by other certificates from now on: after a renewal.
    pub fn replace_acceptor(&mut self, tls: Acceptor) {
        self.tls = Some(tls);
    }

    /// Goes on with what this token stands for. Tokens of others are ignored.
    pub fn handle_ready(&mut self, token: Token, now: Instant) {
        let Some(number) = token.0.checked_sub(self.first_token) else {
            return;
        };
        match number.checked_sub(1) {
            None => self.accept(now),
            Some(seat) => self.go_on(seat, now),
        }
    }

    /// When [`handle_timeout`](Door::handle_timeout) is to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let drops = self
            .unknown
            .iter()
            .flatten()
            .map(|unknown| unknown.since + HANDSHAKE);
        drops.chain(self.rests_until).min()
    }

    /// Drops whoever took too long, and accepts again after a rest.
    pub fn handle_timeout(&mut self, now: Instant) {
        for seat in &mut self.unknown {
            if seat
                .as_ref()
                .is_some_and(|unknown| unknown.since + HANDSHAKE <= now)
            {
                *seat = None;
            }
        }
        if self.rests_until.is_some_and(|until| until <= now) {
            self.accept(now);
        }
    }

    /// The next about whom enough is known.
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    fn accept(&mut self, now: Instant) {
        self.rests_until = None;
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
        for _ in 0..AT_A_TIME {
            match self.listener.accept() {
                Ok((stream, _)) => self.seat(stream, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_one_connections(&error) => {}
                Err(_) => return self.shed(now),
            }
        }
        // The listener will not tell again of those that still wait.
        self.rests_until = Some(now);
    }

    /// No descriptor, or no memory, is left.
    fn shed(&mut self, now: Instant) {
        if self.reserve.take().is_some() {
            drop(self.listener.accept());
            self.reserve = reserve();
        }
        self.rests_until = Some(now + REST);
    }

    /// Makes room if there is none, and listens for the first byte.
    fn seat(&mut self, mut stream: TcpStream, now: Instant) {
        let seat = match self.unknown.iter().position(Option::is_none) {
            Some(free) => free,
            None => self.least_worth(),
        };
        self.unknown[seat] = None;
        let token = Token(self.first_token + 1 + seat);
        // Whoever cannot be waited for is closed. What has come already is told of at the next poll.
        if self
            .registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .is_ok()
        {
            self.unknown[seat] = Some(Unknown {
                since: now,
                stage: Stage::Silent(stream),
            });
        }
    }

    fn least_worth(&self) -> usize {
        let rank = |seat: &usize| {
            let unknown = self.unknown[*seat].as_ref();
            unknown.map(|one| (!matches!(one.stage, Stage::Silent(_)), one.since))
        };
        (0..self.unknown.len())
            .min_by_key(rank)
            .expect("there is at least one seat")
    }

    fn go_on(&mut self, seat: usize, now: Instant) {
        let Some(unknown) = self.unknown.get_mut(seat).and_then(Option::take) else {
            return;
        };
        match self.hear(unknown.stage, now) {
            Heard::Waits(stage) => {
                self.unknown[seat] = Some(Unknown {
                    since: unknown.since,
                    stage,
                });
            }
            Heard::Arrived(arrival) => self.arrivals.push_back(arrival),
            Heard::Gone => {}
        }
    }

    fn hear(&self, stage: Stage, now: Instant) -> Heard {
        match stage {
            Stage::Silent(stream) => self.hear_first(stream, now),
            Stage::Session(session) => self.hear_session(session),
            Stage::Hello(stream, hello) => self.hear_hello(stream, hello),
        }
    }

    fn hear_first(&self, stream: TcpStream, now: Instant) -> Heard {
        let mut first = [0];
        match stream.peek(&mut first) {
            Ok(1) => {}
            Err(error) if is_to_wait(&error) => return Heard::Waits(Stage::Silent(stream)),
            _ => return Heard::Gone,
        }
        match (&self.tls, self.data) {
            (Some(tls), _) if first[0] == TLS => match tls.accept(stream, now) {
                Ok(session) => self.hear_session(Box::new(session)),
                Err(_) => Heard::Gone,
            },
            (_, Some(data)) if first[0] == data.first_byte => {
                self.hear_hello(stream, Vec::with_capacity(data.len))
            }
            _ => Heard::Gone,
        }
    }

    fn hear_session(&self, mut session: Box<Session>) -> Heard {
        if session.handle_ready().is_err() {
            return Heard::Gone;
        }
        let message = match session.peer() {
            _ if !session.is_open() => return Heard::Waits(Stage::Session(session)),
            Some(_) => None,
            None => match session.poll_message() {
                Ok(None) => return Heard::Waits(Stage::Session(session)),
                Ok(message) => message,
                Err(_) => return Heard::Gone,
            },
        };
        if session.deregister(&self.registry).is_err() {
            return Heard::Gone;
        }
        Heard::Arrived(match message {
            None => Arrival::Member(session),
            Some(message) => Arrival::Stranger(session, message),
        })
    }

    fn hear_hello(&self, mut stream: TcpStream, mut hello: Vec<u8>) -> Heard {
        let wanted = self.data.map_or(0, |data| data.len);
        while hello.len() < wanted {
            let mut buffer = [0; 256];
            let part = buffer.len().min(wanted - hello.len());
            match stream.read(&mut buffer[..part]) {
                Ok(0) => return Heard::Gone,
                Ok(len) => hello.extend_from_slice(&buffer[..len]),
                Err(error) if is_to_wait(&error) => {
                    return Heard::Waits(Stage::Hello(stream, hello));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Heard::Gone,
            }
        }
        match self.registry.deregister(&mut stream) {
            Ok(()) => Heard::Arrived(Arrival::Data(stream, hello)),
            Err(_) => Heard::Gone,
        }
    }
}

enum Heard {
    /// For more to come.
    Waits(Stage),
    /// Enough.
    Arrived(Arrival),
    /// Nobody that matters.
    Gone,
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_to_wait(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Errors that belong to a connection that ended before it was accepted; everything else is our own shortage.
fn is_one_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied, TimedOut,
    };
    [
        ConnectionAborted,
        ConnectionReset,
        Interrupted,
        PermissionDenied,
        TimedOut,
    ]
    .contains(&error.kind())
}

/// How many may be unknown at once. With them a door holds at most 300 descriptors and some 10 MiB.
pub const UNKNOWN_MAX: usize = 256;

/// How many tokens a door needs: for its listener, and for each who is not known yet.
pub const TOKENS: usize = 1 + UNKNOWN_MAX;

/// A quarter of the seats.
const AT_A_TIME: usize = UNKNOWN_MAX / 4;

/// How a TLS record begins that opens a handshake.
const TLS: u8 = 0x16;

/// Long enough to cost nothing, short enough not to be noticed when descriptors are free again.
const REST: Duration = Duration::from_millis(100);
