//! All that the monitor holds of a running job, and how the head's decisions are carried out.
//!
//! How a process begins is in `birth`, how one ends in `death`, what signals ask in `attention`. Nothing here waits: the loop in `run` does.

use crate::{
    attention::Attention,
    child::Child,
    exchange::Exchange,
    head::{Deed, Head},
    input::Input,
    keeper::Keeper,
    launcher::{self, Launcher},
    outside::Outside,
    ready::Ready,
    relay::Relays,
    spare::Spare,
    voice::{Heard, STREAMS},
    watched::{Source, Watched},
};
use deploy_sys::{
    cgroup::{Leaf, Tree},
    limit,
    packet::Beside,
    process::DescriptorLimit,
};
use deploy_wire::{
    control::{Argument, Notice, Refusal, Request},
    event::Stream,
    pid::{Job, Pid},
};
use mio::{Interest, unix::SourceFd};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

/// A running job.
#[derive(Debug)]
pub(crate) struct Household {
    pub(crate) about: About,
    pub(crate) registry: mio::Registry,
    pub(crate) attention: Attention,
    pub(crate) launcher: Launcher,
    pub(crate) tree: Option<Tree>,
    /// Connections with other machines, while they are being made.
    pub(crate) outside: Outside,
    /// Connections whose bytes go by way of the head.
    pub(crate) relays: Relays,
    /// The standard input of the initial process; this process's own, if none.
    pub(crate) input: Option<Input>,
    /// Who clears the tree away if this process is killed.
    pub(crate) keeper: Option<Keeper>,
    /// When to start it.
    pub(crate) keeper_due: Option<Instant>,
    /// Whether memory is to be limited, and no control group does.
    pub(crate) watches_memory: bool,
    /// When to look at it.
    pub(crate) memory_due: Option<Instant>,
    /// The group that the next process will be born in.
    pub(crate) nursery: Option<Leaf>,
    /// Groups whose processes have ended, in which others may be born.
    pub(crate) vacant: Vec<Leaf>,
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
    /// Those that can be told nothing any more, and until when each is expected to end.
    pub(crate) speechless: Vec<(Instant, u32)>,
    /// What a person is to be told of whom.
    pub(crate) notes: Vec<(u32, String)>,
    /// Whether it was said that descriptors are short.
    pub(crate) is_short_told: bool,
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
    pub(crate) job: Job,
    pub(crate) image: u128,
    /// Makes the connections.
    pub(crate) exchange: Exchange,
    pub(crate) signals_blocked: u64,
    /// Whether processes are limited to what they asked for, where control groups can do that.
    pub(crate) is_limited: bool,
    pub(crate) stdout_is_terminal: bool,
    pub(crate) stderr_is_terminal: bool,
    /// The limit that processes get, which the monitor has raised for itself.
    pub(crate) descriptor_limit: DescriptorLimit,
    /// The standard input of all but the initial process.
    pub(crate) null: File,
    /// Children that this process had before it was a monitor.
    pub(crate) strangers: BTreeSet<u32>,
}

impl Household {
    /// A job without processes.
    pub(crate) fn new(
        about: About,
        registry: mio::Registry,
        attention: Attention,
        launcher: Launcher,
        tree: Option<Tree>,
        outside: Outside,
        input: Option<Input>,
    ) -> Household {
        let watches_memory = about.is_limited && !tree.as_ref().is_some_and(Tree::limits_memory);
        Household {
            about,
            registry,
            attention,
            launcher,
            tree,
            outside,
            relays: Relays::default(),
            input,
            keeper: None,
            keeper_due: None,
            watches_memory,
            memory_due: None,
            nursery: None,
            vacant: Vec::new(),
            groups_made: 0,
            spare: Spare::default(),
            children: BTreeMap::new(),
            leaving: BTreeSet::new(),
            ready: Ready::default(),
            postponed: VecDeque::new(),
            refused: BTreeSet::new(),
            speechless: Vec::new(),
            notes: Vec::new(),
            is_short_told: false,
            emptying: Vec::new(),
            is_ending: false,
            heard: STREAMS.into(),
            packet: Vec::new(),
        }
    }

    /// Gives everything that is ready one turn, then does what has come of it.
    pub(crate) fn turn(&mut self, head: &mut dyn Head, now: Instant) {
        for (number, source) in self.ready.take() {
            let is_more = match source {
                Source::Process => self.handle_end(number, head, now),
                Source::Control if head.is_choked() => true,
                Source::Control => self.listen(number, head, now),
                Source::Output(stream) => self.hear(number, stream, head, now),
            };
            if is_more {
                self.ready.insert((number, source));
            }
        }
        self.hush(head);
        self.retry();
        self.end_speechless(now);
        for (number, text) in std::mem::take(&mut self.notes) {
            head.handle_note(number, text, now);
        }
        self.act(head, now);
        self.meet(head, now);
        self.carry(head);
        self.farewell_all(head, now);
        self.act(head, now);
        self.start_keeper(now);
        self.start_spare(now);
        self.look_at_memory(now);
    }

