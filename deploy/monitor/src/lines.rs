//! Lines to other machines: connections on which nothing is ever said. As long as one is there, the two machines reach each
//! other, in both directions.
//!
//! Deliberately absent: the connections of the processes, on which silence means nothing, because their peer may be stopped or
//! may not read; a clock for each of them; and who is told that a machine is not reached, which the head knows.
//!
//! # The story
//! 1. The first connection of a process here that was dialed to another machine has a line dialed there, too, by the same hello.
//!    It answers for all connections that are dialed there from here.
//! 2. Each second the kernel asks over the line whether the other machine is there ([`QUESTIONS`]), and the other kernel answers.
//!    Whoever else is stopped, slow, or waits for a disk there is no part of it. An answer has gone both ways.
//! 3. When 11 in a row are not answered the kernel ends the line, 12 s after the last answer: the connections are cut.
//! 4. A line that ends otherwise is dialed again, as long as there is a connection: its warden there may have ended or have no
//!    descriptor left. What is known then counts: a machine that answers anything is there, and one that was not reached for
//!    [`CUT_AFTER`] is cut off.
//! 5. Who was dialed holds its end and does nothing else. It gives up later ([`HELD_QUESTIONS`]): the kernel that gives up resets the
//!    connection, and where one direction works that word would come before the other's own verdict, and be an answer.

use crate::{greeting::DIAL_TIME_MAX, greeting::Greeting, outside::Outside, watched::Watched};
use deploy_sys::stream::{self, Questions};
use deploy_wire::hello::Route;
use mio::{Interest, Registry, unix::SourceFd};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

/// All of them.
#[derive(Default, Debug)]
pub(crate) struct Lines {
    /// By the other machine's data port.
    dialed: BTreeMap<SocketAddr, Line>,
    /// Those that other machines have dialed.
    held: BTreeMap<usize, OwnedFd>,
    /// How many there ever were: each has a number of its own.
    count: usize,
    /// Those of which the kernel has something to say.
    ready: BTreeSet<usize>,
}

/// One that is dialed from here.
#[derive(Debug)]
struct Line {
    count: usize,
    /// For which connections it answers: of a process here with those there.
    connections: BTreeMap<u32, BTreeSet<u32>>,
    /// When the other machine was reached, as far as is known without a line.
    reached: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be dialed at this time.
    Down(Instant),
    Greeting(Greeting),
    /// Its last word is on the way, until this time: before that has arrived, the kernel asks nothing.
    Proved(OwnedFd, Instant),
    Up(OwnedFd),
}

impl Lines {
    /// The kernel has something to say of this one.
    pub(crate) fn handle_ready(&mut self, count: usize) {
        self.ready.insert(count);
    }

    /// When [`Lines::tend`] has something to do, whatever happens in the meantime.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        match self.ready.is_empty() {
            true => self.dialed.values().filter_map(Line::poll_timeout).min(),
            false => Some(now),
        }
    }

    /// A connection of a process here with one there was dialed from here, just now.
    pub(crate) fn answer_for(&mut self, one: u32, other: u32, at: SocketAddr, now: Instant) {
        let line = self.dialed.entry(at).or_insert_with(|| {
            self.count += 1;
            Line {
                count: self.count,
                connections: BTreeMap::new(),
                reached: now,
                state: State::Down(now),
            }
        });
        line.connections.entry(one).or_default().insert(other);
    }

    /// These two are not connected any more.
    pub(crate) fn forget(&mut self, one: u32, other: u32) {
        self.dialed.retain(|_, line| {
            if let Some(others) = line.connections.get_mut(&one) {
                others.remove(&other);
                if others.is_empty() {
                    line.connections.remove(&one);
                }
            }
            !line.connections.is_empty()
        });
    }

    /// Nor is this process with any other.
    pub(crate) fn forget_all_of(&mut self, one: u32) {
        self.dialed.retain(|_, line| {
            line.connections.remove(&one);
            !line.connections.is_empty()
        });
    }

    /// Another machine has dialed one.
    pub(crate) fn hold(&mut self, socket: OwnedFd, registry: &Registry) {
        self.count += 1;
        if self.held.len() >= HELD_MAX {
            return;
        }
        if watch(&socket, HELD_QUESTIONS, self.count, registry).is_ok() {
            self.held.insert(self.count, socket);
        }
    }

    /// Does what there is to do. Returns the connections that are cut, for which none answers any more.
    pub(crate) fn tend(
        &mut self,
        dialer: (&Outside, Route),
        registry: &Registry,
        now: Instant,
    ) -> Vec<(u32, u32)> {
        let is_due = |at: Instant| at <= now;
        if !self.poll_timeout(now).is_some_and(is_due) {
            return Vec::new();
        }
        let ready = std::mem::take(&mut self.ready);
        self.held
            .retain(|count, socket| !ready.contains(count) || look(socket).is_ok());
        let mut cut = Vec::new();
        self.dialed.retain(|at, line| {
            let is_ready = ready.contains(&line.count);
            if !is_ready && !line.poll_timeout().is_some_and(is_due) {
                return true;
            }
            let is_reached = line.tend(*at, dialer, registry, now);
            if !is_reached {
                let connections = line.connections.iter();
                cut.extend(
                    connections.flat_map(|(one, others)| others.iter().map(|other| (*one, *other))),
                );
            }
            is_reached
        });
        cut
    }
}

