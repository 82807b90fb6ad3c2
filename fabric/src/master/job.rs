//! One job, as the master holds it: who is who, where each process is, and whose screen it speaks to.
//!
//! A plain machine: it is told what happened (`handle_*`) and asked what to do about it ([`Job::poll_deed`]). It knows no
//! session, no clock and no other job; what fits where is the scheduler's to say.
//!
//! # The story
//! 1. A job begins with one ask for room, for its initial process. Whatever is granted room on a node has the job's
//!    warden opened there, if it is the first, and begins.
//! 2. From then on wardens report, and are ordered what follows. A process whose parent is on the same node is connected
//!    and announced there; for any other that is ordered from here.
//! 3. A process gives its room back when nothing of it is left. When that is true of all, the wardens are closed, the
//!    person is told that the job has finished, and it is over when the last warden has closed.
//!
//! # Credit
//! The person's client grants so many bytes of output, and each warden a share of that: so a slow screen fills no queue
//! of the master's, and stops only its own job's writers. What the client has written goes back to the wardens in the
//! order in which it came from them.

use crate::scheduler::NodeId;
use deploy_monitor::{Action, Roster};
use deploy_wire::{
    birth::Work,
    client::{CREDIT_BYTES_FIRST, RunRequest},
    control::{Notice, Refusal, Request, SpawnRequest},
    event::Event,
    exit::{End, Reason},
    job::{Begin, JobOrder, JobReport, OpenJob},
    pid,
    resources::Resources,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
};

/// A job from its admission until nothing of it is left anywhere.
#[derive(Debug)]
pub struct Job {
    id: pid::Job,
    key: [u8; 32],
    request: RunRequest,
    roster: Roster,
    /// By number, from when room was granted.
    processes: Vec<Process>,
    /// How many of them have begun, and of how many nothing is left.
    begun: u32,
    gone: u32,
    wardens: BTreeMap<NodeId, Warden>,
    /// What waits for the scheduler's word, by the ask's number.
    asks: HashMap<u64, Option<Spawn>>,
    asks_made: u64,
    deeds: VecDeque<Deed>,
    /// Output on its way to the client, in order: from where, and how much.
    on_the_way: VecDeque<(NodeId, u64)>,
    is_closing: bool,
    is_finished: bool,
}

/// Where a machine is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which it is.
    pub node: NodeId,
    /// What it is called.
    pub name: String,
    /// Its data port.
    pub address: SocketAddr,
}

/// Something for the master to do for a job.
#[derive(Clone, PartialEq, Debug)]
pub enum Deed {
    /// Ask the scheduler for room; answered by [`Job::handle_granted`] or [`Job::handle_refused`].
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
    /// Tell the person's client.
    Tell(Event),
    /// Tell the client that the job could not begin.
    Refuse {
        /// Why, as for a process that is refused.
        refusal: Refusal,
    },
    /// Tell the client that all has been told.
    Finish,
}

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

#[derive(Debug)]
struct Warden {
    place: Place,
    is_closed: bool,
}

