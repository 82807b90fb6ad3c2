//! Makes the connections between processes.
//!
//! Two on this machine get the ends of a socket pair, which nobody else can reach. For tests and measurement they can be
//! made to talk as two on different machines do: over TCP, where this process plays both nodes. Then each connection is
//! proved by the key of the job before either end is handed over, and the two processes make it their own
//! (`deploy_wire::handshake`).
//!
//! Deliberately absent: who is connected to whom, and when: that is for the roster.

use deploy_sys::{fd, random};
use deploy_wire::{
    hello::{Accept, Dial, Refused, Route},
    pid::Pid,
    secret::{Seal, Secret},
};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

/// What carries the bytes between two processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Channels {
    /// Socket pairs: no port is open.
    #[default]
    Sockets,
    /// TCP over loopback, as between two machines. The one port is open for as long as the job runs.
    Tcp {
        /// Whether what travels is encrypted; both ends are proved in any case.
        encrypted: bool,
    },
}

/// Makes them.
#[derive(Debug)]
pub(crate) enum Exchange {
    Sockets,
    Tcp(Box<Tcp>),
}

/// What two nodes have, in one.
#[derive(Debug)]
pub(crate) struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
    key: Secret,
    encrypted: bool,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) socket: OwnedFd,
    pub(crate) seal: Option<Seal>,
}

impl Exchange {
    pub(crate) fn new(channels: Channels) -> io::Result<Exchange> {
        let Channels::Tcp { encrypted } = channels else {
            return Ok(Exchange::Sockets);
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Exchange::Tcp(Box::new(Tcp {
            address: listener.local_addr()?,
            listener,
            key: Secret::from_bytes(random::bytes()?),
            encrypted,
        })))
    }

    /// Both ends of a new connection between two processes. Where it fails it can be tried again.
    pub(crate) fn connect(&self, from: Pid, to: Pid) -> io::Result<(End, End)> {
        match self {
            Exchange::Sockets => {
                let (one, other) = fd::socketpair_stream()?;
                Ok((End::new(one, None), End::new(other, None)))
            }
            Exchange::Tcp(tcp) => tcp.connect(from, to),
        }
    }
}

impl End {
    pub(crate) fn new(socket: OwnedFd, seal: Option<Seal>) -> End {
        End { socket, seal }
    }
}

impl Tcp {
    fn connect(&self, from: Pid, to: Pid) -> io::Result<(End, End)> {
        let dialed = TcpStream::connect_timeout(&self.address, HELLO_TIME_MAX)?;
        let accepted = self.accept(dialed.local_addr()?)?;
        for socket in [&dialed, &accepted] {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(HELLO_TIME_MAX))?;
        }
        let route = self.greet(&dialed, &accepted, Route { from, to })?;
        for socket in [&dialed, &accepted] {
            socket.set_read_timeout(None)?;
        }
        let (one, other) = self.key.seals(route.from, route.to, self.encrypted);
        Ok((
            End::new(dialed.into(), Some(one)),
            End::new(accepted.into(), Some(other)),
        ))
    }

    /// The connection that was made just now. Any user of the machine may have made others: those are closed unread.
    fn accept(&self, dialed: SocketAddr) -> io::Result<TcpStream> {
        loop {
            let (accepted, address) = self.listener.accept()?;
            if address == dialed {
                return Ok(accepted);
            }
        }
    }

    /// The hello between two nodes, both of them here. Says what the accepting one then knows.
    fn greet(
        &self,
        mut dialed: &TcpStream,
        mut accepted: &TcpStream,
        route: Route,
    ) -> io::Result<Route> {
        let mut dial = Dial::new(&self.key, route, random::bytes()?);
        let mut accept = Accept::new(random::bytes()?);
        loop {
            if let Some(bytes) = dial.poll_transmit() {
                dialed.write_all(&bytes)?;
            }
            if let Some(route) = accept.proved() {
                return Ok(route);
            }
            let bytes = read(&mut accepted, accept.wanted())?;
            let key_of = |job| (job == route.from.job()).then(|| self.key.clone());
            accept.handle_bytes(&bytes, key_of).map_err(refused)?;
            if let Some(bytes) = accept.poll_transmit() {
                accepted.write_all(&bytes)?;
                let bytes = read(&mut dialed, dial.wanted())?;
                dial.handle_bytes(&bytes).map_err(refused)?;
            }
        }
    }
}

fn read(socket: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn refused(why: Refused) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// How long a hello may take: over loopback, with both ends in this thread, far longer than it does.
const HELLO_TIME_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{pid::Job, secret::Role};

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(1), number)
    }

    fn stream(end: End) -> TcpStream {
        end.socket.into()
    }

    #[test]
    fn both_ends_are_connected_and_nothing_is_left_in_between() {
        let exchange = Exchange::new(Channels::Tcp { encrypted: true }).unwrap();
        let (one, other) = exchange.connect(pid(3), pid(4)).unwrap();
        let (seal, peer_seal) = (one.seal.clone().unwrap(), other.seal.clone().unwrap());
        assert_eq!(
            (seal.role, peer_seal.role),
            (Role::Initiator, Role::Responder)
        );
        assert!(seal.secret == peer_seal.secret && seal.encrypted);
        let (mut one, mut other) = (stream(one), stream(other));
        one.write_all(b"first words").unwrap();
        drop(one);
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first words");
    }

    #[test]
    fn a_stranger_gets_no_connection() {
        let exchange = Exchange::new(Channels::Tcp { encrypted: false }).unwrap();
        let Exchange::Tcp(tcp) = &exchange else {
            panic!("TCP was asked for")
        };
        let mut stranger = TcpStream::connect(tcp.address).unwrap();
        let (one, mut other) = exchange.connect(pid(0), pid(1)).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
        stream(one).write_all(b"x").unwrap();
        assert_eq!(other.seal.take().map(|seal| seal.encrypted), Some(false));
        let mut byte = [0];
        stream(other).read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
    }
}
