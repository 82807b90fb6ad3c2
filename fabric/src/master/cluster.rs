//! The whole cluster as its master sees it: which nodes there are, which jobs, and whose.
//!
//! A plain machine: it is told what sessions bring (`handle_*`, with the time) and asked what they are to carry
//! ([`Cluster::poll_action`]). Deliberately absent: sockets, certificates, programs' files, randomness.
//!
//! # What is written down
//! Whatever a job is told is written down first ([`Action::Keep`]), and no order that comes of it leaves before that. So a
//! master that is started again tells its jobs the same (`restore.rs`), and has them as they were.

mod loss;
mod nodes;
mod owners;
mod restore;
mod room;
mod spread;
mod streams;
#[cfg(test)]
mod tests;
mod views;
mod waiting;

use super::{
    happening::Happening,
    job::{self, Job, Nonsense},
};
use crate::scheduler::{Ask as RoomAsk, NodeId, Scheduler, Ticket};
use deploy_wire::{
    client::{Answer, Ask, Digest},
    code::OwnCode,
    control::Refusal,
    event::{Event, Stream},
    node::Order,
    packed::Packed,
    pid,
    resources::{Cpu, Mem},
};
use nodes::Member;
use owners::{Client, Owned};
pub use owners::{Handed, named};
pub use restore::About;
pub use spread::Fetch;
use spread::Spread;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};
use views::Lost;

