//! One job, as the master holds it: who is who, where each process is, and whose screen it speaks to.
//!
//! A plain machine: it is told what happened ([`Job::handle`]) and asked what to do about it ([`Job::poll_deed`]). It knows no
//! session, no clock and no other job; what fits where is the scheduler's to say.
//!
//! # The story
//! 1. A job begins with one ask for room, for its initial process. Whatever is granted room on a node has the job's
//!    warden opened there, if it is the first, and begins.
//! 2. From then on wardens report, and are ordered what follows. A process whose parent is on the same node is connected
//!    and announced there; for any other that is ordered from here.
//! 3. A process gives its room back when nothing of it is left. When that is true of all, the wardens are closed, the
//!    person is told that the job has finished, and it is over when the last warden has closed.

mod asks;
mod credit;
mod elsewhere;
mod input;
mod kept;
mod processes;
mod relay;
mod report;
mod room;
mod wardens;

pub use kept::Room;
pub use report::Nonsense;

use super::{happening::Happening, place::Place};
use crate::scheduler::NodeId;
use asks::Asks;
use credit::Way;
use deploy_monitor::{Action, Roster};
use deploy_wire::{
    client::{Digest, RunRequest},
    control::{Notice, Refusal},
    event::{Event, Stream},
    job::JobOrder,
    packed::Packed,
    pid::{self, Pid},
    resources::Resources,
};
use input::Input;
use processes::Processes;
use relay::Relays;
use room::Want;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wardens::Warden;

/// A job from its admission until nothing of it is left anywhere.
#[derive(Debug)]
pub struct Job {
    id: pid::Job,
    key: [u8; 32],
    request: RunRequest,
    roster: Roster,
    processes: Processes,
    /// How many of them have begun, and of how many nothing is left.
    begun: u32,
    gone: u32,
    wardens: BTreeMap<NodeId, Warden>,
    /// What waits for the scheduler's word, by the ask's number.
    asks: Asks,
    asks_made: u64,
    /// The number of the initial process, once there is one.
    initial: u32,
    deeds: VecDeque<Deed>,
    way: Way,
    input: Input,
    relays: Relays,
    /// What nobody reads any more.
    unread: BTreeSet<Stream>,
    /// Who was killed by whom, until that is told.
    killers: BTreeMap<u32, Killer>,
    /// By what nodes were lost that something of it was on.
    losses: BTreeMap<NodeId, String>,
    /// The nodes that could not take it in, and why.
    apart: BTreeMap<NodeId, String>,
    /// Who sent the latest signal for all, or ended the job.
    interrupter: String,
    is_closing: bool,
    is_finished: bool,
}

/// Something for the master to do for a job.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    /// Ask the scheduler for room; answered by `Granted` or `Refused`, which happen to the job.
    Ask {
        /// Repeated in the answer.
        ask: u64,
        /// How much.
        resources: Resources,
        /// The only node it may be on.
        node: Option<String>,
        /// Where it would be best.
        near: Option<NodeId>,
        /// Whether to queue for it.
        wait: bool,
    },
    /// The room of this ask is free again, or not wanted any more.
    Release {
        /// Which ask's.
        ask: u64,
    },
    /// Order a warden something.
    Order {
        /// Whose.
        node: NodeId,
        /// What.
        order: JobOrder,
        /// The argument's file beside it.
        file: Option<Vec<u8>>,
    },
    /// Tell whoever watches.
    Tell {
        /// What.
        event: Event,
        /// Who brought it about, if it is an end and somebody did.
        by: Option<String>,
    },
    /// Tell whoever watches what a process wrote, without a look at it.
    Pass {
        /// Who wrote.
        pid: Pid,
        /// Where.
        stream: Stream,
        /// What.
        packed: Packed,
    },
    /// Tell the client how much of the standard input was taken, of all that was ever sent.
    TellTaken {
        /// Bytes.
        bytes: u64,
    },
    /// Tell whoever looks after the master that a node could not take the job in.
    Shun {
        /// Which.
        node: NodeId,
        /// Why not.
        why: String,
    },
    /// Tell the client that the job could not begin.
    Refuse {
        /// Why, as for a process that is refused.
        refusal: Refusal,
    },
    /// Tell the client that all has been told.
    Finish,
}