    /// When there is something to do, whatever happens in the meantime.
    pub(crate) fn poll_timeout(&self, head: &dyn Head, now: Instant) -> Option<Instant> {
        let (is_full, is_choked) = (head.is_full(), head.is_choked());
        let is_due = |(_, source): &(u32, Source)| match source {
            Source::Process => true,
            Source::Control => !is_choked,
            Source::Output(_) => !is_full,
        };
        if self.ready.iter().any(is_due) || (self.relays.is_ready() && !is_choked) {
            return Some(now);
        }
        let retry = !self.refused.is_empty() || !self.postponed.is_empty();
        let ends = self
            .leaving
            .iter()
            .filter_map(|number| self.children[number].voice.poll_timeout());
        ends.chain(retry.then(|| now + RETRY_AFTER))
            .chain(self.keeper_due)
            .chain(self.memory_due)
            .chain(self.spare.poll_timeout())
            .chain(self.outside.poll_timeout())
            .chain(self.speechless.iter().map(|(at, _)| *at))
            .min()
    }

    /// Does what the head has decided.
    pub(crate) fn act(&mut self, head: &mut dyn Head, now: Instant) {
        while let Some(deed) = head.poll_deed() {
            match deed {
                Deed::Begin(begin, file) => self.begin(*begin, file, head, now),
                Deed::Tell(number, notice) => {
                    if let Notice::Granted { resources, .. } = notice {
                        self.limit(number, resources, now);
                    }
                    self.tell(number, &notice, None);
                }
                Deed::Connect(one, other) => self.connect(one, other),
                Deed::Dial(one, other, at) => self.dial(one, other, at, head, now),
                Deed::Relay(relay) => self.relay(*relay, head),
                Deed::Relayed(channel, piece) => self.handle_relayed(channel, piece, head),
                Deed::Part => self.part(head),
                Deed::Accept(socket, hello) => self.accept(socket, &hello, now),
                Deed::Kill(number) => self.kill(number),
                Deed::Signal(number, signal) => self.signal(number, signal),
                Deed::Vouch(number, to) if self.lives(number) => head.handle_vouched(number, to),
                Deed::Vouch(..) => {}
                Deed::Input(bytes) => self.handle_input(bytes, head),
                Deed::End => self.end(),
            }
        }
    }

    /// Kills everything. Nothing is begun any more.
    fn end(&mut self) {
        self.is_ending = true;
        self.dismiss_spare();
        for number in self.children.keys() {
            self.signal(*number, SIGKILL);
        }
    }

    /// The process with that number.
    pub(crate) fn pid(&self, number: u32) -> Pid {
        Pid::new(self.about.job, number)
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
        self.note_backlog(number);
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
        let (one_pid, other_pid) = (self.pid(one), self.pid(other));
        let (one_end, other_end) = match self.about.exchange.connect(one_pid, other_pid) {
            Ok(ends) => ends,
            Err(error) => {
                self.postponed.push_back((one, other));
                self.dismiss_spare(); // What it holds is wanted here.
                return self.tell_shortage(one, other, &error);
            }
        };
        for (number, peer, end) in [(one, other_pid, one_end), (other, one_pid, other_end)] {
            let seal = end.seal;
            self.tell(number, &Notice::Connected { peer, seal }, Some(end.socket));
        }
    }

    /// Has a person told, once, why a connection waits.
    fn tell_shortage(&mut self, one: u32, other: u32, error: &io::Error) {
        if !std::mem::replace(&mut self.is_short_told, true) {
            let (other, why) = (self.pid(other), launcher::explain(error));
            let text = format!("waiting to be connected to {other}: {why}");
            self.notes.push((one, text));
        }
    }

