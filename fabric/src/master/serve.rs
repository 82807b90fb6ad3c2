//! The master's loop: it owns the poll and the sessions, and carries between them and the cluster, which decides.
//!
//! Deliberately absent: any decision about nodes, jobs or room.

mod fetches;
mod hearing;
mod members;
mod own;
mod paper;
mod watchers;

use super::{
    clerk::Clerk,
    cluster::{Action, ClientId, Cluster},
    desk::Desk,
    gate::{Gate, Parcel},
    librarian::Librarian,
    membership::Membership,
    nodes_file::NodesFile,
    party::Party,
    scribe::Scribe,
    uploads::Uploads,
};
use crate::{audit::Audit, images::Images, own_node::OwnNode, scheduler::NodeId};
use deploy_sys::{signal::Signals, tell};
use deploy_trust::door::{Door, TOKENS};
use deploy_wire::{
    client::{Answer, Digest},
    code::OwnCode,
};
use mio::{Events, Poll, Token, Waker};
use own::Ending;
use paper::Beginner;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// A running master.
#[derive(Debug)]
pub struct Master {
    poll: Poll,
    /// Where nodes arrive, and data for the head's own node; and where people's clients do.
    doors: Vec<Door>,
    membership: Membership,
    clerk: Clerk,
    cluster: Cluster,
    images: Images,
    uploads: Uploads,
    /// The programs of jobs, and their files, which must stay on the disk for the nodes that will fetch them.
    programs: BTreeMap<Digest, File>,
    desk: Desk,
    scribe: Scribe,
    librarian: Librarian,
    /// What leaves only when something was written.
    gate: Gate,
    /// Jobs that begin when that is written.
    beginners: BTreeMap<ClientId, Beginner>,
    parties: BTreeMap<Token, Party>,
    parties_made: usize,
    /// The sessions of the nodes that the cluster knows.
    nodes: HashMap<NodeId, Token>,
    /// Those that may have something to send.
    talkative: BTreeSet<Token>,
    /// Those that may have something to say. Who has said much in one turn is heard on in the next.
    unheard: BTreeSet<Token>,
    /// Where connections for data go.
    own_node: OwnNode,
    /// By which somebody stops it.
    signals: Signals,
    ending: Ending,
}

/// What the master keeps on its disk, beside who belongs to the cluster.
#[derive(Debug)]
pub struct Books {
    /// What happened and by whom.
    pub audit: Audit,
    /// Programs.
    pub images: Images,
    /// What jobs have printed, and who reads it.
    pub desk: Desk,
    /// Which nodes there are.
    pub nodes_file: NodesFile,
}

impl Master {
    /// A master that serves whoever comes through these doors, of this poll, whose tokens lie one behind the other from
    /// 0 on: first the nodes' door, then the bridge. It has this node beside it, and is stopped by these signals.
    ///
    /// # Errors
    /// If the kernel has no descriptor or thread for it.
    pub fn new(
        poll: Poll,
        doors: Vec<Door>,
        membership: Membership,
        cluster: Cluster,
        books: Books,
        (own_node, signals): (OwnNode, Signals),
    ) -> io::Result<Master> {
        own_node.register(poll.registry(), own::OWN_NODE)?;
        own::register(&signals, poll.registry())?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut programs = BTreeMap::new();
        for digest in cluster.programs() {
            // Where one has gone, nodes that have it not say so when they are to run it.
            if let Ok(Some(program)) = books.images.find(&digest) {
                programs.insert(digest, program);
            }
        }
        Ok(Master {
            uploads: Uploads::new(books.images.clone(), waker.clone()),
            programs,
            poll,
            doors,
            clerk: Clerk::hire(membership.authority().clone(), waker.clone())?,
            scribe: Scribe::hire(books.nodes_file, books.audit, waker.clone())?,
            librarian: Librarian::hire(waker)?,
            membership,
            cluster,
            images: books.images,
            desk: books.desk,
            gate: Gate::default(),
            beginners: BTreeMap::new(),
            parties: BTreeMap::new(),
            parties_made: 0,
            nodes: HashMap::new(),
            talkative: BTreeSet::new(),
            unheard: BTreeSet::new(),
            own_node,
            signals,
            ending: Ending::default(),
        })
    }

    /// Serves until it is stopped. Then its own node has ended, too.
    ///
    /// # Errors
    /// If the kernel fails the poll, or its own node is none any more.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.act(); // What has come of going on with earlier jobs.
        self.hand_over();
        let mut now = Instant::now();
        while !self.is_over(now) {
            let deadlines = self.doors.iter().filter_map(Door::deadline);
            let own = [
                Some(self.membership.deadline()),
                self.cluster.poll_timeout(),
                self.desk.poll_timeout(),
                self.own_deadline(),
            ];
            let next = deadlines.chain(own.into_iter().flatten()).min();
            let timeout = match self.is_desk_busy() || !self.unheard.is_empty() {
                true => Some(Duration::ZERO),
                false => next.map(|next| next.saturating_duration_since(now) + ROUNDED_UP),
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            now = Instant::now();
            for event in &events {
                let token = event.token();
                match token {
                    WAKER | own::OWN_NODE | own::SIGNALS => {} // What was told is taken in below.
                    token if token.0 < self.doors.len() * TOKENS => {
                        self.doors[token.0 / TOKENS].handle_ready(token, now);
                    }
                    token => drop(self.unheard.insert(token)),
                }
            }
            for token in std::mem::take(&mut self.unheard) {
                self.hear(token);
            }
            while let Some((token, answer)) = self.uploads.poll() {
                if let Some(party) = self.find(token) {
                    party.queue(answer.encode());
                }
            }
            for door in &mut self.doors {
                door.handle_timeout(now);
            }
            self.admit(now);
            self.hear_clerk();
            self.hear_scribe(now);
            self.look_after_members(now);
            self.look_after_own_node(now);
            self.cluster.handle_timeout(now);
            self.act();
            self.turn_desk();
            self.desk.tidy(now);
            self.hand_over();
            self.send();
        }
        self.hand_over();
        self.ending.outcome()
    }

