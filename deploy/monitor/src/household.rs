//! All that the monitor holds of a running job, and how the plain machines' decisions become deeds.
//!
//! How a process begins is in `birth`, how one ends in `death`, what signals ask in `attention`. Nothing here waits: the loop in `run` does.

use crate::{
    attention::Attention,
    audience::Audience,
    birth::{Queued, connection},
    child::Child,
    keeper::Keeper,
    launcher::Launcher,
    ledger::Ledger,
    ready::Ready,
    roster::{Action, Roster},
    spare::Spare,
    voice::{Heard, STREAMS},
};
use deploy_sys::{
    cgroup::{Leaf, Tree},
    process::DescriptorLimit,
};
use deploy_wire::{
    control::{Notice, Request},
    event::{Event, Stream},
    pid::Pid,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// A running job.
#[derive(Debug)]
pub(crate) struct Household {
    pub(crate) about: About,
    pub(crate) registry: mio::Registry,
    pub(crate) attention: Attention,
    pub(crate) launcher: Launcher,
    pub(crate) roster: Roster,
    pub(crate) ledger: Ledger<Queued>,
    pub(crate) tree: Option<Tree>,
    /// Who clears the tree away if this process is killed.
    pub(crate) keeper: Option<Keeper>,
    /// When to start it.
    pub(crate) keeper_due: Option<Instant>,
    /// The group that the next process will be born in.
    pub(crate) nursery: Option<Leaf>,
    /// How many groups were made: each has a name of its own.
    pub(crate) groups_made: u64,
    /// What waits to become the next process.
    pub(crate) spare: Spare,
    /// Those that were started and not yet farewelled, by their number in the job.
    pub(crate) children: BTreeMap<u32, Child>,
    /// Those of them that have died.
    pub(crate) leaving: BTreeSet<u32>,
    /// What may have something to read. The kernel says so once, so it is remembered until there is nothing.
    pub(crate) ready: Ready,
    /// Connections to make once there are descriptors for them.
    pub(crate) postponed: VecDeque<(u32, u32)>,
    /// Those who could not be told something, for a reason that no event takes back.
    pub(crate) refused: BTreeSet<u32>,
    /// Groups in which something was still dying.
    pub(crate) emptying: Vec<Leaf>,
    /// Whether everything was killed by a person: nothing is started any more.
    pub(crate) is_ending: bool,
    /// The streams that somebody still reads.
    heard: BTreeSet<Stream>,
    /// What requests are received into.
    packet: Vec<u8>,
}

/// What does not change while the job runs.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) node: String,
    pub(crate) image: u128,
    pub(crate) initial_worker: String,
    pub(crate) signals_blocked: u64,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// The limit that processes get, which the monitor has raised for itself.
    pub(crate) descriptor_limit: DescriptorLimit,
    /// The standard input of all but the initial process.
    pub(crate) null: File,
    /// Children that this process had before it was a monitor.
    pub(crate) strangers: BTreeSet<u32>,
}

/// What of a process the loop watches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Source {
    /// Its end.
    Process,
    /// The socket on which it asks.
    Control,
    /// What it writes.
    Output(Stream),
}

impl Household {
    /// A job without processes.
    pub(crate) fn new(
        about: About,
        registry: mio::Registry,
        attention: Attention,
        launcher: Launcher,
        roster: Roster,
        ledger: Ledger<Queued>,
        tree: Option<Tree>,
    ) -> Household {
        Household {
            about,
            registry,
            attention,
            launcher,
            roster,
            ledger,
            tree,
            keeper: None,
            keeper_due: None,
            nursery: None,
            groups_made: 0,
            spare: Spare::default(),
            children: BTreeMap::new(),
            leaving: BTreeSet::new(),
            ready: Ready::default(),
            postponed: VecDeque::new(),
            refused: BTreeSet::new(),
            emptying: Vec::new(),
            is_ending: false,
            heard: STREAMS.into(),
            packet: Vec::new(),
        }
    }