impl Line {
    fn poll_timeout(&self) -> Option<Instant> {
        let next = match &self.state {
            State::Down(at) => *at,
            State::Greeting(greeting) => greeting.deadline(),
            State::Proved(_, at) => return Some(*at),
            State::Up(_) => return None,
        };
        Some(next.min(self.reached + CUT_AFTER))
    }

    /// Goes on as far as it can. False, if the other machine is not reached.
    fn tend(
        &mut self,
        at: SocketAddr,
        (outside, route): (&Outside, Route),
        registry: &Registry,
        now: Instant,
    ) -> bool {
        let again = State::Down(now + DIAL_EVERY);
        let went = match std::mem::replace(&mut self.state, again) {
            State::Down(due) if due > now => {
                self.state = State::Down(due);
                return now < self.reached + CUT_AFTER;
            }
            State::Down(_) => outside.greet(route, at, now).and_then(|mut greeting| {
                greeting.register(registry, Watched::Line(self.count).token())?;
                Ok(State::Greeting(greeting))
            }),
            State::Greeting(greeting) => self.greet(greeting, outside, registry, now),
            State::Proved(socket, due) => look(&socket).map(|()| match due > now {
                true => State::Proved(socket, due),
                false if stream::is_acknowledged(socket.as_fd()) => State::Up(socket),
                false => State::Down(now),
            }),
            State::Up(socket) => match look(&socket) {
                Err(error) if is_silence(&error) => return false,
                looked => looked.map(|()| State::Up(socket)),
            },
        };
        match went {
            Ok(state) => self.state = state,
            Err(error) if is_silence(&error) => {}
            Err(_) => self.reached = now,
        }
        matches!(self.state, State::Proved(..) | State::Up(_)) || now < self.reached + CUT_AFTER
    }

    fn greet(
        &mut self,
        mut greeting: Greeting,
        outside: &Outside,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<State> {
        let Some(route) = greeting.proceed()? else {
            if greeting.is_connected() {
                self.reached = now;
            }
            return Ok(match greeting.deadline() > now {
                true => State::Greeting(greeting),
                false => State::Down(now),
            });
        };
        self.reached = now;
        greeting.deregister(registry)?;
        let socket = outside.end_of(greeting, route)?.socket;
        watch(&socket, QUESTIONS, self.count, registry)?;
        Ok(State::Proved(socket, now + DIAL_TIME_MAX))
    }
}

/// Has the kernel ask, and tell what comes of it.
fn watch(
    socket: &OwnedFd,
    questions: Questions,
    count: usize,
    registry: &Registry,
) -> io::Result<()> {
    stream::end_with_peer(socket.as_fd(), questions);
    let raw = socket.as_raw_fd();
    let token = Watched::Line(count).token();
    registry.register(&mut SourceFd(&raw), token, Interest::READABLE)
}

/// Fails if it has ended, or somebody speaks where nothing is to be said.
fn look(socket: &OwnedFd) -> io::Result<()> {
    match stream::read(socket.as_fd(), &mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Whether that is what becomes of a machine that is not reached: nothing was answered, or only by somebody on the way. A
/// firewall refuses in its name.
fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::ConnectionRefused
    )
}

/// 12 s from the last answer to the end: as long as the master waits for a node. Who is not reached for less than 10 s is asked
/// again in time.
const QUESTIONS: Questions = Questions {
    idle_seconds: 1,
    every_seconds: 1,
    unanswered_max: 11,
};
/// Where the other machine has lost its power its end would be held for ever.
const HELD_QUESTIONS: Questions = Questions {
    idle_seconds: 10,
    every_seconds: 2,
    unanswered_max: 10,
};
/// As long, where there is no line.
const CUT_AFTER: Duration = Duration::from_secs(12);
/// How soon to dial again where that failed at once.
const DIAL_EVERY: Duration = Duration::from_secs(1);
/// One for each machine that a job is on. Each holds a descriptor of ours.
const HELD_MAX: usize = 1 << 10;

#[cfg(test)]
mod tests;
