//! The nodes of a cluster: who is there, who is silent, who is lost.
//!
//! # Who is alive
//! Each node is sent a beat a second, and answers it. One of which nothing has come for 5 s is *suspected*: nothing is placed
//! there. A node that does not know to have been heard for 11 s kills its jobs by itself; so after 12 s it is *lost*:
//! whatever ran there runs no more, and everybody concerned is told so. A node that says goodbye, or comes back as a new
//! incarnation, has killed its jobs before, and is lost at once. One that comes back as the same goes on.
//!
//! Deliberately absent: what is said of jobs (`streams.rs`).

use super::{Action, ClientId, Cluster, Happening, loss::Loss};
use crate::{
    cli,
    scheduler::{NodeId, NodeSpec},
};
use deploy_wire::{
    client::Answer,
    code::OwnCode,
    node::{NodeHello, Order, Report, VERSION},
    pid,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub(super) struct Member {
    pub hello: NodeHello,
    pub name: String,
    /// When it said the latest, or came.
    pub heard: Instant,
    beat: u64,
    /// The latest that was answered.
    answered: u64,
    pub beat_due: Instant,
    is_silent: bool,
    /// Its session has ended, and it has not come back.
    is_cut: bool,
    /// An earlier master knew it, and this one has not heard of it.
    pub is_awaited: bool,
    pub is_draining: bool,
    /// It could not take the latest job in that was sent there.
    pub is_failing: bool,
    /// The jobs that something was ordered of there.
    pub jobs: BTreeSet<pid::Job>,
}

impl Member {
    pub(super) fn new(name: String, hello: NodeHello, now: Instant) -> Member {
        Member {
            hello,
            name,
            heard: now,
            beat: 0,
            answered: 0,
            beat_due: now + BEAT_EVERY,
            is_silent: false,
            is_cut: false,
            is_awaited: false,
            is_draining: false,
            is_failing: false,
            jobs: BTreeSet::new(),
        }
    }

    /// Whether who says this is another machine than the one that is there: one that has moved, or begun anew, has ended its
    /// session, or answers no more.
    fn is_another(&self, hello: &NodeHello, now: Instant) -> bool {
        let is_heard = now.saturating_duration_since(self.heard) < SUSPECTED_AFTER;
        self.hello.address != hello.address && is_heard && !self.is_cut && !self.is_awaited
    }

    /// Whether it answers, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        !self.is_silent && !self.is_awaited
    }
}

impl Cluster {
    /// A node has said who it is. What it has reported of the `unwritten` of its jobs is not here for good yet. Returns its name
    /// here; nothing, if it cannot be part of the cluster.
    pub fn handle_hello(
        &mut self,
        name: String,
        hello: NodeHello,
        unwritten: &[pid::Job],
        now: Instant,
    ) -> Result<NodeId, String> {
        if hello.version.0 != VERSION.0 {
            let (ours, theirs) = (VERSION.0, hello.version.0);
            return Err(format!(
                "the master speaks version {ours} and this node version {theirs}: bring both to the same release"
            ));
        }
        check_labels(&hello.labels)?;
        check_words([&hello.arch, &hello.isolation, &hello.glibc])?;
        let mut nodes = self.nodes.iter();
        let earlier = nodes.find(|(_, node)| node.name == name);
        let mut is_draining = false;
        if let Some((earlier, node)) = earlier {
            let earlier = *earlier;
            if node.hello.incarnation == hello.incarnation {
                return self.resume(earlier, hello, unwritten, now);
            }
            if node.is_another(&hello, now) {
                return Err(format!(
                    "a node {name} is in the cluster already, at {}, and answers: where this one is a copy of it, have it \
                     join anew, with a state directory of its own",
                    node.hello.address
                ));
            }
            is_draining = node.is_draining;
            self.lose(earlier, Loss::Anew, now);
        }
        let id = self.scheduler.handle_node(self.spec(&name, &hello));
        self.scheduler.handle_drain(id, is_draining);
        self.welcome(id, &name, Vec::new());
        self.lost.forget(&name);
        let mut member = Member::new(name, hello, now);
        member.is_draining = is_draining;
        self.nodes.insert(id, member);
        self.are_nodes_changed = true;
        self.settle(now);
        self.grant(now);
        Ok(id)
    }

    /// A node as the scheduler is to know it.
    pub(super) fn spec(&self, name: &str, hello: &NodeHello) -> NodeSpec {
        let mut capacity = hello.capacity;
        if let Some(Some((mem, cpu))) = self.expected.get(&hello.address.to_string()) {
            capacity.mem = capacity.mem.min(*mem);
            capacity.cpu = capacity.cpu.min(*cpu);
        }
        NodeSpec {
            name: name.to_string(),
            capacity,
            labels: hello.labels.clone(),
        }
    }