    /// Gives everything that is ready one turn, then does what has come of it.
    pub(crate) fn turn(&mut self, audience: &mut dyn Audience, now: Instant) {
        for (number, source) in self.ready.take() {
            let is_more = match source {
                Source::Process => self.handle_end(number, audience, now),
                Source::Control => self.listen(number, audience, now),
                Source::Output(stream) => self.hear(number, stream, audience, now),
            };
            if is_more {
                self.ready.insert((number, source));
            }
        }
        self.hush(audience);
        self.retry();
        self.act();
        while let Some(queued) = self.ledger.poll_granted() {
            self.start(queued, audience, now);
        }
        self.farewell_all(audience, now);
        self.act();
        self.start_keeper(now);
        self.start_spare(now);
    }

    /// When there is something to do, whatever happens in the meantime.
    pub(crate) fn poll_timeout(&self, audience: &dyn Audience, now: Instant) -> Option<Instant> {
        let is_full = audience.is_full();
        let is_due =
            |(_, source): &(u32, Source)| !(is_full && matches!(source, Source::Output(_)));
        if self.ready.iter().any(is_due) {
            return Some(now);
        }
        let retry = !self.refused.is_empty() || !self.postponed.is_empty();
        let ends = self
            .leaving
            .iter()
            .filter_map(|number| self.children[number].voice.poll_timeout());
        ends.chain(retry.then(|| now + RETRY_AFTER))
            .chain(self.keeper_due)
            .chain(self.spare.poll_timeout())
            .min()
    }

    /// Does what the roster has decided.
    pub(crate) fn act(&mut self) {
        while let Some(action) = self.roster.poll_action() {
            match action {
                Action::Tell(number, notice) => self.tell(number, &notice, None),
                Action::Connect(one, other) => self.connect(one, other),
                Action::Kill(number) => self.kill(number),
                Action::Signal(number, signal) => self.signal(number, signal),
            }
        }
    }

    /// Tells a process something, unless it has died.
    pub(crate) fn tell(&mut self, number: u32, notice: &Notice, descriptor: Option<OwnedFd>) {
        let Some(child) = self
            .children
            .get_mut(&number)
            .filter(|child| !child.is_dead)
        else {
            return;
        };
        if child.control.tell(notice, descriptor).is_err() {
            self.kill(number);
        }
        self.note_refusal(number);
    }

    /// Kills a process. What it started follows when it is reaped.
    pub(crate) fn kill(&mut self, number: u32) {
        self.signal(number, SIGKILL);
    }

    /// Sends a process a signal, unless it has died.
    pub(crate) fn signal(&self, number: u32, signal: i32) {
        if let Some(child) = self.children.get(&number).filter(|child| !child.is_dead) {
            // One that has changed its user may not be ours to signal any more, and is left to end by itself.
            let _ = child.process.signal(signal);
        }
    }

    /// Gives two processes the ends of a new connection.
    fn connect(&mut self, one: u32, other: u32) {
        let Ok((one_end, other_end)) = connection() else {
            self.postponed.push_back((one, other));
            self.dismiss_spare(); // What it holds is wanted here.
            return;
        };
        let (one_pid, other_pid) = (self.roster.pid(one), self.roster.pid(other));
        self.tell(one, &Notice::Connected { peer: other_pid }, Some(one_end));
        self.tell(other, &Notice::Connected { peer: one_pid }, Some(other_end));
    }

    /// Tries again what the kernel had no room for.
    fn retry(&mut self) {
        for (one, other) in std::mem::take(&mut self.postponed) {
            self.connect(one, other);
        }
        for number in std::mem::take(&mut self.refused) {
            self.flush(number);
        }
    }

    /// Sends a process what it has room for, of what waits for it.
    pub(crate) fn flush(&mut self, number: u32) {
        if let Some(child) = self.children.get_mut(&number) {
            child.control.flush();
            self.note_refusal(number);
        }
    }

    /// Remembers whether the kernel would not take what a process was told.
    pub(crate) fn note_refusal(&mut self, number: u32) {
        let child = self.children.get(&number);
        if child.is_some_and(|child| child.control.is_refused()) {
            self.refused.insert(number);
        }
    }

