//! A node's session with its master: dialed, listened to, and dialed again when it is lost.
//!
//! Deliberately absent: what an order means (`orders.rs`).

use super::{MASTER, Node};
use deploy_sys::{glibc, tell};
use deploy_trust::{
    framing::Message,
    session::{SendError, Session, SessionError},
};
use deploy_wire::node::{NodeHello, Order, Report, VERSION};
use mio::net::TcpStream;
use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

/// The master, while there is a session with it.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) session: Session,
    pub(super) is_welcome: bool,
    /// When anything came.
    pub(super) heard: Instant,
    /// When the hello was said.
    pub(super) said: Instant,
    pub(super) waiting: VecDeque<Message>,
    /// What leaves when nothing else waits: pieces of relayed connections, bounded by their windows.
    pub(super) bulk: VecDeque<Message>,
}

impl Node {
    /// Dials if there is no session, and ends one that is too slow or silent.
    pub(super) fn look_after_master(&mut self, now: Instant) {
        let Some(master) = &self.master else {
            if self.dial_at <= now {
                self.dial(now);
            }
            return;
        };
        if let Err(error) = master.session.handle_timeout(now) {
            self.lose_master(&error, now);
        } else if master.session.is_open() && now >= master.heard + SILENT_AFTER {
            // What the network has lost is said again later and later in this session, and at once in another.
            let why = format!("nothing has come for {} s", SILENT_AFTER.as_secs());
            self.lose_master(&SessionError::Cut(io::Error::other(why)), now);
        }
    }

    pub(super) fn dial(&mut self, now: Instant) {
        self.dial_at = now + self.pause();
        let dialed = TcpStream::connect(self.config.master)
            .map_err(SessionError::Unreachable)
            .and_then(|stream| self.connector.connect(stream, now))
            .and_then(|mut session| {
                let registered = session.register(self.poll.registry(), MASTER);
                registered.map_err(SessionError::Cut)?;
                Ok(session)
            });
        match dialed {
            Err(error) => self.complain(&error.to_string()),
            Ok(session) => {
                self.master = Some(Master {
                    session,
                    is_welcome: false,
                    heard: now,
                    said: now,
                    waiting: VecDeque::new(),
                    bulk: VecDeque::new(),
                });
            }
        }
    }

    pub(super) fn hear_master(&mut self, now: Instant) -> Result<(), SessionError> {
        loop {
            let Some(master) = &mut self.master else {
                return Ok(());
            };
            let was_open = master.session.is_open();
            master.session.handle_ready()?;
            if !was_open && master.session.is_open() {
                (master.heard, master.said) = (now, now);
                let hello = self.hello();
                self.report(&Report::Hello(Box::new(hello)));
                continue;
            }
            let Some(message) = master.session.poll_message()? else {
                return Ok(());
            };
            master.heard = now;
            let order = Order::decode(&message)
                .map_err(|malformed| SessionError::Protocol(malformed.to_string()))?;
            self.handle_order(order, now)?;
            if self.dismissed.is_some() {
                return Ok(()); // It ends now, and says goodbye when nothing runs here any more.
            }
        }
    }

    pub(super) fn hello(&self) -> NodeHello {
        NodeHello {
            version: VERSION,
            address: self.config.address,
            capacity: self.config.capacity,
            incarnation: self.incarnation,
            arch: std::env::consts::ARCH.to_string(),
            isolation: self.tenants.isolation(),
            labels: self.config.labels.clone(),
            glibc: glibc::version().unwrap_or_default(),
            held: self.tenants.held(),
            secret: self.tenants.secret().clone(),
        }
    }

    pub(super) fn report(&mut self, report: &Report) {
        if let Some(master) = &mut self.master {
            master.waiting.push_back(report.encode().into());
        }
    }

    pub(super) fn send(&mut self) -> Result<(), SessionError> {
        if let Some(master) = self.master.as_mut().filter(|master| master.is_welcome) {
            while let Some((report, is_bulk)) = self.tenants.poll_report() {
                let queue = match is_bulk {
                    true => &mut master.bulk,
                    false => &mut master.waiting,
                };
                queue.push_back(report.into());
            }
            for taken in self.tenants.poll_taken(false) {
                self.report(&taken);
            }
        }
        let Some(master) = &mut self.master else {
            return Ok(());
        };
        loop {
            while let Some(message) = master.waiting.pop_front() {
                match master.session.send(message) {
                    Ok(()) => {}
                    Err(SendError::Full(message)) => {
                        master.waiting.push_front(message);
                        break;
                    }
                    Err(error @ SendError::TooLong(_)) => {
                        return Err(SessionError::Protocol(error.to_string()));
                    }
                }
            }
            master.session.flush()?;
            if master.waiting.is_empty() && master.session.is_flushed() {
                match master.bulk.pop_front() {
                    Some(message) => master.waiting.push_back(message),
                    None => return Ok(()),
                }
            } else if master.waiting.is_empty() || master.session.is_full() {
                return Ok(());
            }
        }
    }

    /// There is no session any more. The jobs here go on for now, but where the master has said goodbye.
    pub(super) fn lose_master(&mut self, error: &SessionError, now: Instant) {
        self.complain(&format!("{error}; trying again"));
        self.master = None;
        self.tenants.part(self.poll.registry());
        self.dial_at = now + self.pause();
        if matches!(error, SessionError::Closed)
            && let Err(error) = self.fence("it has said goodbye")
        {
            self.complain(&error.to_string());
        }
    }

    /// Says what is wrong with the master, once.
    pub(super) fn complain(&mut self, what: &str) {
        if self.complaint != what {
            tell!("master {}: {what}", self.config.master);
            self.complaint = what.to_string();
        }
    }

    /// How soon to dial again: soon, where jobs wait for it.
    pub(super) fn pause(&self) -> Duration {
        match self.tenants.is_empty() {
            true => DIAL_EVERY,
            false => DIAL_IN_HASTE_EVERY,
        }
    }
}

/// Four beats.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(4);

/// How often to dial a master that is not there.
const DIAL_EVERY: Duration = Duration::from_secs(1);

/// The same, while jobs here wait for it.
const DIAL_IN_HASTE_EVERY: Duration = Duration::from_millis(200);