/// One of which something is left.
#[derive(Debug)]
struct Process {
    node: NodeId,
    /// Its room.
    ask: u64,
    /// Who asked for it, under which id.
    asked: Option<(u32, u64)>,
    worker: String,
    resources: Resources,
    stage: Stage,
    is_announced: bool,
    /// Another is the initial process in its place.
    is_replaced: bool,
}

/// Who killed a process.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Killer {
    /// One of the job.
    Process(u32),
    /// A person of this name.
    Person(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Ordered, and not heard of.
    Beginning,
    Alive,
    Dead,
    /// Nothing is left of it.
    Gone,
}

impl Job {
    /// A job that asks for room for its initial process.
    pub fn new(id: pid::Job, key: [u8; 32], request: RunRequest) -> Job {
        let resources = request.resources.unwrap_or_default();
        let mut job = Job {
            id,
            key,
            request,
            roster: Roster::new(id),
            processes: Processes::default(),
            begun: 0,
            gone: 0,
            wardens: BTreeMap::new(),
            asks: Asks::default(),
            asks_made: 0,
            initial: 0,
            deeds: VecDeque::new(),
            way: Way::default(),
            input: Input::default(),
            relays: Relays::default(),
            unread: BTreeSet::new(),
            killers: BTreeMap::new(),
            losses: BTreeMap::new(),
            apart: BTreeMap::new(),
            interrupter: String::new(),
            is_closing: false,
            is_finished: false,
        };
        match job.request.is_here {
            // There it takes nobody's room.
            true => job.begin(0, resources, None, Place::here()),
            false => job.ask(Want::Initial(resources)),
        }
        job
    }

    /// What its initial process runs.
    pub fn worker(&self) -> &str {
        &self.request.worker
    }

    /// The program that it runs.
    pub fn image(&self) -> Digest {
        self.request.image
    }

    /// The files that it finds.
    pub fn files(&self) -> Option<Digest> {
        self.request.files
    }

    /// Whether this is its program, or its files.
    pub fn needs(&self, digest: &Digest) -> bool {
        self.request.image == *digest || self.request.files.as_ref() == Some(digest)
    }

    /// Whether something of it is, or was, on this node.
    pub fn is_on(&self, node: NodeId) -> bool {
        self.wardens.contains_key(&node)
    }

    /// How many processes it has now.
    pub fn processes(&self) -> u32 {
        self.begun - self.gone
    }

    /// Whether its last process has ended, and nobody hears more of it.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether nothing of it is left anywhere, and it may be forgotten.
    pub fn is_over(&self) -> bool {
        self.is_finished && self.wardens.values().all(|warden| warden.is_closed)
    }

    /// Whether there is a process of this number, and it lives.
    pub fn is_alive(&self, number: u32) -> bool {
        self.processes.stage(number) == Some(Stage::Alive)
    }

    /// The process that people see under this name.
    pub fn process(&self, name: &str) -> Option<u32> {
        let shown = |number: &u32| self.roster.pid(*number).to_string() == name;
        (0..self.processes.count()).find(shown)
    }

    /// Takes in what has happened.
    ///
    /// # Errors
    /// If that makes no sense: then it has not happened.
    pub fn handle(&mut self, happening: Happening) -> Result<(), Nonsense> {
        match happening {
            Happening::Report(node, report, file) => {
                return self.handle_report(node, report, file);
            }
            Happening::Granted(ask, _) | Happening::Refused(ask, _)
                if !self.asks.contains_key(&ask) =>
            {
                return Err(Nonsense::new("nobody has asked for that room"));
            }
            Happening::Granted(ask, place) => self.handle_granted(ask, place),
            Happening::Refused(ask, refusal) => self.handle_refused(ask, refusal),
            Happening::NodeLost(node, by) => self.handle_node_lost(node, by),
            Happening::Parted(node) => self.break_legs(node),
            Happening::Signal(signal, _) if !(1..=SIGNAL_MAX).contains(&signal) => {
                return Err(Nonsense::new("there is no such signal"));
            }
            Happening::Signal(signal, who) => self.handle_persons_signal(signal, &who),
            Happening::Kill(None, who) => self.handle_persons_kill(&who),
            Happening::Kill(Some(number), who) => {
                self.check_number(number)?;
                self.handle_kill(number, &who);
            }
            Happening::Input(bytes) => return self.handle_input(bytes),
            Happening::Credit(bytes) => self.handle_credit(bytes),
            Happening::Unread(stream) => self.handle_unread(stream),
            Happening::Noted(number, text) => {
                self.check_number(number)?;
                self.handle_note(number, text);
            }
        }
        Ok(())
    }

