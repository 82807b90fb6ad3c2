//! One TLS connection that carries messages, as a machine around a stream that never blocks.
//!
//! Deliberately absent: the poll, and what the messages say. A loop owns both.
//!
//! # The story
//! 1. TLS 1.3 is spoken; each side shows its certificate. A dialer without one is a *stranger*.
//! 2. The master greets first: its version and release. So a dialer that was let in knows it, and one that was not
//!    reads the reason (an alert) where the greeting would be. The dialer greets back. The session is *open*.
//! 3. Both send messages as they like. A stranger sends one, and it is short: it asks to join.
//! 4. Who has nothing more to say calls [`finish`](Session::finish): what waits is sent, then TLS says goodbye. An end
//!    without goodbye is `Cut`.
//!
//! # How a loop drives it
//! Register the stream for reading and writing (readiness is told once, when it changes). On each event call
//! [`handle_ready`](Session::handle_ready), then [`poll_message`](Session::poll_message) until it returns `None`. After
//! [`send`](Session::send) call [`flush`](Session::flush), at the latest before the loop sleeps. At
//! [`deadline`](Session::deadline) call [`handle_timeout`](Session::handle_timeout). After any error drop the session.

mod opening;
mod stream;

pub use crate::{
    error::{Distrust, SendError, SessionError},
    peer::Peer,
};
use crate::{
    framing::{Inbound, Message, Outbound, TooLong},
    limits::{
        AHEAD_BYTES_MAX, HANDSHAKE, MESSAGE_BYTES_MAX, OUTBOUND_BYTES_MAX, QUIET,
        UNKNOWN_MESSAGE_BYTES_MAX, UNSENT_BYTES_MAX,
    },
};
use mio::{Interest, Registry, Token, net::TcpStream};
use opening::Phase;
use rustls::{Connection, pki_types::CertificateDer};
use std::{io, os::fd::AsFd, time::Instant};

/// A session, from the first byte to the last.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    tls: Connection,
    phase: Phase,
    is_connected: bool,
    deadline: Instant,
    inbound: Inbound,
    /// What came before the session was open.
    unknown_bytes: usize,
    /// The peer has said goodbye.
    has_ended: bool,
    has_stranger_spoken: bool,
    outbound: Outbound,
    /// How much the stream has taken since it last took not all.
    flowed_bytes: usize,
    is_finishing: bool,
    has_said_goodbye: bool,
    peer: Option<Peer>,
    release: String,
}

impl Session {
    pub(crate) fn new(stream: TcpStream, tls: Connection, now: Instant) -> Session {
        // Only hints: a session works without.
        let _ = stream.set_nodelay(true);
        deploy_sys::stream::keep_unsent_below(stream.as_fd(), UNSENT_BYTES_MAX);
        deploy_sys::stream::end_with_peer(stream.as_fd(), QUIET);
        Session {
            stream,
            tls,
            phase: Phase::Handshake,
            is_connected: false,
            deadline: now + HANDSHAKE,
            inbound: Inbound::default(),
            unknown_bytes: 0,
            has_ended: false,
            has_stranger_spoken: false,
            outbound: Outbound::default(),
            flowed_bytes: 0,
            is_finishing: false,
            has_said_goodbye: false,
            peer: None,
            release: String::new(),
        }
    }