    fn add(&mut self, mut party: Party) -> Option<Token> {
        let token = self.next_token();
        self.parties_made += 1;
        party.session.register(self.poll.registry(), token).ok()?;
        self.parties.insert(token, party);
        self.talkative.insert(token);
        Some(token)
    }

    /// Behind the doors' tokens, and none twice.
    fn next_token(&self) -> Token {
        Token(self.doors.len() * TOKENS + self.parties_made)
    }

    /// What the cluster has decided goes on its way.
    fn act(&mut self) {
        while let Some(action) = self.cluster.poll_action() {
            match action {
                Action::Order(node, order) => self.order(node, &order),
                Action::Keep(job, entry) => self.desk.keep(job, &entry),
                Action::Answer(client, answer) => self.answer(client, &answer),
                Action::Told { job, event, by } => {
                    self.desk.handle_told(job, event, by);
                    self.post();
                }
                Action::Passed {
                    job,
                    pid,
                    stream,
                    packed,
                } => {
                    self.desk.handle_passed(job, pid, stream, packed);
                    self.post();
                }
                Action::Over(job, refusal) => {
                    self.desk.handle_over(job, refusal, Instant::now());
                }
                Action::Part(client, answer) => {
                    self.desk.forget(client);
                    let lane = self.lane_of(client);
                    let parcel = Parcel::Last(answer.encode().into());
                    self.send_after(lane, Token(client.0 as usize), parcel);
                }
                Action::Note(text) => tell!("{text}"),
                Action::Dismiss(node) => {
                    if let Some(party) = self.find_node(node) {
                        party.forget_node();
                        party.session.finish();
                    }
                    self.nodes.remove(&node);
                }
            }
        }
    }

    fn find_node(&mut self, node: NodeId) -> Option<&mut Party> {
        self.find(*self.nodes.get(&node)?)
    }

    /// A party that is to be told something.
    fn find(&mut self, token: Token) -> Option<&mut Party> {
        self.talkative.insert(token);
        self.parties.get_mut(&token)
    }

    /// Sends what waits, as far as the sessions take it.
    fn send(&mut self) {
        while let Some(token) = self.talkative.pop_first() {
            let sent = self.parties.get_mut(&token).map(Party::send);
            if matches!(sent, Some(Err(_))) {
                self.drop_party(token);
            }
        }
    }

    /// Who says goodbye leaves at once.
    fn dismiss(&mut self, token: Token, now: Instant) {
        if let Some(party) = self.parties.get_mut(&token)
            && let Some(node) = party.node_id()
        {
            let is_removed = party.is_removed();
            party.forget_node();
            self.cluster.handle_node_left(node, is_removed, now);
            self.act();
        }
        self.drop_party(token);
    }

    fn drop_party(&mut self, token: Token) {
        self.uploads.forget(token);
        let Some(party) = self.parties.remove(&token) else {
            return;
        };
        if let Some(node) = party.node_id() {
            self.nodes.remove(&node);
            tell!("node {} has ended its session", party.name());
            self.cluster.handle_node_gone(node);
        }
        if let Some(client) = party.client_id() {
            self.forget_client(client);
        }
        self.act();
    }

    /// A client says nothing any more that is heeded, whether its session has ended or not.
    fn forget_client(&mut self, client: ClientId) {
        self.desk.forget(client);
        self.beginners.remove(&client);
        self.cluster.handle_client_gone(client, Instant::now());
    }
}

/// What was asked for could not be done.
fn refused(why: impl ToString) -> Answer {
    Answer::Refused {
        code: OwnCode::Launch.number() as u8,
        why: why.to_string(),
    }
}

/// It is not done for whoever asks like that.
fn not_so(why: impl ToString) -> Answer {
    Answer::Refused {
        code: OwnCode::Setting.number() as u8,
        why: why.to_string(),
    }
}

fn random_key() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    for half in key.chunks_exact_mut(16) {
        half.copy_from_slice(&deploy_sys::random::bits()?.to_le_bytes());
    }
    Ok(key)
}

/// Behind all others, and one before what `mio` may keep for itself.
const WAKER: Token = Token(usize::MAX - 1);
/// A poll waits for whole milliseconds, and would come back a little early.
const ROUNDED_UP: Duration = Duration::from_millis(1);

/// A turn's worth; more come in the next.
const EVENTS_MAX: usize = 1024;