/// What a process asked for.
#[derive(Debug)]
struct Spawn {
    from: u32,
    request: Box<SpawnRequest>,
    file: Option<Vec<u8>>,
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
            processes: Vec::new(),
            begun: 0,
            gone: 0,
            wardens: BTreeMap::new(),
            asks: HashMap::new(),
            asks_made: 0,
            deeds: VecDeque::new(),
            on_the_way: VecDeque::new(),
            is_closing: false,
            is_finished: false,
        };
        job.ask(None, resources, None, false);
        job
    }

    /// What its initial process runs.
    pub fn worker(&self) -> &str {
        &self.request.worker
    }

    /// The program that it runs.
    pub fn image(&self) -> deploy_wire::client::Digest {
        self.request.image
    }

    /// How many processes it has now.
    pub fn processes(&self) -> u32 {
        self.begun - self.gone
    }

    /// Whether nothing of it is left anywhere, and it may be forgotten.
    pub fn is_over(&self) -> bool {
        self.is_finished && self.wardens.values().all(|warden| warden.is_closed)
    }

    /// The process that people see under this name.
    pub fn process(&self, name: &str) -> Option<u32> {
        let shown = |number: &u32| self.roster.pid(*number).to_string() == name;
        (0..self.processes.len() as u32).find(shown)
    }

    /// There is room for what was asked.
    pub fn handle_granted(&mut self, ask: u64, place: Place) {
        let spawn = self.asks.remove(&ask).expect("room is granted to who asks");
        let asker_lives = spawn
            .as_ref()
            .is_none_or(|spawn| self.stage(spawn.from) == Stage::Alive);
        if self.is_closing || !asker_lives {
            self.deeds.push_back(Deed::Release { ask });
        } else if self.roster.is_exhausted() {
            self.deeds.push_back(Deed::Release { ask });
            let why = "the job has had as many processes as it can have over its life".to_string();
            self.refuse(spawn, Refusal::Launch { why });
        } else {
            self.begin(ask, spawn, place);
        }
        self.finish_if_empty();
    }

    /// There is no room for what was asked.
    pub fn handle_refused(&mut self, ask: u64, refusal: Refusal) {
        let spawn = self.asks.remove(&ask).expect("who asks is refused");
        self.refuse(spawn, refusal);
        self.finish_if_empty();
    }

    /// A warden reports. False if the report makes no sense: then its node is not to be trusted.
    pub fn handle_report(
        &mut self,
        node: NodeId,
        report: JobReport,
        file: Option<Vec<u8>>,
    ) -> bool {
        if !self.is_plausible(node, &report) {
            return false;
        }
        match report {
            JobReport::Opened => {}
            JobReport::Failed { why } => self.handle_failed(node, &why),
            JobReport::Asked { from, request } => self.handle_request(from, request, file),
            JobReport::Begun { number } => self.handle_begun(number),
            JobReport::NotBegun { number, why } => self.handle_not_begun(number, why),
            JobReport::Died {
                number,
                end,
                out_of_memory,
            } => self.handle_death(number, end, out_of_memory.then_some(Reason::OutOfMemory)),
            JobReport::Left { number } => self.handle_left(number),
            JobReport::Output {
                number,
                stream,
                bytes,
            } => {
                self.on_the_way.push_back((node, bytes.len() as u64));
                let pid = self.roster.pid(number);
                self.deeds
                    .push_back(Deed::Tell(Event::Output { pid, stream, bytes }));
            }
            JobReport::Noted { number, text } => {
                let pid = self.roster.pid(number);
                self.deeds.push_back(Deed::Tell(Event::Noted { pid, text }));
            }
            JobReport::ConnectFailed { one, other, .. } => self.sever(one, other),
            JobReport::Closed => self.handle_closed(node),
        }
        self.follow();
        true
    }

    /// A node was lost, and what ran there was killed.
    pub fn handle_node_lost(&mut self, node: NodeId) {
        if !self.wardens.contains_key(&node) {
            return;
        }
        let there = |number: &u32| self.processes[*number as usize].node == node;
        let numbers: Vec<u32> = (0..self.processes.len() as u32).filter(there).collect();
        for number in numbers {
            match self.stage(number) {
                Stage::Beginning => {
                    self.handle_not_begun(number, "its node was lost".to_string());
                }
                Stage::Alive => {
                    self.handle_death(number, End::Signal(SIGKILL), Some(Reason::NodeLost));
                    self.handle_left(number);
                }
                Stage::Dead => self.handle_left(number),
                Stage::Gone => {}
            }
        }
        self.handle_closed(node);
        self.follow();
    }

    /// The person sent a signal; SIGKILL ends everything now.
    pub fn handle_persons_signal(&mut self, signal: i32) {
        if signal == SIGKILL {
            return self.handle_persons_kill();
        }
        for number in self.numbers_in(Stage::Alive) {
            self.order(number, JobOrder::Signal { number, signal });
        }
        self.roster.handle_persons_signal(signal);
        self.follow();
    }

    /// A person wants the job to end now, or is gone.
    pub fn handle_persons_kill(&mut self) {
        self.is_closing = true;
        for (ask, spawn) in std::mem::take(&mut self.asks) {
            self.deeds.push_back(Deed::Release { ask });
            drop(spawn); // Who asked is killed with the rest.
        }
        self.roster.handle_persons_kill();
        self.follow();
    }

    /// A person wants one process to end now.
    pub fn handle_kill(&mut self, number: u32) {
        self.order(number, JobOrder::Kill { number });
    }

    /// Bytes for the initial process's standard input.
    pub fn handle_input(&mut self, bytes: Vec<u8>) {
        if !self.processes.is_empty() && self.stage(INITIAL) != Stage::Gone {
            self.order(INITIAL, JobOrder::Input { bytes });
        }
    }

    /// The client has written so many bytes more.
    pub fn handle_credit(&mut self, mut bytes: u64) {
        let mut back = BTreeMap::<NodeId, u64>::new();
        while let Some((node, left)) = self.on_the_way.front_mut() {
            let written = bytes.min(*left);
            *back.entry(*node).or_default() += written;
            *left -= written;
            bytes -= written;
            if *left > 0 {
                break;
            }
            self.on_the_way.pop_front();
        }
        for (node, bytes) in back {
            if self
                .wardens
                .get(&node)
                .is_some_and(|warden| !warden.is_closed)
                && bytes > 0
            {
                let order = JobOrder::Credit { bytes };
                self.deeds.push_back(Deed::Order {
                    node,
                    order,
                    file: None,
                });
            }
        }
    }

    /// The next thing to do.
    pub fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    /// Asks for room; for the initial process, if for nobody.
    fn ask(
        &mut self,
        spawn: Option<Spawn>,
        resources: Resources,
        node: Option<String>,
        wait: bool,
    ) {
        self.asks_made += 1;
        let ask = self.asks_made;
        let near = spawn.as_ref().map(|spawn| self.node_of(spawn.from));
        self.asks.insert(ask, spawn);
        self.deeds.push_back(Deed::Ask {
            ask,
            resources,
            node,
            near,
            wait,
        });
    }

    /// Begins a process that has room.
    fn begin(&mut self, ask: u64, spawn: Option<Spawn>, place: Place) {
        let node = place.node;
        self.open(place);
        let (asked, is_linked) = match &spawn {
            Some(spawn) => (Some((spawn.from, spawn.request.id)), spawn.request.link),
            None => (None, false),
        };
        let number = self
            .roster
            .handle_birth(asked.map(|(from, _)| from), is_linked);
        let resources = match &spawn {
            Some(spawn) => spawn.request.resources,
            None => self.request.resources.unwrap_or_default(),
        };
        let worker = match &spawn {
            Some(spawn) => spawn.request.function.name.clone(),
            None => self.request.worker.clone(),
        };
        self.processes.push(Process {
            node,
            ask,
            asked,
            worker,
            resources,
            stage: Stage::Beginning,
        });
        let parent_is_here = |(from, _): &(u32, u64)| self.node_of(*from) == node;
        let (work, file) = match spawn {
            Some(spawn) => (Some(Work::from(*spawn.request)), spawn.file),
            None => (None, None),
        };
        let begin = Begin {
            number,
            parent: asked.map(|(from, _)| from),
            asked: asked.filter(parent_is_here).map(|(_, id)| id),
            work,
            resources,
        };
        let order = JobOrder::Begin(Box::new(begin));
        self.deeds.push_back(Deed::Order { node, order, file });
        self.follow();
    }

    /// Has a warden on this node, from now on.
    fn open(&mut self, place: Place) {
        let node = place.node;
        let open = OpenJob {
            job: self.id,
            key: self.key,
            node: place.name.clone(),
            image: u128::from_le_bytes(first_half(&self.request.image)),
            args: self.request.args.clone(),
            env: self.request.env.clone(),
            stdout_is_terminal: self.request.stdout_is_terminal,
            stderr_is_terminal: self.request.stderr_is_terminal,
        };
        if self
            .wardens
            .get(&node)
            .is_some_and(|warden| !warden.is_closed)
        {
            return;
        }
        let is_closed = false;
        self.wardens.insert(node, Warden { place, is_closed });
        let orders = [
            JobOrder::Open(Box::new(open)),
            JobOrder::Credit {
                bytes: CREDIT_BYTES_FIRST,
            },
        ];
        for order in orders {
            self.deeds.push_back(Deed::Order {
                node,
                order,
                file: None,
            });
        }
    }

    fn refuse(&mut self, spawn: Option<Spawn>, refusal: Refusal) {
        match spawn {
            Some(Spawn { from, request, .. }) => {
                let result = Err(refusal);
                self.tell(
                    from,
                    Notice::Spawned {
                        id: request.id,
                        result,
                    },
                );
            }
            None => {
                self.is_closing = true;
                self.deeds.push_back(Deed::Refuse { refusal });
            }
        }
    }

    fn handle_request(&mut self, from: u32, request: Request, file: Option<Vec<u8>>) {
        match request {
            Request::Spawn(request) => {
                let (resources, node, wait) =
                    (request.resources, request.node.clone(), request.wait);
                let spawn = Spawn {
                    from,
                    request,
                    file,
                };
                if !self.is_closing {
                    self.ask(Some(spawn), resources, node, wait);
                }
            }
            request => {
                if self.roster.handle_request(from, &request).is_err() {
                    self.order(from, JobOrder::Kill { number: from });
                }
            }
        }
    }

    fn handle_begun(&mut self, number: u32) {
        self.processes[number as usize].stage = Stage::Alive;
        self.begun += 1;
        let process = &self.processes[number as usize];
        let node = process.node;
        let asked = process.asked;
        let event = Event::Spawned {
            pid: self.roster.pid(number),
            parent: asked.map(|(parent, _)| self.roster.pid(parent)),
            node: self.wardens[&node].place.name.clone(),
            worker: process.worker.clone(),
            resources: process.resources,
        };
        self.deeds.push_back(Deed::Tell(event));
        let Some((parent, id)) = asked.filter(|(parent, _)| self.node_of(*parent) != node) else {
            return;
        };
        let result = Ok(self.roster.pid(number));
        self.tell(parent, Notice::Spawned { id, result });
        if self.stage(parent) == Stage::Alive {
            self.connect(number, parent);
        }
    }

    fn handle_not_begun(&mut self, number: u32, why: String) {
        self.roster.handle_stillbirth(number);
        let process = &mut self.processes[number as usize];
        process.stage = Stage::Gone;
        let (ask, asked) = (process.ask, process.asked);
        self.begun += 1; // It counts as one that has come and gone.
        self.gone += 1;
        self.deeds.push_back(Deed::Release { ask });
        let refusal = Refusal::Launch { why };
        match asked {
            Some((from, id)) => {
                let result = Err(refusal);
                self.tell(from, Notice::Spawned { id, result });
            }
            None => self.refuse(None, refusal),
        }
    }

    fn handle_death(&mut self, number: u32, end: End, reason: Option<Reason>) {
        self.processes[number as usize].stage = Stage::Dead;
        match reason {
            Some(reason) => self.roster.handle_death_because(number, end, reason),
            None => self.roster.handle_death(number, end),
        }
        let dead = |(_, spawn): &(&u64, &Option<Spawn>)| {
            spawn.as_ref().is_some_and(|spawn| spawn.from == number)
        };
        let withdrawn: Vec<u64> = self.asks.iter().filter(dead).map(|(ask, _)| *ask).collect();
        for ask in withdrawn {
            self.asks.remove(&ask);
            self.deeds.push_back(Deed::Release { ask });
        }
    }

    fn handle_left(&mut self, number: u32) {
        let process = &mut self.processes[number as usize];
        process.stage = Stage::Gone;
        let ask = process.ask;
        self.gone += 1;
        self.deeds.push_back(Deed::Release { ask });
        let status = self.roster.handle_farewell(number);
        let pid = self.roster.pid(number);
        self.deeds
            .push_back(Deed::Tell(Event::Exited { pid, status }));
    }

    /// No warden can work on this node.
    fn handle_failed(&mut self, node: NodeId, why: &str) {
        let there = |number: &u32| {
            let process = &self.processes[*number as usize];
            process.node == node && process.stage == Stage::Beginning
        };
        let numbers: Vec<u32> = (0..self.processes.len() as u32).filter(there).collect();
        for number in numbers {
            self.handle_not_begun(number, why.to_string());
        }
        self.handle_closed(node);
    }

    fn handle_closed(&mut self, node: NodeId) {
        if let Some(warden) = self.wardens.get_mut(&node) {
            warden.is_closed = true;
        }
        self.on_the_way.retain(|(from, _)| *from != node);
    }

    /// Two that cannot be connected, though both live: each loses the other.
    fn sever(&mut self, one: u32, other: u32) {
        for (to, peer) in [(one, other), (other, one)] {
            let peer = self.roster.pid(peer);
            self.tell(to, Notice::Lives { peer });
        }
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
            }
        }
        self.finish_if_empty();
    }

    fn finish_if_empty(&mut self) {
        let is_empty = self.asks.is_empty() && self.gone as usize == self.processes.len();
        if !is_empty || self.is_finished {
            return;
        }
        self.is_finished = true;
        self.is_closing = true;
        let open = self.wardens.iter().filter(|(_, warden)| !warden.is_closed);
        let nodes: Vec<NodeId> = open.map(|(node, _)| *node).collect();
        for node in nodes {
            let order = JobOrder::Close;
            self.deeds.push_back(Deed::Order {
                node,
                order,
                file: None,
            });
        }
        self.deeds.push_back(Deed::Finish);
    }

    fn connect(&mut self, one: u32, other: u32) {
        let at = match self.node_of(one) == self.node_of(other) {
            true => None,
            false => Some(self.wardens[&self.node_of(other)].place.address),
        };
        self.order(one, JobOrder::Connect { one, other, at });
    }

    fn tell(&mut self, number: u32, notice: Notice) {
        self.order(number, JobOrder::Tell { number, notice });
    }

    /// Orders the warden of a process, unless that is closed.
    fn order(&mut self, number: u32, order: JobOrder) {
        let node = self.node_of(number);
        if self
            .wardens
            .get(&node)
            .is_some_and(|warden| !warden.is_closed)
        {
            self.deeds.push_back(Deed::Order {
                node,
                order,
                file: None,
            });
        }
    }

    fn numbers_in(&self, stage: Stage) -> BTreeSet<u32> {
        (0..self.processes.len() as u32)
            .filter(|number| self.stage(*number) == stage)
            .collect()
    }

    /// Whether this can come from that node now.
    fn is_plausible(&self, node: NodeId, report: &JobReport) -> bool {
        let is = |number: &u32, stages: &[Stage]| {
            let process = self.processes.get(*number as usize);
            process.is_some_and(|process| process.node == node && stages.contains(&process.stage))
        };
        let is_open = self
            .wardens
            .get(&node)
            .is_some_and(|warden| !warden.is_closed);
        is_open
            && match report {
                JobReport::Opened | JobReport::Failed { .. } | JobReport::Closed => true,
                JobReport::Begun { number } | JobReport::NotBegun { number, .. } => {
                    is(number, &[Stage::Beginning])
                }
                JobReport::Asked { from: number, .. } | JobReport::Died { number, .. } => {
                    is(number, &[Stage::Alive])
                }
                JobReport::Left { number } => is(number, &[Stage::Dead]),
                JobReport::Output { number, .. } | JobReport::Noted { number, .. } => {
                    is(number, &[Stage::Alive, Stage::Dead])
                }
                JobReport::ConnectFailed { one, other, .. } => {
                    is(one, &[Stage::Alive, Stage::Dead, Stage::Gone])
                        && (*other as usize) < self.processes.len()
                }
            }
    }

    fn stage(&self, number: u32) -> Stage {
        self.processes[number as usize].stage
    }

    fn node_of(&self, number: u32) -> NodeId {
        self.processes[number as usize].node
    }
}

fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let (half, _) = digest.split_at(16);
    half.try_into().expect("half of 32 are 16")
}

/// The number of the process that goes on with the program's `main`.
const INITIAL: u32 = 0;
const SIGKILL: i32 = 9;