    /// Has the poll tell when the stream can be read or written.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.stream, token, interests)
    }

    /// The opposite. Closing the session does it too.
    pub fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.stream)
    }

    /// Whether both sides know each other, so that messages can be exchanged.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Who the other side is, once the session is open; nothing for a stranger.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref().filter(|_| self.is_open())
    }

    /// The other side's release, once the session is open.
    pub fn peer_release(&self) -> &str {
        &self.release
    }

    /// The other side's address.
    pub fn peer_address(&self) -> io::Result<std::net::SocketAddr> {
        self.stream.peer_addr()
    }

    /// Until when the session has to be open; nothing once it is.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_open()).then_some(self.deadline)
    }

    /// An error if the deadline has passed.
    pub fn handle_timeout(&self, now: Instant) -> Result<(), SessionError> {
        match self.deadline() {
            Some(deadline) if deadline <= now => Err(SessionError::TooSlow),
            _ => Ok(()),
        }
    }

    /// Goes on with whatever the stream allows. Messages that come are left for
    /// [`poll_message`](Session::poll_message).
    pub fn handle_ready(&mut self) -> Result<(), SessionError> {
        if !self.is_connected && !self.look_whether_connected()? {
            return Ok(());
        }
        while !self.is_open() {
            // What the peer said last is worth more than that it is gone.
            let written = self.write();
            if !self.read()? {
                written?;
                break;
            }
            self.go_on()?;
        }
        self.flush()
    }

    /// The next message, read from the stream if none is at hand. `None`: there is none before the stream is ready again.
    pub fn poll_message(&mut self) -> Result<Option<Vec<u8>>, SessionError> {
        if !self.is_open() {
            return Ok(None);
        }
        loop {
            if let Some(message) = self.take_message()? {
                self.count_strangers_message()?;
                return Ok(Some(message));
            }
            if self.has_ended {
                return Err(self.ended());
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Queues a message. It leaves with the next [`flush`](Session::flush) after the session has opened.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        if message.len() > MESSAGE_BYTES_MAX as usize {
            return Err(SendError::TooLong(message));
        }
        if self.is_full() || self.is_finishing {
            return Err(SendError::Full(message));
        }
        self.outbound.queue(message);
        Ok(())
    }

    /// Queues a message that goes ahead of all that waits here, also of the rest of a long message: such as says that somebody
    /// is still there. It is short. The other side finds it before others that were sent before it.
    pub fn send_ahead(&mut self, message: Vec<u8>) -> Result<(), SendError> {
        if message.len() > AHEAD_BYTES_MAX {
            return Err(SendError::TooLong(message.into()));
        }
        if self.outbound.len() >= OUTBOUND_BYTES_MAX + AHEAD_BYTES_MAX || self.is_finishing {
            return Err(SendError::Full(message.into()));
        }
        self.outbound.queue_ahead(&message);
        Ok(())
    }

    /// Whether no message is taken at present, because [`OUTBOUND_BYTES_MAX`] or more wait to be sent.
    pub fn is_full(&self) -> bool {
        self.outbound.len() >= OUTBOUND_BYTES_MAX
    }

    /// Whether all that was sent has been handed to the kernel.
    pub fn is_flushed(&self) -> bool {
        self.outbound.is_empty() && !self.tls.wants_write()
    }

    /// Sends what waits, as far as the stream takes it.
    pub fn flush(&mut self) -> Result<(), SessionError> {
        if !self.is_connected {
            return Ok(());
        }
        // As much as TLS takes at a time, so that small messages leave together.
        loop {
            self.tls
                .set_buffer_limit(Some(match self.flowed_bytes >= FLOWING_BYTES {
                    true => READY_BYTES_FLOWING,
                    false => READY_BYTES,
                }));
            while self.encrypt_some()? {}
            if !self.tls.wants_write() {
                return Ok(());
            }
            self.write()?;
            if self.tls.wants_write() {
                // The stream takes no more.
                return Ok(());
            }
        }
    }

    /// Takes no more messages; when those that wait are sent, says goodbye. To be flushed like any message.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// Bits that only the two ends of this very connection know: what is signed with them counts nowhere else.
    pub(crate) fn binding(&self) -> Result<[u8; 32], SessionError> {
        let label = b"EXPORTER-fabric-join";
        Ok(self.tls.export_keying_material([0; 32], label, None)?)
    }

    /// The certificates that the peer sent, in its order.
    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.peer_certificates()
    }

    /// Whoever has shown no certificate can say one thing, which is to ask to join.
    fn count_strangers_message(&mut self) -> Result<(), SessionError> {
        if self.peer.is_none() && std::mem::replace(&mut self.has_stranger_spoken, true) {
            return Err(SessionError::Protocol(
                "a stranger says one thing only".into(),
            ));
        }
        Ok(())
    }

    fn take_message(&mut self) -> Result<Option<Vec<u8>>, SessionError> {
        let max = self.message_bytes_max();
        let message = self.inbound.poll_message(max);
        message.map_err(|TooLong(len)| SessionError::TooLong { len, max })
    }

    /// How long a message may be that comes now.
    fn message_bytes_max(&self) -> u32 {
        match self.peer {
            Some(_) if self.is_open() => MESSAGE_BYTES_MAX,
            _ => UNKNOWN_MESSAGE_BYTES_MAX,
        }
    }
}

/// What TLS has ready at most, which leaves in one write. What goes ahead waits behind that.
const READY_BYTES: usize = 64 << 10;
/// The same where the line is fast: each write wakes the other side, and that costs more than a few copies.
const READY_BYTES_FLOWING: usize = 256 << 10;
/// It is where so much has left without a pause: far more than the kernel keeps that is not on its way.
const FLOWING_BYTES: usize = 1 << 20;
