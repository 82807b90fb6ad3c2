//! The whole cluster as its master sees it: which nodes there are, which jobs, and whose.
//!
//! A plain machine: it is told what sessions bring (`handle_*`, with the time) and asked what they are to carry
//! ([`Cluster::poll_action`]). Deliberately absent: sockets, certificates, programs' files, randomness.
//!
//! # Who is alive
//! Each node is sent a beat a second, and answers it. One that has not answered for 5 s is *suspected*: nothing is placed
//! there. A node that hears no beat for 10 s kills its jobs by itself; so after 12 s it is *lost*: whatever ran there
//! runs no more, and everybody concerned is told so. A node that ends its session, or comes back as a new incarnation,
//! has killed its jobs before, and is lost at once.

mod owners;

use super::job::{self, Job, Place};
use crate::{
    cli,
    scheduler::{Ask as RoomAsk, NodeId, NodeSpec, Scheduler, Ticket, Verdict},
};
use deploy_wire::{
    client::{Answer, Ask, Digest, NodeView},
    code::OwnCode,
    control::Refusal,
    event::Event,
    job::JobOrder,
    node::{NodeHello, Order, Report, VERSION},
    pid,
};
use owners::{Client, Owned};
pub use owners::{Handed, named};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Nodes, jobs and clients.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    scheduler: Scheduler,
    nodes: BTreeMap<NodeId, Member>,
    jobs: BTreeMap<pid::Job, Owned>,
    clients: BTreeMap<ClientId, Client>,
    /// Whose room each ticket is.
    tickets: HashMap<Ticket, (pid::Job, u64)>,
    rooms: HashMap<(pid::Job, u64), Ticket>,
    tickets_made: u64,
    /// Nodes that somebody announced and that have not come.
    expected: BTreeMap<String, deploy_wire::resources::Resources>,
    actions: VecDeque<Action>,
}

/// One session of a person's client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// Something for the loop to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Send a node this.
    Order(NodeId, Order),
    /// Send a client this.
    Answer(ClientId, Answer),
    /// This has happened in a job: for whoever watches it, and for the record.
    Told {
        /// Which.
        job: pid::Job,
        /// What.
        event: Event,
        /// Who brought it about, if it is an end and somebody did.
        by: Option<String>,
    },
    /// A job is over, and all that has happened in it was told. It may have been refused its first process.
    Over(pid::Job, Option<(OwnCode, String)>),
    /// This is the last that a client is told: its job is somebody else's, or it is gone.
    Part(ClientId, Answer),
    /// Tell whoever looks after the master.
    Note(String),
    /// End a node's session: it is lost, or not to be trusted.
    Dismiss(NodeId),
}

#[derive(Debug)]
struct Member {
    hello: NodeHello,
    name: String,
    /// When it answered the latest beat, or came.
    heard: Instant,
    beat: u64,
    beat_due: Instant,
    is_silent: bool,
}

impl Cluster {
    /// A cluster without nodes, of this name.
    pub fn new(name: String) -> Cluster {
        Cluster {
            name,
            scheduler: Scheduler::new(),
            nodes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            clients: BTreeMap::new(),
            tickets: HashMap::new(),
            rooms: HashMap::new(),
            tickets_made: 0,
            expected: BTreeMap::new(),
            actions: VecDeque::new(),
        }
    }

    /// A node was announced: one of this name or address is given at most so much.
    pub fn expect(&mut self, address: String, capacity: deploy_wire::resources::Resources) {
        self.expected.insert(address, capacity);
    }

    /// A node has said who it is. Returns its name here; nothing, if it cannot be part of the cluster.
    pub fn handle_hello(
        &mut self,
        name: String,
        hello: NodeHello,
        now: Instant,
    ) -> Result<NodeId, String> {
        if hello.version.0 != VERSION.0 {
            let (ours, theirs) = (VERSION.0, hello.version.0);
            return Err(format!(
                "the master speaks version {ours} and this node version {theirs}: bring both to the same release"
            ));
        }
        check_labels(&hello.labels)?;
        let earlier = self.nodes.iter().find(|(_, node)| node.name == name);
        if let Some((earlier, _)) = earlier {
            let earlier = *earlier;
            self.lose(earlier, now);
        }
        let mut capacity = hello.capacity;
        if let Some(most) = self.expected.get(&hello.address.to_string()) {
            capacity = crate::capacity::least(capacity, *most);
        }
        let id = self.scheduler.handle_node(NodeSpec {
            name: name.clone(),
            capacity,
            labels: hello.labels.clone(),
        });
        let version = VERSION;
        self.actions.push_back(Action::Order(
            id,
            Order::Welcome {
                version,
                name: name.clone(),
            },
        ));
        self.nodes.insert(
            id,
            Member {
                hello,
                name,
                heard: now,
                beat: 0,
                beat_due: now + BEAT_EVERY,
                is_silent: false,
            },
        );
        self.grant(now);
        Ok(id)
    }