    /// A node that was cut off, from this master or from one before it, is there again with all that ran on it. The head's
    /// own may have been told meanwhile to give something else.
    fn resume(
        &mut self,
        id: NodeId,
        hello: NodeHello,
        unwritten: &[pid::Job],
        now: Instant,
    ) -> Result<NodeId, String> {
        let held = self.match_streams(id, &hello.held)?;
        self.handle_terms(id, &hello);
        let member = self.nodes.get_mut(&id).expect("it was just found");
        let name = member.name.clone();
        member.heard = now;
        member.beat_due = now;
        member.is_awaited = false;
        member.is_cut = false;
        if std::mem::take(&mut member.is_silent) {
            let note = format!("node {name} answers again");
            self.actions.push_back(Action::Note(note));
        }
        self.scheduler.handle_suspected(id, false);
        let told = |(job, reports): &(pid::Job, u64)| match unwritten.contains(job) {
            true => (*job, 0),
            false => (*job, *reports),
        };
        // One that is over here, but not for good, goes on there until it is.
        let is_over = |job: &&pid::Job| held.iter().all(|(other, _)| other != *job);
        let over: Vec<pid::Job> = unwritten.iter().filter(is_over).copied().collect();
        let kept = over.iter().map(|job| (*job, 0));
        self.welcome(id, &name, held.iter().map(told).chain(kept).collect());
        for job in over {
            let forget = Order::Forget { job };
            self.actions.push_back(Action::Order(id, forget));
        }
        self.say_again(id);
        for (job, _) in held {
            self.with_job(Some(job), Happening::Parted(id), now);
        }
        self.settle(now);
        self.grant(now);
        Ok(id)
    }

    /// A node that goes on gives so much, and goes by these labels.
    fn handle_terms(&mut self, id: NodeId, hello: &NodeHello) {
        let member = self.nodes.get_mut(&id).expect("it was just found");
        let known = &mut member.hello;
        if (known.capacity, &known.labels) == (hello.capacity, &hello.labels) {
            return;
        }
        (known.capacity, known.labels) = (hello.capacity, hello.labels.clone());
        let name = member.name.clone();
        self.scheduler
            .handle_node_changed(id, self.spec(&name, hello));
        self.are_nodes_changed = true;
    }

    fn welcome(&mut self, id: NodeId, name: &str, held: Vec<(pid::Job, u64)>) {
        let welcome = Order::Welcome {
            version: VERSION,
            name: name.to_string(),
            held,
        };
        self.actions.push_back(Action::Order(id, welcome));
        let note = format!("node {name} is up");
        self.actions.push_back(Action::Note(note));
    }

    /// A node reports.
    pub fn handle_report(&mut self, node: NodeId, report: Report, now: Instant) {
        let Some(member) = self.nodes.get_mut(&node) else {
            return;
        };
        // Whatever it says, it was there when it said it; that is as good as an answer.
        member.heard = now;
        match report {
            Report::Beat { sequence } => {
                // On a slow line it may be the answer to an earlier one: it knows what it has answered, and counts from that.
                if (member.answered + 1..=member.beat).contains(&sequence) {
                    member.answered = sequence;
                    if std::mem::take(&mut member.is_silent) {
                        let note = format!("node {} answers again", member.name);
                        self.actions.push_back(Action::Note(note));
                    }
                    self.scheduler.handle_suspected(node, false);
                    self.grant(now);
                }
            }
            Report::Job {
                job,
                sequence,
                report,
                file,
            } => {
                if let Err(nonsense) = self.take(node, job, sequence, (report, file), now) {
                    let what = format!("of job {job}, {nonsense}");
                    self.lose(node, Loss::Nonsense(what), now);
                }
            }
            Report::Taken { job, orders } => {
                if !self.handle_taken(node, job, orders) {
                    let what =
                        format!("of job {job}, it has {orders} orders, and was not given so many");
                    self.lose(node, Loss::Nonsense(what), now);
                }
            }
            Report::Holds { digest, is_here } => self.spread.handle_holds(node, digest, is_here),
            Report::Hello(_) | Report::Fetch { .. } | Report::Leave | Report::Renew => {
                let what = "it says in its session what has no place there".to_string();
                self.lose(node, Loss::Nonsense(what), now);
            }
        }
    }

