//! A session for programs without a loop of their own: each call waits until it is done or its deadline has passed.
//!
//! The protocol is the session's; here is only the waiting.

use crate::{
    endpoint::Connector,
    error::{SendError, SessionError},
    session::Session,
};
use mio::{Events, Poll, Token, net::TcpStream};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::{Duration, Instant},
};

/// A session, and a poll for it alone.
#[derive(Debug)]
pub struct Client {
    session: Session,
    poll: Poll,
    events: Events,
}

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No such host, or not `HOST:PORT`.
    #[error("cannot find `{address}`: {error}")]
    NoAddress {
        /// As given.
        address: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// The session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The deadline has passed. A message that was being sent or received stays so.
    #[error("it took too long")]
    TooLate,
    /// A message of more than the limit.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The system's own trouble.
    #[error("cannot wait: {0}")]
    Wait(#[source] io::Error),
}

impl Client {
    /// Connects to `HOST:PORT`, and returns when both sides know each other. Of several addresses of the host the first
    /// that answers is taken.
    pub fn connect(
        address: &str,
        connector: &Connector,
        deadline: Instant,
    ) -> Result<Client, ClientError> {
        let unknown = |error| ClientError::NoAddress {
            address: address.to_owned(),
            error,
        };
        let found: Vec<SocketAddr> = address.to_socket_addrs().map_err(unknown)?.collect();
        let mut last = None;
        for one in found {
            match Client::connect_one(one, connector, deadline) {
                Err(error @ ClientError::Session(SessionError::Unreachable(_))) => {
                    last = Some(error);
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| unknown(io::ErrorKind::NotFound.into())))
    }

    fn connect_one(
        address: SocketAddr,
        connector: &Connector,
        deadline: Instant,
    ) -> Result<Client, ClientError> {
        let stream = TcpStream::connect(address).map_err(SessionError::Unreachable)?;
        let mut client = Client {
            session: connector.connect(stream, Instant::now())?,
            poll: Poll::new().map_err(ClientError::Wait)?,
            events: Events::with_capacity(4),
        };
        let registered = client.session.register(client.poll.registry(), Token(0));
        registered.map_err(ClientError::Wait)?;
        client.session.handle_ready()?;
        while !client.session.is_open() {
            client.wait(deadline)?;
        }
        Ok(client)
    }

    /// The session, for what it knows of the peer.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Sends a message; returns when the kernel has it.
    pub fn send(&mut self, message: Vec<u8>, deadline: Instant) -> Result<(), ClientError> {
        let mut unsent = Some(Arc::new(message));
        while let Some(message) = unsent.take() {
            match self.session.send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    self.wait(deadline)?;
                    unsent = Some(message);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.session.flush()?;
        while !self.session.is_flushed() {
            self.wait(deadline)?;
        }
        Ok(())
    }

    /// The next message.
    pub fn recv(&mut self, deadline: Instant) -> Result<Vec<u8>, ClientError> {
        loop {
            if let Some(message) = self.session.poll_message()? {
                return Ok(message);
            }
            self.wait(deadline)?;
        }
    }

    /// Says goodbye when all is sent.
    pub fn finish(mut self, deadline: Instant) -> Result<(), ClientError> {
        self.session.finish();
        self.session.flush()?;
        while !self.session.is_flushed() {
            self.wait(deadline)?;
        }
        Ok(())
    }

    /// The session for a loop of its own, which registers it anew.
    pub fn into_session(mut self) -> Result<Session, ClientError> {
        let done = self.session.deregister(self.poll.registry());
        done.map_err(ClientError::Wait)?;
        Ok(self.session)
    }

    /// Sleeps until the stream is ready or it is time, and goes on with what can be done.
    fn wait(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let until = self
            .session
            .deadline()
            .map_or(deadline, |own| own.min(deadline));
        let now = Instant::now();
        self.session.handle_timeout(now)?;
        let left = until.saturating_duration_since(now);
        if left == Duration::ZERO {
            return Err(ClientError::TooLate);
        }
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(ClientError::Wait(error));
            }
            _ => {}
        }
        Ok(self.session.handle_ready()?)
    }
}