    /// A node reports.
    pub fn handle_report(&mut self, node: NodeId, report: Report, now: Instant) {
        let Some(member) = self.nodes.get_mut(&node) else {
            return;
        };
        match report {
            Report::Beat { sequence } => {
                if sequence == member.beat {
                    member.heard = now;
                    if std::mem::take(&mut member.is_silent) {
                        let note = format!("node {} answers again", member.name);
                        self.actions.push_back(Action::Note(note));
                    }
                    self.scheduler.handle_suspected(node, false);
                    self.grant(now);
                }
            }
            Report::Job { job, report, file } => {
                let Some(owned) = self.jobs.get_mut(&job) else {
                    return; // It has ended meanwhile; its warden is told so.
                };
                if !owned.job.handle_report(node, report, file) {
                    self.lose(node, now);
                    return;
                }
                self.follow(job, now);
            }
            Report::Hello(_) | Report::Fetch { .. } | Report::Leave | Report::Renew => {
                self.lose(node, now);
            }
        }
    }

    /// A node has said goodbye: nothing runs there any more.
    pub fn handle_node_left(&mut self, node: NodeId, now: Instant) {
        self.lose(node, now);
    }

    /// Whether some job has this program, or its files, on the node of this name.
    pub fn may_fetch(&self, name: &str, image: &Digest) -> bool {
        let node = self.nodes.iter().find(|(_, node)| node.name == name);
        node.is_some_and(|(node, _)| {
            let mut jobs = self.jobs.values().map(|owned| &owned.job);
            jobs.any(|job| job.needs(image) && job.is_on(*node))
        })
    }

    /// Whether a job runs this program, or has these files.
    pub fn runs(&self, image: &Digest) -> bool {
        let mut jobs = self.jobs.values().map(|owned| &owned.job);
        jobs.any(|job| job.needs(image))
    }

    /// A node's session has ended without goodbye: it kills its jobs, or is dead.
    pub fn handle_node_gone(&mut self, node: NodeId) {
        // It may live on without us until it fences itself.
        self.scheduler.handle_suspected(node, true);
    }

    /// A client asks, anything but for programs' files.
    pub fn handle_ask(&mut self, client: ClientId, ask: Ask, now: Instant) {
        let job = self.clients.get(&client).and_then(|client| client.job);
        match ask {
            Ask::Hello { version } => self.greet(client, version),
            Ask::Nodes => self.answer(client, Answer::Nodes(self.node_views())),
            Ask::Jobs => self.answer(client, Answer::Jobs(self.job_views(client, now))),
            Ask::Kill { job, process } => self.kill(client, &job, process.as_deref(), now),
            Ask::Drain { node, on } => self.drain(client, &node, on, now),
            Ask::Input { bytes } => self.handle_input(client, bytes, now),
            Ask::Signal { signal } => {
                let user = self.user(client);
                self.with_job(job, now, |job| job.handle_persons_signal(signal, &user));
            }
            Ask::Credit { bytes } => self.with_job(job, now, |job| job.handle_credit(bytes)),
            Ask::Unread { stream } => self.with_job(job, now, |job| job.handle_unread(stream)),
            Ask::Beat => self.answer(client, Answer::Beat),
            Ask::Stopped => self.handle_stopped(client),
            Ask::Image { .. } | Ask::Chunk { .. } | Ask::Run(_) | Ask::Renew => {
                unreachable!("the loop looks after programs and certificates, and calls `run`")
            }
            Ask::Attach { .. } | Ask::Logs { .. } | Ask::Why { .. } | Ask::Past => {
                unreachable!("the loop asks the desk, and calls `attach`")
            }
        }
    }