    /// Kills those that closed the socket to us and did not end: nothing that they wait for could reach them.
    fn end_speechless(&mut self, now: Instant) {
        let over = self.speechless.extract_if(.., |(at, _)| *at <= now);
        let over: Vec<_> = over.map(|(_, number)| number).collect();
        for number in over {
            let child = self.children.get(&number).filter(|child| !child.is_dead);
            if child.is_some_and(|child| matches!(child.end(), Ok(None))) {
                self.notes.push((number, CLOSED_OURS.to_string()));
                self.kill(number);
            }
        }
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
            self.note_backlog(number);
        }
    }

    /// Remembers whether the kernel would not take what a process was told, and has it say when there is room. Only then:
    /// otherwise each packet that a process takes would wake this one.
    pub(crate) fn note_backlog(&mut self, number: u32) {
        let Some(child) = self.children.get_mut(&number) else {
            return;
        };
        let is_waiting = child.control.waiting() > 0;
        if child.control.is_refused() {
            self.refused.insert(number);
        } else if is_waiting || child.awaits_room {
            let interest = match is_waiting {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            let raw = child.control.as_fd().as_raw_fd();
            let token = Watched::Process(number, Source::Control).token();
            let told = (self.registry).reregister(&mut SourceFd(&raw), token, interest);
            child.awaits_room = is_waiting;
            if told.is_err() && is_waiting {
                self.refused.insert(number); // Then it is asked again shortly.
            }
        }
    }

    /// Hears a process's requests. True if there may be more.
    pub(crate) fn listen(&mut self, number: u32, head: &mut dyn Head, now: Instant) -> bool {
        let mut packet = std::mem::take(&mut self.packet);
        let is_more = self.listen_with(&mut packet, number, head, now);
        self.packet = packet;
        is_more
    }

    fn listen_with(
        &mut self,
        packet: &mut Vec<u8>,
        number: u32,
        head: &mut dyn Head,
        now: Instant,
    ) -> bool {
        for _ in 0..REQUESTS_PER_TURN {
            let children = self.children.get_mut(&number);
            let Some(child) = children.filter(|child| !child.is_dead) else {
                return false;
            };
            let beside = match child.control.receive(packet) {
                Ok(Some(beside)) => beside,
                Ok(None) => {
                    self.speechless.push((now + END_FOLLOWS_MAX, number));
                    return false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.kill(number);
                    return false;
                }
            };
            let is_understood = match Request::decode(packet) {
                Ok(request) => self.handle(number, request, beside, head, now),
                Err(_) => false,
            };
            if !is_understood {
                self.notes.push((number, NONSENSE.to_string()));
                self.kill(number);
                return false;
            }
            self.act(head, now);
        }
        true
    }

    /// Hands on what a process asks. False if it makes no sense.
    fn handle(
        &mut self,
        from: u32,
        request: Request,
        beside: Beside,
        head: &mut dyn Head,
        now: Instant,
    ) -> bool {
        let mut file = None;
        match request {
            Request::Spawn(ref spawn) => {
                if beside.is_cut {
                    let why = launcher::explain(&limit::no_descriptor());
                    let refused = Notice::Spawned {
                        id: spawn.id,
                        result: Err(Refusal::Launch { why }),
                        seal: None,
                    };
                    self.tell(from, &refused, None);
                    return true;
                }
                file = beside.descriptors.into_iter().next();
                let comes_as_file = matches!(spawn.argument, Argument::File { .. });
                if comes_as_file != file.is_some() {
                    return false;
                }
                self.heed_signals(head, now);
            }
            Request::Waits(waits) => {
                head.handle_waits(from, waits, now);
                return true;
            }
            _ => {}
        }
        head.handle_request(from, request, file).is_ok()
    }

    /// Whether this is a process here that has not ended, also not without our having heard of it, and is not about to be
    /// ended.
    fn lives(&self, number: u32) -> bool {
        let is_speechless = self.speechless.iter().any(|(_, other)| *other == number);
        let child = self.children.get(&number);
        !is_speechless
            && child.is_some_and(|child| !child.is_dead && matches!(child.end(), Ok(None)))
    }

    /// Reads once what a process writes. True if there may be more.
    fn hear(&mut self, number: u32, stream: Stream, head: &mut dyn Head, now: Instant) -> bool {
        if head.is_full() {
            return true;
        }
        let Some(child) = self.children.get_mut(&number) else {
            return false;
        };
        let mut bytes = head.buffer();
        let heard = child.voice.read(stream, &mut bytes);
        if !bytes.is_empty() {
            head.handle_output(number, stream, bytes, now);
        }
        heard == Heard::Bytes
    }

    /// Reads no more of a stream that nobody wants: the kernel tells those who write to it.
    fn hush(&mut self, head: &dyn Head) {
        self.heard.retain(|stream| head.wants(*stream));
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
/// A process that ends closes its socket some 50 us before it is dead; how much longer that may take on a busy machine.
const END_FOLLOWS_MAX: Duration = Duration::from_secs(2);
const CLOSED_OURS: &str = "killed, because it closed the descriptor that connects it to the first process: a program \
    may close what it opened itself, and nothing from number 512 on that it did not";
const NONSENSE: &str = "killed, because what came on the descriptor that connects it to the first process makes no sense: a \
    program may write to what it opened itself, and to nothing from number 512 on that it did not";
pub(crate) const SIGKILL: i32 = 9;