    fn check_number(&self, number: u32) -> Result<(), Nonsense> {
        match number < self.processes.count() {
            true => Ok(()),
            false => Err(Nonsense::new("there is no such process")),
        }
    }

    /// This person sent a signal; SIGKILL ends everything now.
    fn handle_persons_signal(&mut self, signal: i32, who: &str) {
        if signal == SIGKILL {
            return self.handle_persons_kill(who);
        }
        self.interrupter = who.to_string();
        for number in self.numbers_in(Stage::Alive) {
            // Who sits there has sent it there, too.
            if self.node_of(number) != NodeId::HERE {
                self.order(number, JobOrder::Signal { number, signal });
            }
        }
        self.roster.handle_persons_signal(signal);
        self.follow();
    }

    /// Somebody wants the job to end now.
    fn handle_persons_kill(&mut self, who: &str) {
        self.interrupter = who.to_string();
        self.is_closing = true;
        // Who asked is killed with the rest.
        for ask in std::mem::take(&mut self.asks).keys() {
            self.deeds.push_back(Deed::Release { ask: *ask });
        }
        self.roster.handle_persons_kill();
        self.follow();
    }

    /// A person wants one process to end now.
    fn handle_kill(&mut self, number: u32, who: &str) {
        if self.stage(number) == Stage::Alive {
            let killer = Killer::Person(who.to_string());
            self.killers.entry(number).or_insert(killer);
        }
        self.roster.handle_persons_kill_of(number);
        self.follow();
    }

    /// Nobody reads this stream any more.
    fn handle_unread(&mut self, stream: Stream) {
        self.unread.insert(stream);
        let nodes: Vec<NodeId> = self.wardens.keys().copied().collect();
        for node in nodes {
            self.order_warden(node, JobOrder::Unread { stream });
        }
    }

    /// The client has written so many bytes more.
    fn handle_credit(&mut self, bytes: u64) {
        for (node, bytes) in self.way.handle_written(bytes) {
            self.order_warden(node, JobOrder::Credit { bytes });
        }
    }

    /// The next thing to do.
    pub fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    /// Does what the roster has decided, and what follows when nobody is left.
    fn follow(&mut self) {
        while let Some(action) = self.roster.poll_action() {
            match action {
                Action::Tell(number, notice) => self.tell(number, notice),
                Action::Connect(one, other) => self.connect(one, other),
                Action::Kill(number) => self.order(number, JobOrder::Kill { number }),
                Action::Signal(number, signal) => {
                    self.order(number, JobOrder::Signal { number, signal });
                }
                Action::Vouch(number, to) => self.order(number, JobOrder::Vouch { number, to }),
            }
        }
        self.finish_if_empty();
    }

    fn finish_if_empty(&mut self) {
        let is_empty = self.asks.is_empty() && self.gone == self.processes.count();
        if !is_empty || self.is_finished {
            return;
        }
        self.is_finished = true;
        self.is_closing = true;
        let nodes: Vec<NodeId> = self.wardens.keys().copied().collect();
        for node in nodes {
            self.order_warden(node, JobOrder::Close);
        }
        self.deeds.push_back(Deed::Finish);
    }

    fn tell(&mut self, number: u32, notice: Notice) {
        self.order(number, JobOrder::Tell { number, notice });
    }

    fn numbers_in(&self, stage: Stage) -> BTreeSet<u32> {
        let those = self.processes.left();
        let those = those.filter(|(_, process)| process.stage == stage);
        those.map(|(number, _)| number).collect()
    }

    fn stage(&self, number: u32) -> Stage {
        self.processes.stage(number).expect(IS_KNOWN)
    }

    fn node_of(&self, number: u32) -> NodeId {
        self.processes.node(number).expect(IS_KNOWN)
    }
}

const IS_KNOWN: &str = "who names a process was looked at before";
const SIGKILL: i32 = 9;
/// Linux has no more.
const SIGNAL_MAX: i32 = 64;