/// Nodes, jobs and clients.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    scheduler: Scheduler,
    nodes: BTreeMap<NodeId, Member>,
    lost: Lost,
    jobs: BTreeMap<pid::Job, Owned>,
    clients: BTreeMap<ClientId, Client>,
    /// Whose room each ticket is.
    tickets: HashMap<Ticket, (pid::Job, u64)>,
    rooms: HashMap<(pid::Job, u64), Ticket>,
    tickets_made: u64,
    spread: Spread,
    /// Nodes that somebody announced, by their addresses, and the most that each gives, if that was said.
    expected: BTreeMap<String, Option<(Mem, Cpu)>>,
    /// What is asked for while nodes are awaited that an earlier master knew, and whose it is.
    asked: Vec<(pid::Job, u64, RoomAsk)>,
    /// Whether nodes came or went since that was written down.
    are_nodes_changed: bool,
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
    /// Write down, before anything else is sent, that a job was told this.
    Keep(pid::Job, Vec<u8>),
    /// This has happened in a job: for whoever watches it, and for the record.
    Told {
        /// Which.
        job: pid::Job,
        /// What.
        event: Event,
        /// Who brought it about, if it is an end and somebody did.
        by: Option<String>,
    },
    /// A process of a job has written this, which is told as it is.
    Passed {
        /// Which.
        job: pid::Job,
        /// Who wrote.
        pid: pid::Pid,
        /// Where.
        stream: Stream,
        /// What.
        packed: Packed,
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

impl Cluster {
    /// A cluster without nodes, of this name.
    pub fn new(name: String) -> Cluster {
        Cluster {
            name,
            scheduler: Scheduler::new(),
            nodes: BTreeMap::new(),
            lost: Lost::default(),
            jobs: BTreeMap::new(),
            clients: BTreeMap::new(),
            tickets: HashMap::new(),
            rooms: HashMap::new(),
            tickets_made: 0,
            spread: Spread::default(),
            expected: BTreeMap::new(),
            asked: Vec::new(),
            are_nodes_changed: false,
            actions: VecDeque::new(),
        }
    }

    /// A node was announced: the one at this address gives at most so much, whatever it says.
    pub fn expect(&mut self, address: String, most: Option<(Mem, Cpu)>) {
        self.expected.insert(address, most);
    }

    /// Whether some job has this program, or its files, on the node of this name.
    pub fn may_fetch(&self, name: &str, image: &Digest) -> bool {
        let node = self.nodes.iter().find(|(_, node)| node.name == name);
        node.is_some_and(|(node, _)| {
            let mut jobs = self.jobs.values().map(|owned| &owned.job);
            jobs.any(|job| job.needs(image) && job.is_on(*node))
        })
    }

    /// What all jobs run, and their files.
    pub fn programs(&self) -> Vec<Digest> {
        let jobs = self.jobs.values().map(|owned| &owned.job);
        jobs.flat_map(|job| [job.image()].into_iter().chain(job.files()))
            .collect()
    }

    /// Whether a job runs this program, or has these files.
    pub fn runs(&self, image: &Digest) -> bool {
        let mut jobs = self.jobs.values().map(|owned| &owned.job);
        jobs.any(|job| job.needs(image))
    }

    /// A client asks, anything but for programs' files.
    pub fn handle_ask(&mut self, client: ClientId, ask: Ask, now: Instant) {
        let job = self.clients.get(&client).and_then(|client| client.job);
        match ask {
            Ask::Hello { version } => self.greet(client, version),
            Ask::Nodes => self.answer(client, Answer::Nodes(self.node_views(now))),
            Ask::Jobs => self.answer(client, Answer::Jobs(self.job_views(client, now))),
            Ask::Kill { job, process } => self.kill(client, &job, process.as_deref(), now),
            Ask::Drain { node, on } => self.drain(client, &node, on, now),
            Ask::Input { bytes } => self.handle_input(client, bytes, now),
            Ask::Signal { signal } => {
                let signal = Happening::Signal(signal, self.user(client));
                self.with_job(job, signal, now);
            }
            Ask::Credit { bytes } => self.with_job(job, Happening::Credit(bytes), now),
            Ask::Unread { stream } => self.with_job(job, Happening::Unread(stream), now),
            Ask::Beat => self.answer(client, Answer::Beat),
            Ask::Stopped => self.handle_stopped(client),
            Ask::Report { report, file } => self.handle_here(client, *report, file, now),
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
        let beats = self.nodes_timeout();
        let others = [self.owners_timeout(), self.waits_timeout()];
        others.into_iter().chain([beats]).flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.look_after_owners(now);
        self.look_after_nodes(now);
        self.look_at_waits(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn with_job(&mut self, job: Option<pid::Job>, happening: Happening, now: Instant) {
        if let Some(id) = job {
            let _ = self.tell(id, happening); // What comes from within makes sense.
            self.follow(id, now);
        }
    }

    /// Tells a job what has happened, which is written down. Fails if that makes no sense to it.
    fn tell(&mut self, id: pid::Job, happening: Happening) -> Result<(), Nonsense> {
        let Some(owned) = self.jobs.get_mut(&id) else {
            return Ok(()); // It is over.
        };
        let keep = Action::Keep(id, happening.encode());
        self.actions.push_back(keep);
        owned.job.handle(happening)
    }

    /// Does what a job wants done, and forgets it when it is over.
    fn follow(&mut self, id: pid::Job, now: Instant) {
        let mut may_grant = false;
        while let Some(deed) = self.jobs.get_mut(&id).and_then(|it| it.job.poll_deed()) {
            may_grant |= self.carry_out(id, deed);
        }
        if self.jobs.get(&id).is_some_and(|owned| owned.job.is_over()) {
            self.forget(id);
        }
        if may_grant {
            self.grant(now);
        }
    }

    /// Does one thing. Returns whether there may be room now for whoever waits.
    fn carry_out(&mut self, id: pid::Job, deed: job::Deed) -> bool {
        let Some(owned) = self.jobs.get_mut(&id) else {
            return false;
        };
        match deed {
            job::Deed::Ask {
                ask,
                resources,
                node,
                near,
                wait,
            } => {
                let ticket = self.new_ticket(id, ask);
                let room = RoomAsk {
                    ticket,
                    resources,
                    node,
                    near,
                    wait,
                    apart: Vec::new(),
                };
                self.ask_or_wait(id, ask, room);
                return wait;
            }
            job::Deed::Release { ask } => {
                self.forget_ticket(id, ask);
                return true;
            }
            job::Deed::Order { node, order, file } if node == NodeId::HERE => {
                let order = Box::new(order);
                self.answer_owner(id, Answer::Order { order, file });
            }
            job::Deed::Order { node, order, file } => self.order(id, node, order, file),
            job::Deed::Tell { event, by } => {
                self.pay_for_nobody(id);
                self.actions.push_back(Action::Told { job: id, event, by });
            }
            job::Deed::Pass {
                pid,
                stream,
                packed,
            } => {
                self.pay_for_nobody(id);
                self.actions.push_back(Action::Passed {
                    job: id,
                    pid,
                    stream,
                    packed,
                });
            }
            job::Deed::TellTaken { bytes } => self.answer_owner(id, Answer::InputTaken { bytes }),
            job::Deed::Shun { node, why } => self.shun(node, &why),
            job::Deed::Refuse { refusal } => owned.refusal = Some(explain(&refusal)),
            job::Deed::Finish => {
                let refusal = owned.refusal.take();
                self.actions.push_back(Action::Over(id, refusal));
            }
        }
        false
    }

    /// The client that has the job, if one has, is told this.
    fn answer_owner(&mut self, id: pid::Job, answer: Answer) {
        if let Some(client) = self.jobs.get(&id).and_then(|owned| owned.client) {
            self.answer(client, answer);
        }
    }

    /// Where no client has the job: what is on the way was written down, and that is all that becomes of it.
    fn pay_for_nobody(&mut self, id: pid::Job) {
        let owned = self.jobs.get(&id);
        if owned.is_some_and(|owned| owned.client.is_none()) {
            let _ = self.tell(id, Happening::Credit(u64::MAX));
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

    fn refuse(&mut self, client: ClientId, code: OwnCode, why: String) {
        let code = code.number() as u8;
        self.answer(client, Answer::Refused { code, why });
    }

    fn answer(&mut self, client: ClientId, answer: Answer) {
        self.actions.push_back(Action::Answer(client, answer));
    }
}

/// What a person is told whose job could not begin.
fn explain(refusal: &Refusal) -> (OwnCode, String) {
    match refusal {
        Refusal::NeverFits { .. } => (OwnCode::NeverFits, refusal.to_string()),
        Refusal::OutOfResources { .. } => (OwnCode::NoRoom, refusal.to_string()),
        Refusal::Launch { .. } => (OwnCode::Launch, refusal.to_string()),
    }
}
