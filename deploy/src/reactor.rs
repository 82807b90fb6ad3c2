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
use deploy_sys::poller::Events;
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What the thread holds.
pub(crate) struct Reactor {
    events: Events,
    control: Arc<Control>,
    links: Arc<Links>,
    /// Connections to look at once a tick.
    watched: Vec<Arc<Link>>,
    /// Connections whose peer ended but whose socket did not: a forked child may hold it.
    lingering: Vec<(Instant, Arc<Link>)>,
    /// Bells to ring.
    alarms: Vec<(Instant, Arc<Link>)>,
}

impl Reactor {
    pub(crate) fn new(control: Arc<Control>, links: Arc<Links>) -> io::Result<Reactor> {
        links.hub.poller.add(control.socket(), CONTROL)?;
        Ok(Reactor {
            events: Events::with_capacity(EVENTS_MAX),
            control,
            links,
            watched: Vec::new(),
            lingering: Vec::new(),
            alarms: Vec::new(),
        })
    }

    /// Runs in a thread of its own, beside the user's `main`.
    pub(crate) fn start(self) -> io::Result<()> {
        thread::Builder::new()
            .name("deploy-reactor".to_string())
            .spawn(move || self.run())?;
        Ok(())
    }

    /// Runs until the process ends. A worker's main thread has nothing else to do.
    pub(crate) fn run(mut self) -> ! {
        let mut tick = Instant::now() + TICK;
        loop {
            let idle =
                self.watched.is_empty() && self.lingering.is_empty() && self.alarms.is_empty();
            let timeout = (!idle).then(|| tick.saturating_duration_since(Instant::now()));
            let waited = self.links.hub.poller.wait(&mut self.events, timeout);
            waited.expect("waiting at our own descriptor does not fail");
            for token in self.events.tokens() {
                match token {
                    CONTROL => hear(&self.control, &self.links, &mut self.lingering),
                    token => serve(&self.links, token),
                }
            }
            self.links.hub.flush();
            self.watched.extend(self.links.hub.take_attention());
            self.alarms.extend(self.links.hub.take_alarms());
            let now = Instant::now();
            if idle {
                tick = now + TICK;
            } else if now >= tick {
                self.watched.retain(look);
                self.lingering.retain(|(end, link)| linger(*end, link, now));
                self.alarms.retain(|(at, link)| alarm(*at, link, now));
                tick = now + TICK;
            }
        }
    }
}

/// What the monitor says.
fn hear(control: &Control, links: &Links, lingering: &mut Vec<(Instant, Arc<Link>)>) {
    let end = Instant::now() + LINGER;
    lingering.extend(control.hear(links).into_iter().map(|link| (end, link)));
}

/// A connection that nobody waits for is readable or writable.
fn serve(links: &Links, token: u64) {
    let Some(link) = links.by_token(token) else {
        return;
    };
    link.unblock();
    while link.read(false) == Read::Something {}
}

/// Looks at a connection, once a tick; says whether to look again.
///
/// Whoever asks for attention from here on puts it on the list anew, so nothing that changes meanwhile is missed.
fn look(link: &Arc<Link>) -> bool {
    link.turn.take_attention();
    if link.turn.is_leased() {
        let in_use = link.turn.take_used();
        // An owner that sleeps knows nothing of what other threads queued and took meanwhile.
        link.tend();
        if link.turn.has_owner() || link.socket().is_none() {
            return false;
        }
        if in_use {
            return link.turn.want_attention();
        }
        link.take_back();
    }
    while link.read(false) == Read::Something {}
    link.tend();
    false
}

/// Rings a bell when its time has come; says whether to wait longer.
fn alarm(at: Instant, link: &Arc<Link>, now: Instant) -> bool {
    if now >= at {
        link.turn.ring();
    }
    now < at
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

/// A turn's worth; more come in the next.
const EVENTS_MAX: usize = 256;

/// How often to look at connections in use.
const TICK: Duration = Duration::from_millis(1);

/// How long the socket of a peer that ended may stay open.
const LINGER: Duration = Duration::from_secs(1);

/// The monitor's socket.
const CONTROL: u64 = u64::MAX - 1;