    /// Hears a process's requests. True if there may be more.
    pub(crate) fn listen(
        &mut self,
        number: u32,
        audience: &mut dyn Audience,
        now: Instant,
    ) -> bool {
        let mut packet = std::mem::take(&mut self.packet);
        let is_more = self.listen_with(&mut packet, number, audience, now);
        self.packet = packet;
        is_more
    }

    fn listen_with(
        &mut self,
        packet: &mut Vec<u8>,
        number: u32,
        audience: &mut dyn Audience,
        now: Instant,
    ) -> bool {
        for _ in 0..REQUESTS_PER_TURN {
            let children = self.children.get_mut(&number);
            let Some(child) = children.filter(|child| !child.is_dead) else {
                return false;
            };
            let descriptors = match child.control.receive(packet) {
                Ok(Some(descriptors)) => descriptors,
                Ok(None) => return false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.kill(number);
                    return false;
                }
            };
            let is_understood = match Request::decode(packet) {
                Ok(request) => self.handle(number, request, descriptors, audience, now),
                Err(_) => false,
            };
            if !is_understood {
                self.kill(number);
                return false;
            }
        }
        true
    }

    /// Does what a process asks. False if it makes no sense.
    fn handle(
        &mut self,
        from: u32,
        request: Request,
        descriptors: Vec<OwnedFd>,
        audience: &mut dyn Audience,
        now: Instant,
    ) -> bool {
        match request {
            Request::Spawn(request) => {
                let file = descriptors.into_iter().next();
                self.handle_spawn(
                    Queued {
                        from,
                        request,
                        file,
                    },
                    audience,
                    now,
                )
            }
            Request::Connect { peer } => self.roster.handle_connect(from, peer).is_ok(),
            Request::Wait { id, pid } => {
                self.roster.handle_wait(from, id, pid);
                true
            }
            Request::Kill { id, pid } => {
                self.roster.handle_kill(from, id, pid);
                true
            }
            Request::Withdraw { id, of } => {
                match of {
                    Some(pid) => self.roster.handle_withdrawn_wait(from, id, pid),
                    None => self
                        .ledger
                        .forget(|queued| queued.from == from && queued.request.id == id),
                }
                true
            }
            Request::Note { text } => {
                let pid = self.roster.pid(from);
                audience.handle_event(Event::Noted { pid, text }, now);
                true
            }
            Request::Doubt { peer } => {
                if self.lives(peer) {
                    self.tell(from, &Notice::Lives { peer }, None);
                }
                true
            }
        }
    }

    /// Whether this process of the job has begun and not ended.
    fn lives(&self, pid: Pid) -> bool {
        let child = self.children.get(&pid.number());
        child.is_some_and(|child| {
            let number = pid.number();
            let is_ours = self.roster.pid(number) == pid;
            is_ours && !child.is_dead && matches!(child.end(), Ok(None))
        })
    }

    /// Reads once what a process writes. True if there may be more.
    fn hear(
        &mut self,
        number: u32,
        stream: Stream,
        audience: &mut dyn Audience,
        now: Instant,
    ) -> bool {
        if audience.is_full() {
            return true;
        }
        let pid: Pid = self.roster.pid(number);
        let Some(child) = self.children.get_mut(&number) else {
            return false;
        };
        let mut bytes = audience.buffer();
        let heard = child.voice.read(stream, &mut bytes);
        if !bytes.is_empty() {
            audience.handle_event(Event::Output { pid, stream, bytes }, now);
        }
        heard == Heard::Bytes
    }

    /// Reads no more of a stream that nobody wants: the kernel tells those who write to it.
    fn hush(&mut self, audience: &dyn Audience) {
        self.heard.retain(|stream| audience.wants(*stream));
        for stream in STREAMS
            .into_iter()
            .filter(|stream| !self.heard.contains(stream))
        {
            for child in self.children.values_mut() {
                child.voice.close(stream);
            }
        }
    }
}

/// So that one process that asks without pause does not keep the others waiting.
const REQUESTS_PER_TURN: usize = 16;
/// How soon to ask again for what the kernel had no room for and will not announce.
const RETRY_AFTER: Duration = Duration::from_millis(10);
pub(crate) const SIGKILL: i32 = 9;
