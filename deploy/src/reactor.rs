//! One thread that does what nobody waits for: a process that only computes must still drain what comes, acknowledge
//! it, and let its values leave.
//!
//! It also hears the monitor. Connections that somebody waits for are left alone (`turn.rs`); while there are any, it
//! looks once a millisecond whether they still are in use, and sleeps without end when none is.

use crate::{
    control::{CONTROL, Control},
    fatal,
    link::{Link, Read},
    links::Links,
    lookout::Lookout,
};
use deploy_sys::poller::Events;
use std::{
    collections::BTreeMap,
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
    /// Connections to look at once at a certain time, in its order.
    alarms: BTreeMap<(Instant, u64), Arc<Link>>,
    lookout: Lookout,
}

impl Reactor {
    pub(crate) fn new(control: Arc<Control>, links: Arc<Links>) -> Reactor {
        Reactor {
            events: Events::with_capacity(EVENTS_MAX),
            control,
            links,
            watched: Vec::new(),
            alarms: BTreeMap::new(),
            lookout: Lookout::default(),
        }
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
            let idle = self.watched.is_empty();
            let alarm = self.alarms.keys().next().map(|(at, _)| *at);
            let lookout = self.lookout.poll_timeout();
            let next = [alarm, (!idle).then_some(tick), lookout];
            let next = next.into_iter().flatten().min();
            let timeout = next.map(|next| next.saturating_duration_since(Instant::now()));
            let waited = self.links.hub.poller.wait(&mut self.events, timeout);
            if waited.is_err() {
                fatal::closed_ours();
            }
            self.links.hub.reactor.set_awake(true);
            for token in self.events.tokens() {
                match token {
                    CONTROL => self.control.hear(),
                    token => serve(&self.links, token),
                }
            }
            self.links.hub.reactor.set_awake(false); // What is asked for from here on may come too late to be seen below.
            self.links.hub.flush();
            let asked = self.links.hub.take_attention().into_iter();
            let watched = asked.filter(is_to_watch);
            self.watched.extend(watched);
            let alarms = self.links.hub.take_alarms().into_iter();
            self.alarms.extend(alarms.map(alarmed));
            let now = Instant::now();
            if idle {
                tick = now + TICK;
            } else if now >= tick {
                self.watched.retain(|link| look(&self.links, link));
                tick = now + TICK;
            }
            while let Some(alarm) = self.alarms.first_entry()
                && alarm.key().0 <= now
            {
                handle_alarm(&alarm.remove(), &self.control);
            }
            self.lookout.turn(now, &self.control, &self.links);
        }
    }
}

fn alarmed((at, link): (Instant, Arc<Link>)) -> ((Instant, u64), Arc<Link>) {
    ((at, link.token), link)
}

/// A connection that nobody waits for is readable or writable.
fn serve(links: &Links, token: u64) {
    let Some(link) = links.by_token(token) else {
        return;
    };
    link.rouse();
    if link.unblock() && !link.turn.is_leased() {
        link.register_anew();
    }
    link.drain();
    await_room(&link);
    links.retire(&link);
}

/// Where bytes wait on a connection that those who wait for it have to themselves, they may all sleep until something
/// is there to read: the reactor hears of the room. To look again and again would never end beside a stopped peer.
fn await_room(link: &Link) {
    if link.is_blocked() && link.turn.is_leased() {
        link.await_room();
    }
}

/// Whether a connection that asks for attention is to be looked at in a tick: what was to be done for it may have been
/// done since, by what has just left.
fn is_to_watch(link: &Arc<Link>) -> bool {
    link.turn.take_attention();
    let is_quiet = link.turn.is_leased() || (link.read(false) == Read::Nothing && link.is_quiet());
    if is_quiet && link.is_settled() && !link.has_ended() {
        link.rest();
        return false;
    }
    link.turn.want_attention()
}

/// Looks at a connection, once a tick; says whether to look again.
///
/// Whoever asks for attention from here on puts it on the list anew, so nothing that changes meanwhile is missed.
fn look(links: &Links, link: &Arc<Link>) -> bool {
    link.turn.take_attention();
    if link.turn.is_leased() {
        let in_use = link.turn.take_used();
        // An owner that sleeps knows nothing of what other threads queued and took meanwhile.
        link.tend();
        link.watch_end();
        await_room(link);
        if link.turn.has_owner() {
            link.rest();
            return false;
        }
        if link.socket().is_none() {
            links.retire(link);
            return false;
        }
        if in_use {
            // A sender only reads when it has a batch, or little room. But where somebody reads, who came in between would
            // copy to the window what belongs elsewhere, and hold the lock meanwhile.
            let is_read = link.turn.take_reads(link.reads());
            if !is_read && (link.streams() || link.has_unacknowledged()) {
                link.read(false);
            }
            return link.turn.want_attention();
        }
        link.take_back();
    }
    link.drain();
    link.tend();
    if link.is_blocked() {
        link.register_anew();
    }
    link.rest();
    links.retire(link);
    false
}

/// The time has come to look at a connection: its socket ends if its peer has, whoever holds it; the monitor is asked
/// what it knows of one whose bytes ended unexplained; and whoever waits looks again.
fn handle_alarm(link: &Arc<Link>, control: &Control) {
    if link.has_fate() && !link.has_ended() {
        link.shut_down();
    }
    if link.is_doubtful() {
        control.doubt(link.peer);
    }
    link.turn.ring();
}

/// A turn's worth; more come in the next.
const EVENTS_MAX: usize = 256;

/// How often to look at connections in use.
const TICK: Duration = Duration::from_millis(1);
