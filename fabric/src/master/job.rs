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
//! # What the initial process needs
//! It is started with what the person said, or else with the default; what it asks for itself is known when its `init`
//! is reached, which is the first that it says. Where that does not fit beside what runs there, another initial process
//! takes its place on a node where it does, before any code behind `init` has run. So an initial process is announced
//! when it has said something else than what it needs: of one that was replaced nobody hears.
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
    collections::{BTreeMap, BTreeSet, VecDeque},
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
    asks: BTreeMap<u64, Want>,
    asks_made: u64,
    /// The number of the initial process, once there is one.
    initial: u32,
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
    is_announced: bool,
    /// Another is the initial process in its place.
    is_replaced: bool,
}

/// Room is wanted for this.
#[derive(Debug)]
enum Want {
    /// The initial process.
    Initial(Resources),
    /// The initial process that runs, which needs something else than it has.
    Need {
        /// Its request's.
        id: u64,
        resources: Resources,
    },
    /// A process that another asked for.
    Spawn(Spawn),
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
            asks: BTreeMap::new(),
            asks_made: 0,
            initial: 0,
            deeds: VecDeque::new(),
            on_the_way: VecDeque::new(),
            is_closing: false,
            is_finished: false,
        };
        job.ask(Want::Initial(resources), resources, None, None, false);
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

    /// Whether something of it is, or was, on this node.
    pub fn is_on(&self, node: NodeId) -> bool {
        self.wardens.contains_key(&node)
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
        let want = self.asks.remove(&ask).expect("room is granted to who asks");
        let asker = match &want {
            Want::Initial(_) => None,
            Want::Need { .. } => Some(self.initial),
            Want::Spawn(spawn) => Some(spawn.from),
        };
        let is_wanted = asker.is_none_or(|asker| self.stage(asker) == Stage::Alive);
        if self.is_closing || !is_wanted {
            self.deeds.push_back(Deed::Release { ask });
        } else if self.roster.is_exhausted() {
            self.deeds.push_back(Deed::Release { ask });
            let why = "the job has had as many processes as it can have over its life".to_string();
            self.refuse(want, Refusal::Launch { why });
        } else {
            match want {
                Want::Initial(resources) => self.begin(ask, resources, None, place),
                Want::Need { id, resources } => self.meet(ask, id, resources, place),
                Want::Spawn(spawn) => {
                    let resources = spawn.request.resources;
                    self.begin(ask, resources, Some(spawn), place);
                }
            }
        }
        self.finish_if_empty();
    }

    /// There is no room for what was asked.
    pub fn handle_refused(&mut self, ask: u64, refusal: Refusal) {
        let want = self.asks.remove(&ask).expect("who asks is refused");
        self.refuse(want, refusal);
        self.follow();
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
                self.announce(number);
                self.on_the_way.push_back((node, bytes.len() as u64));
                let pid = self.roster.pid(number);
                self.deeds
                    .push_back(Deed::Tell(Event::Output { pid, stream, bytes }));
            }
            JobReport::Noted { number, text } => {
                self.announce(number);
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
        // Who asked is killed with the rest.
        for ask in std::mem::take(&mut self.asks).into_keys() {
            self.deeds.push_back(Deed::Release { ask });
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
        if !self.processes.is_empty() && self.stage(self.initial) != Stage::Gone {
            self.order(self.initial, JobOrder::Input { bytes });
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

    /// Asks for room.
    fn ask(
        &mut self,
        want: Want,
        resources: Resources,
        node: Option<String>,
        near: Option<NodeId>,
        wait: bool,
    ) {
        self.asks_made += 1;
        let ask = self.asks_made;
        self.asks.insert(ask, want);
        self.deeds.push_back(Deed::Ask {
            ask,
            resources,
            node,
            near,
            wait,
        });
    }

    /// Begins a process that has room: the initial one, if nobody asked for it.
    fn begin(&mut self, ask: u64, resources: Resources, spawn: Option<Spawn>, place: Place) {
        let node = place.node;
        self.open(place);
        let asked = spawn.as_ref().map(|spawn| (spawn.from, spawn.request.id));
        let parent = asked.map(|(from, _)| from);
        let is_linked = spawn.as_ref().is_some_and(|spawn| spawn.request.link);
        let number = self.roster.handle_birth(parent, is_linked);
        let worker = match &spawn {
            Some(spawn) => spawn.request.function.name.clone(),
            None => self.request.worker.clone(),
        };
        if spawn.is_none() {
            self.initial = number;
        }
        self.processes.push(Process {
            node,
            ask,
            asked,
            worker,
            resources,
            stage: Stage::Beginning,
            is_announced: false,
            is_replaced: false,
        });
        let parent_is_here = |(from, _): &(u32, u64)| self.node_of(*from) == node;
        let (work, file) = match spawn {
            Some(spawn) => (Some(Work::from(*spawn.request)), spawn.file),
            None => (None, None),
        };
        let begin = Begin {
            number,
            parent,
            asked: asked.filter(parent_is_here).map(|(_, id)| id),
            work,
            resources,
        };
        let order = JobOrder::Begin(Box::new(begin));
        self.deeds.push_back(Deed::Order { node, order, file });
        self.follow();
    }

    /// There is room for what the initial process needs: it stays, or another takes its place.
    fn meet(&mut self, ask: u64, id: u64, resources: Resources, place: Place) {
        let number = self.initial;
        let process = &mut self.processes[number as usize];
        if process.node == place.node {
            let before = std::mem::replace(&mut process.ask, ask);
            process.resources = resources;
            self.deeds.push_back(Deed::Release { ask: before });
            return self.tell(number, Notice::Granted { id, resources });
        }
        process.is_replaced = true;
        self.order(number, JobOrder::Kill { number });
        self.begin(ask, resources, None, place);
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
            env: self.environment(),
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

    /// What the person gave, and what every program counts on.
    fn environment(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut environment = self.request.env.clone();
        for (name, value) in [("PATH", PATH), ("LANG", "C.UTF-8")] {
            let name = name.as_bytes();
            if !environment.iter().any(|(other, _)| other == name) {
                environment.push((name.to_vec(), value.as_bytes().to_vec()));
            }
        }
        environment
    }

    fn refuse(&mut self, want: Want, refusal: Refusal) {
        match want {
            Want::Spawn(Spawn { from, request, .. }) => {
                self.refuse_spawn(from, request.id, refusal)
            }
            Want::Initial(_) => self.fail(refusal),
            Want::Need { .. } => {
                self.processes[self.initial as usize].is_replaced = true;
                self.fail(refusal);
                self.roster.handle_persons_kill();
            }
        }
    }

    fn refuse_spawn(&mut self, from: u32, id: u64, refusal: Refusal) {
        let result = Err(refusal);
        self.tell(
            from,
            Notice::Spawned {
                id,
                result,
                seal: None,
            },
        );
    }

    /// There will be no initial process.
    fn fail(&mut self, refusal: Refusal) {
        self.is_closing = true;
        self.deeds.push_back(Deed::Refuse { refusal });
    }

    fn handle_request(&mut self, from: u32, request: Request, file: Option<Vec<u8>>) {
        match request {
            Request::Need { id, resources } => return self.handle_need(from, id, resources),
            _ => self.announce(from),
        }
        match request {
            Request::Spawn(request) => {
                let (resources, wait) = (request.resources, request.wait);
                let (node, near) = (request.node.clone(), Some(self.node_of(from)));
                let spawn = Spawn {
                    from,
                    request,
                    file,
                };
                if !self.is_closing {
                    self.ask(Want::Spawn(spawn), resources, node, near, wait);
                }
            }
            Request::Withdraw { id, of: None } => {
                let meant = |spawn: &Spawn| spawn.from == from && spawn.request.id == id;
                self.withdraw(meant);
            }
            request => {
                if self.roster.handle_request(from, &request).is_err() {
                    self.order(from, JobOrder::Kill { number: from });
                }
            }
        }
    }

    /// The initial process has reached its `init`.
    fn handle_need(&mut self, from: u32, id: u64, resources: Resources) {
        let process = &self.processes[from as usize];
        if from != self.initial || process.is_announced {
            return self.order(from, JobOrder::Kill { number: from });
        }
        let (has, near) = (process.resources, Some(process.node));
        if self.request.resources.is_some() || has == resources {
            let resources = has;
            return self.tell(from, Notice::Granted { id, resources });
        }
        if !self.is_closing {
            // What it has is given back first, or it might not fit beside itself.
            let ask = process.ask;
            self.deeds.push_back(Deed::Release { ask });
            let want = Want::Need { id, resources };
            self.ask(want, resources, None, near, false);
        }
    }

    /// Those who asked for these are not there any more, or do not want them.
    fn withdraw(&mut self, is_meant: impl Fn(&Spawn) -> bool) {
        let meant = |want: &Want| matches!(want, Want::Spawn(spawn) if is_meant(spawn));
        let asks = self.asks.iter().filter(|(_, want)| meant(want));
        let withdrawn: Vec<u64> = asks.map(|(ask, _)| *ask).collect();
        for ask in withdrawn {
            self.asks.remove(&ask);
            self.deeds.push_back(Deed::Release { ask });
        }
    }

    /// The client hears of a process.
    fn announce(&mut self, number: u32) {
        let process = &mut self.processes[number as usize];
        if std::mem::replace(&mut process.is_announced, true) {
            return;
        }
        let event = Event::Spawned {
            pid: self.roster.pid(number),
            parent: process.asked.map(|(parent, _)| self.roster.pid(parent)),
            node: self.wardens[&process.node].place.name.clone(),
            worker: process.worker.clone(),
            resources: process.resources,
        };
        self.deeds.push_back(Deed::Tell(event));
    }

    fn handle_begun(&mut self, number: u32) {
        self.processes[number as usize].stage = Stage::Alive;
        self.begun += 1;
        let process = &self.processes[number as usize];
        let (node, asked) = (process.node, process.asked);
        if asked.is_some() {
            self.announce(number);
        }
        let Some((parent, id)) = asked.filter(|(parent, _)| self.node_of(*parent) != node) else {
            return;
        };
        let result = Ok(self.roster.pid(number));
        self.tell(
            parent,
            Notice::Spawned {
                id,
                result,
                seal: None,
            },
        );
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
            Some((from, id)) => self.refuse_spawn(from, id, refusal),
            None => self.fail(refusal),
        }
    }

    fn handle_death(&mut self, number: u32, end: End, reason: Option<Reason>) {
        self.processes[number as usize].stage = Stage::Dead;
        match reason {
            Some(reason) => self.roster.handle_death_because(number, end, reason),
            None => self.roster.handle_death(number, end),
        }
        self.withdraw(|spawn| spawn.from == number);
    }

    fn handle_left(&mut self, number: u32) {
        let process = &mut self.processes[number as usize];
        process.stage = Stage::Gone;
        let (ask, is_replaced) = (process.ask, process.is_replaced);
        self.gone += 1;
        self.deeds.push_back(Deed::Release { ask });
        let status = self.roster.handle_farewell(number);
        let pid = self.roster.pid(number);
        if !is_replaced {
            self.announce(number);
            let event = Event::Exited { pid, status };
            self.deeds.push_back(Deed::Tell(event));
        }
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

const SIGKILL: i32 = 9;
/// Where programs are looked for, as on any Linux.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