    /// A node has said goodbye, because it was removed or stopped: nothing runs there any more.
    pub fn handle_node_left(&mut self, node: NodeId, is_removed: bool, now: Instant) {
        let loss = match is_removed {
            true => Loss::Removed,
            false => Loss::Stopped,
        };
        self.lose(node, loss, now);
    }

    /// A node's session has ended without goodbye: it comes back, or kills its jobs, or is dead.
    pub fn handle_node_gone(&mut self, node: NodeId) {
        if let Some(member) = self.nodes.get_mut(&node) {
            member.is_cut = true;
        }
        self.scheduler.handle_suspected(node, true);
    }

    /// When something is due of what is looked after here.
    pub(super) fn nodes_timeout(&self) -> Option<Instant> {
        self.nodes.values().map(|node| node.beat_due).min()
    }

    /// Who is silent is suspected, and lost in the end; and all are sent their beats.
    pub(super) fn look_after_nodes(&mut self, now: Instant) {
        let lost = |node: &Member| now.saturating_duration_since(node.heard) >= LOST_AFTER;
        let dead = self.nodes.iter().filter(|(_, node)| lost(node));
        for node in dead.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.lose(node, Loss::Silence, now);
        }
        let due = self.nodes.iter().filter(|(_, node)| node.beat_due <= now);
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.beat(id, now);
        }
    }

    fn beat(&mut self, id: NodeId, now: Instant) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if now.saturating_duration_since(node.heard) >= SUSPECTED_AFTER {
            self.scheduler.handle_suspected(id, true);
            if !std::mem::replace(&mut node.is_silent, true) {
                let note = format!("node {} has not answered for 5 s", node.name);
                self.actions.push_back(Action::Note(note));
            }
        }
        node.beat += 1;
        node.beat_due = now + BEAT_EVERY;
        let (sequence, heard) = (node.beat, node.answered);
        self.actions
            .push_back(Action::Order(id, Order::Beat { sequence, heard }));
        self.tell_taken(id);
    }

    /// A node is no more, and what ran there was killed.
    fn lose(&mut self, node: NodeId, loss: Loss, now: Instant) {
        let Some(member) = self.nodes.remove(&node) else {
            return;
        };
        let note = loss.note(&member.name);
        self.actions.push_back(Action::Note(note));
        self.are_nodes_changed = true;
        if !matches!(loss, Loss::Stopped | Loss::Removed) {
            self.lost.add(&member, now);
        }
        self.actions.push_back(Action::Dismiss(node));
        self.scheduler.handle_lost(node);
        self.spread.handle_lost(node);
        for job in member.jobs {
            self.lose_stream(node, job, &loss, now);
        }
        self.settle(now);
        self.grant(now);
    }

    /// A node could not take a job in. Until it takes one in that is said once.
    pub(super) fn shun(&mut self, node: NodeId, why: &str) {
        if let Some(member) = self.nodes.get_mut(&node)
            && !std::mem::replace(&mut member.is_failing, true)
        {
            let name = &member.name;
            let plain = why.chars().filter(|char| !char.is_control());
            let why: String = plain.take(WORD_BYTES_MAX).collect();
            let note = format!(
                "node {name} cannot take jobs in, which go elsewhere where they fit: {why}"
            );
            self.actions.push_back(Action::Note(note));
        }
    }

    pub(super) fn drain(&mut self, client: ClientId, name: &str, on: bool, now: Instant) {
        let found = self.nodes.iter().find(|(_, node)| node.name == name);
        let Some((node, _)) = found else {
            let why = format!("there is no node {name:?}: `fabric nodes` lists them");
            return self.refuse(client, OwnCode::Setting, why);
        };
        let node = *node;
        self.scheduler.handle_drain(node, on);
        if let Some(member) = self.nodes.get_mut(&node) {
            member.is_draining = on;
        }
        self.are_nodes_changed = true;
        self.answer(client, Answer::Done);
        self.grant(now);
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

/// Whether what a node says of itself can be shown to people.
fn check_words(words: [&str; 3]) -> Result<(), String> {
    let is_plain = |word: &&str| word.len() <= WORD_BYTES_MAX && !word.contains(char::is_control);
    match words.iter().all(is_plain) {
        true => Ok(()),
        false => Err("what this node says of itself cannot be shown to anybody".to_string()),
    }
}

/// A sentence or two.
const WORD_BYTES_MAX: usize = 1 << 10;
/// Each is a line of those who wait, and a list of nodes.
const LABELS_MAX: usize = 64;
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Five beats: a node that is only slow has answered one of them.
pub(super) const SUSPECTED_AFTER: Duration = Duration::from_secs(5);
/// A node fences itself a second before.
const LOST_AFTER: Duration = Duration::from_secs(12);
