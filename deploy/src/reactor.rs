//! One thread that does what nobody waits for: a process that only computes must still drain what comes, acknowledge
//! it, and let its values leave.
//!
//! It also hears the monitor. Connections that somebody waits for are left alone (`turn.rs`); while there are any, it
//! looks once a millisecond whether they still are in use, and sleeps without end when none is.

use crate::{
    control::Control,
    link::{Link, Read},
    links::Links,
};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use std::{
    os::fd::AsRawFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What the thread holds.
pub(crate) struct Reactor {
    poll: Poll,
    control: Arc<Control>,
    links: Arc<Links>,
    /// Connections to look at once a tick.
    watched: Vec<Arc<Link>>,
    /// Connections whose peer ended but whose socket did not: a forked child may hold it.
    lingering: Vec<(Instant, Arc<Link>)>,
}

impl Reactor {
    pub(crate) fn new(poll: Poll, control: Arc<Control>, links: Arc<Links>) -> Reactor {
        Reactor {
            poll,
            control,
            links,
            watched: Vec::new(),
            lingering: Vec::new(),
        }
    }

    /// Runs until the process ends.
    pub(crate) fn start(mut self) -> std::io::Result<()> {
        let socket = self.control.socket().as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&socket), CONTROL, Interest::READABLE)?;
        thread::Builder::new()
            .name("deploy-reactor".to_string())
            .spawn(move || self.run())?;
        Ok(())
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        let mut tick = Instant::now() + TICK;
        loop {
            let idle = self.watched.is_empty() && self.lingering.is_empty();
            let timeout = (!idle).then(|| tick.saturating_duration_since(Instant::now()));
            // EINTR: a signal of the user's was handled here; and nothing else can go wrong with our own descriptors.
            let _ = self.poll.poll(&mut events, timeout);
            for event in &events {
                match event.token() {
                    CONTROL => self.hear(),
                    WAKER => {}
                    Token(token) => self.serve(token),
                }
            }
            self.links.hub.flush();
            self.watched.extend(self.links.hub.take_attention());
            let now = Instant::now();
            if idle {
                tick = now + TICK;
            } else if now >= tick {
                self.watched.retain(look);
                self.lingering.retain(|(end, link)| linger(*end, link, now));
                tick = now + TICK;
            }
        }
    }

    /// What the monitor says.
    fn hear(&mut self) {
        for ended in self.control.hear(&self.links) {
            self.lingering.push((Instant::now() + LINGER, ended));
        }
    }

    /// A connection that nobody waits for is readable or writable.
    fn serve(&self, token: usize) {
        let Some(link) = self.links.by_token(token) else {
            return;
        };
        if link.is_blocked() {
            link.flush(&mut link.tx());
        }
        let mut read = false;
        while link.read(false) == Read::Something {
            read = true;
        }
        if read {
            self.links.hub.attend(&link); // An acknowledgement may ride on what leaves within a tick.
        }
    }
}

/// Looks at a connection, once a tick; says whether to look again.
///
/// Whoever asks for attention from here on puts it on the list anew, so nothing that changes meanwhile is missed.
fn look(link: &Arc<Link>) -> bool {
    link.turn.take_attention();
    if link.turn.is_leased() {
        let in_use = link.turn.take_used();
        if link.turn.has_owner() || link.socket().is_none() {
            return false;
        }
        if in_use {
            return link.turn.want_attention();
        }
        link.turn.set_leased(false);
        link.hub.register(link);
    }
    while link.read(false) == Read::Something {}
    if link.is_blocked() {
        link.flush(&mut link.tx());
    }
    link.acknowledge_if_owed();
    false
}

/// Ends the socket of a peer that ended, if it does not end by itself; says whether to wait longer.
fn linger(end: Instant, link: &Arc<Link>, now: Instant) -> bool {
    if link.has_ended() {
        return false;
    }
    if now < end {
        return true;
    }
    link.shut_down();
    false
}

/// How often to look at connections in use.
const TICK: Duration = Duration::from_millis(1);

/// How long the socket of a peer that ended may stay open.
const LINGER: Duration = Duration::from_secs(1);

/// The monitor's socket.
const CONTROL: Token = Token(usize::MAX);

/// The hub's waker.
pub(crate) const WAKER: Token = Token(usize::MAX - 1);