    /// When to call [`Cluster::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let beats = self.nodes.values().map(|node| node.beat_due).min();
        [beats, self.owners_timeout()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.look_after_owners(now);
        let lost = |node: &Member| now.saturating_duration_since(node.heard) >= LOST_AFTER;
        let dead: Vec<(NodeId, String)> = self
            .nodes
            .iter()
            .filter(|(_, node)| lost(node))
            .map(|(id, node)| (*id, format!("node {} is lost", node.name)))
            .collect();
        for (node, note) in dead {
            self.actions.push_back(Action::Note(note));
            self.lose(node, now);
        }
        for (id, node) in &mut self.nodes {
            if node.beat_due > now {
                continue;
            }
            if now.saturating_duration_since(node.heard) >= SUSPECTED_AFTER {
                self.scheduler.handle_suspected(*id, true);
                if !std::mem::replace(&mut node.is_silent, true) {
                    let note = format!("node {} has not answered for 5 s", node.name);
                    self.actions.push_back(Action::Note(note));
                }
            }
            node.beat += 1;
            node.beat_due = now + BEAT_EVERY;
            let sequence = node.beat;
            self.actions
                .push_back(Action::Order(*id, Order::Beat { sequence }));
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// A node is no more, and what ran there was killed.
    fn lose(&mut self, node: NodeId, now: Instant) {
        if self.nodes.remove(&node).is_none() {
            return;
        }
        self.actions.push_back(Action::Dismiss(node));
        self.scheduler.handle_lost(node);
        let jobs: Vec<pid::Job> = self.jobs.keys().copied().collect();
        for job in jobs {
            self.with_job(Some(job), now, |job| job.handle_node_lost(node));
        }
        self.grant(now);
    }

    fn with_job(&mut self, job: Option<pid::Job>, now: Instant, act: impl FnOnce(&mut Job)) {
        let Some(id) = job else { return };
        if let Some(owned) = self.jobs.get_mut(&id) {
            act(&mut owned.job);
            self.follow(id, now);
        }
    }

    /// Does what a job wants done, and forgets it when it is over.
    fn follow(&mut self, id: pid::Job, now: Instant) {
        let mut may_grant = false;
        while let Some(owned) = self.jobs.get_mut(&id)
            && let Some(deed) = owned.job.poll_deed()
        {
            let client = owned.client;
            match deed {
                job::Deed::Ask {
                    ask,
                    resources,
                    node,
                    near,
                    wait,
                } => {
                    self.tickets_made += 1;
                    let ticket = Ticket(self.tickets_made);
                    self.tickets.insert(ticket, (id, ask));
                    self.rooms.insert((id, ask), ticket);
                    let room = RoomAsk {
                        ticket,
                        resources,
                        node,
                        near,
                        wait,
                    };
                    may_grant |= wait;
                    self.ask(id, ask, room);
                }
                job::Deed::Release { ask } => {
                    may_grant = true;
                    self.forget_ticket(id, ask);
                }
                job::Deed::Order { node, order, file } => {
                    let is_open = matches!(order, JobOrder::Open(_));
                    let image = is_open.then(|| owned.job.image());
                    let files = owned.job.files().filter(|_| is_open).map(Box::new);
                    let order = Order::Job {
                        job: id,
                        order,
                        image,
                        file,
                        files,
                    };
                    self.actions.push_back(Action::Order(node, order));
                }
                job::Deed::Tell { event, by } => {
                    if client.is_none() {
                        owned.job.handle_unwatched();
                    }
                    let job = id;
                    self.actions.push_back(Action::Told { job, event, by });
                }
                job::Deed::TellTaken { bytes } => {
                    if let Some(client) = client {
                        self.answer(client, Answer::InputTaken { bytes });
                    }
                }
                job::Deed::Refuse { refusal } => owned.refusal = Some(explain(&refusal)),
                job::Deed::Finish => {
                    let refusal = owned.refusal.take();
                    self.actions.push_back(Action::Over(id, refusal));
                }
            }
        }
        if self.jobs.get(&id).is_some_and(|owned| owned.job.is_over()) {
            self.jobs.remove(&id);
            for client in self.clients.values_mut() {
                client.job = client.job.filter(|job| *job != id);
            }
        }
        if may_grant {
            self.grant(now);
        }
    }

    fn ask(&mut self, id: pid::Job, ask: u64, room: RoomAsk) {
        let asked = room.resources;
        let wanted = room.node.clone();
        let refusal = match self.scheduler.handle_ask(room) {
            Verdict::AfterOthers => return,
            Verdict::Granted(node) => return self.place(id, ask, node),
            Verdict::OutOfResources { free, others } => Refusal::OutOfResources {
                asked,
                nodes: free,
                others,
            },
            Verdict::NeverFits { capacity, others } => match wanted {
                Some(word) if capacity.is_empty() => Refusal::Launch {
                    why: format!(
                        "no node is called {word:?} or has that label: `cargo deploy nodes` lists them"
                    ),
                },
                _ => Refusal::NeverFits {
                    asked,
                    nodes: capacity,
                    others,
                },
            },
        };
        self.forget_ticket(id, ask);
        if let Some(owned) = self.jobs.get_mut(&id) {
            owned.job.handle_refused(ask, refusal);
        }
    }

    fn place(&mut self, id: pid::Job, ask: u64, node: NodeId) {
        let member = &self.nodes[&node];
        let place = Place {
            node,
            name: member.name.clone(),
            address: Some(member.hello.address),
        };
        if let Some(owned) = self.jobs.get_mut(&id) {
            owned.job.handle_granted(ask, place);
        }
    }

    /// Grants those who wait what has become free.
    fn grant(&mut self, now: Instant) {
        while let Some((ticket, node)) = self.scheduler.poll_granted() {
            let (id, ask) = self.tickets[&ticket];
            self.place(id, ask, node);
            self.follow(id, now);
        }
    }

    fn forget_ticket(&mut self, id: pid::Job, ask: u64) {
        if let Some(ticket) = self.rooms.remove(&(id, ask)) {
            self.tickets.remove(&ticket);
            self.scheduler.handle_release(ticket);
        }
    }

    fn greet(&mut self, client: ClientId, version: (u16, u16)) {
        let ours = deploy_wire::client::VERSION;
        if version.0 != ours.0 {
            let why = format!(
                "the cluster speaks version {} and this client version {}: bring both to the same release",
                ours.0, version.0
            );
            return self.refuse(client, OwnCode::Setting, why);
        }
        let cluster = self.name.clone();
        let version = ours;
        self.answer(client, Answer::Hello { version, cluster });
    }

    fn drain(&mut self, client: ClientId, name: &str, on: bool, now: Instant) {
        let found = self.nodes.iter().find(|(_, node)| node.name == name);
        let Some((node, _)) = found else {
            let why = format!("there is no node {name:?}: `fabric nodes` lists them");
            return self.refuse(client, OwnCode::Setting, why);
        };
        self.scheduler.handle_drain(*node, on);
        self.answer(client, Answer::Done);
        self.grant(now);
    }

    fn node_views(&self) -> Vec<NodeView> {
        let mut views: Vec<NodeView> = self
            .scheduler
            .nodes()
            .filter_map(|(id, state)| {
                let member = self.nodes.get(&id)?;
                let word = match (state.is_suspected, state.is_draining) {
                    (true, _) => "suspected",
                    (false, true) => "draining",
                    (false, false) => "up",
                };
                Some(NodeView {
                    name: state.name.clone(),
                    address: member.hello.address.to_string(),
                    state: word.to_string(),
                    capacity: state.capacity,
                    free: state.free,
                    processes: state.grants,
                    isolation: member.hello.isolation.clone(),
                    labels: member.hello.labels.clone(),
                    glibc: member.hello.glibc.clone(),
                })
            })
            .collect();
        for (address, capacity) in &self.expected {
            if !views.iter().any(|view| view.address == *address) {
                views.push(NodeView {
                    name: address.clone(),
                    address: address.clone(),
                    state: "expected".to_string(),
                    capacity: *capacity,
                    free: *capacity,
                    processes: 0,
                    isolation: String::new(),
                    labels: Vec::new(),
                    glibc: String::new(),
                });
            }
        }
        views
    }

    fn refuse(&mut self, client: ClientId, code: OwnCode, why: String) {
        let code = code.number() as u8;
        self.answer(client, Answer::Refused { code, why });
    }

    fn answer(&mut self, client: ClientId, answer: Answer) {
        self.actions.push_back(Action::Answer(client, answer));
    }
}

/// Whether labels are such as `fabric` lets people give. What a node says is not to be trusted.
fn check_labels(labels: &[String]) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("a node has {LABELS_MAX} labels at most"));
    }
    labels
        .iter()
        .try_for_each(|label| cli::label(label).map(drop))
}

/// What a person is told whose job could not begin.
fn explain(refusal: &Refusal) -> (OwnCode, String) {
    match refusal {
        Refusal::NeverFits { .. } => (OwnCode::NeverFits, refusal.to_string()),
        _ => (OwnCode::Launch, refusal.to_string()),
    }
}

/// Each is a line of those who wait, and a list of nodes.
const LABELS_MAX: usize = 64;
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Five beats: a node that is only slow has answered one of them.
const SUSPECTED_AFTER: Duration = Duration::from_secs(5);
/// A node fences itself two seconds before.
const LOST_AFTER: Duration = Duration::from_secs(12);
