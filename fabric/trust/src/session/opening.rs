//! From a stream to an open session: connected, known to each other, greeted.
//!
//! Deliberately absent: TLS's own words, and who is believed (`verify.rs`).

use super::{Peer, Session};
use crate::{
    error::{Distrust, SessionError},
    framing::Outbound,
    greeting::Greeting,
    limits::VERSION,
};
use rustls::Connection;
use std::io::{self, Write};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// TLS is not done.
    Handshake,
    /// The peer's greeting has not come.
    Greeting,
    /// Messages.
    Open,
}

impl Session {
    /// A stream that is being connected is neither readable nor writable until that is decided.
    pub(super) fn look_whether_connected(&mut self) -> Result<bool, SessionError> {
        if let Some(error) = self.stream.take_error().map_err(SessionError::Cut)? {
            return Err(SessionError::Unreachable(error));
        }
        match self.stream.peer_addr() {
            Ok(_) => self.is_connected = true,
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(SessionError::Unreachable(error)),
        }
        Ok(self.is_connected)
    }

    /// After bytes have come, and before the session is open.
    pub(super) fn go_on(&mut self) -> Result<(), SessionError> {
        if self.phase == Phase::Handshake && !self.tls.is_handshaking() {
            self.meet()?;
        }
        if self.phase == Phase::Greeting
            && let Some(greeting) = self.take_message()?
        {
            let Greeting {
                version: theirs,
                release,
            } = Greeting::read(&greeting)
                .map_err(|error| SessionError::Protocol(error.to_string()))?;
            if matches!(self.tls, Connection::Client(_)) {
                self.greet()?;
            }
            if theirs != VERSION {
                let _ = self.flush();
                return Err(SessionError::Version {
                    ours: VERSION,
                    theirs,
                    release,
                });
            }
            self.release = release;
            self.phase = Phase::Open;
        }
        Ok(())
    }

    /// TLS is done, so it is known who the peer is.
    pub(super) fn meet(&mut self) -> Result<(), SessionError> {
        if self.tls.alpn_protocol().is_none() {
            return Err(SessionError::Protocol("it names no version".into()));
        }
        if let Some([certificate, ..]) = self.tls.peer_certificates() {
            let peer = Peer::of(certificate);
            self.peer = Some(peer.ok_or(SessionError::Untrusted(Distrust::Invalid))?);
        }
        self.phase = Phase::Greeting;
        if matches!(self.tls, Connection::Server(_)) {
            self.greet()?;
        }
        Ok(())
    }

    pub(super) fn greet(&mut self) -> Result<(), SessionError> {
        // Past the queue, whose messages wait for the session to open.
        let mut first = Outbound::default();
        first.queue(Greeting::ours().encode().into());
        let written = self.tls.writer().write_all(&first.waiting().concat());
        written.map_err(SessionError::Cut)
    }
}
