//! Whose a job is, and who has it: clients come, go, and come back.
//!
//! # Who is gone
//! A job's client that ends its session, or says nothing for [`GONE_AFTER`], is gone. Its job goes on for [`GRACE`], so that
//! it can come back; then the job is ended, unless it is detached. While nobody has a job, what it writes is paid for at
//! once: it is written down, and that is all that can be waited for.
//!
//! # A client with a warden
//! With `--here` the job's initial process runs at the client, which carries orders and reports of a warden of its own. When
//! that client is gone, so is its process, as if its node were lost: it ends it too. The rest of the job goes on as any does
//! whose client is gone.
//!
//! Deliberately absent: who only looks on (`desk.rs`), for whom no job waits.

use super::{About, Action, ClientId, Cluster, Happening, Job, loss::Loss, pid, streams::Stream};
use crate::scheduler::NodeId;
use deploy_monitor::Standstill;
use deploy_wire::{
    client::{Answer, GONE_AFTER, GRACE, JobView},
    code::OwnCode,
    job::{JobOrder, JobReport},
    node::Order,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A job, and whose it is.
#[derive(Debug)]
pub(super) struct Owned {
    pub job: Job,
    pub user: String,
    /// Who has it.
    pub client: Option<ClientId>,
    /// Whether it goes on without.
    is_detached: bool,
    /// Since when nobody has it.
    left: Option<Instant>,
    since: Instant,
    /// Why its initial process could not begin.
    pub refusal: Option<(OwnCode, String)>,
    /// What is said of it to each node where it has a warden, or had one.
    pub streams: BTreeMap<NodeId, Stream>,
    /// Which of its processes wait for which.
    pub standstill: Standstill,
}

/// Somebody's session.
#[derive(Debug)]
pub(super) struct Client {
    user: String,
    /// The job that it has.
    pub job: Option<pid::Job>,
    heard: Instant,
    /// It has said that it would be silent.
    is_stopped: bool,
}

/// A job as who attaches to it finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handed {
    /// How many bytes of standard input have come.
    pub input: u64,
    /// How many of them were taken: word of that may have been lost with the connection.
    pub input_taken: u64,
    /// Whether it goes on without a client.
    pub is_detached: bool,
}

impl Cluster {
    /// A client has said who it is.
    pub fn handle_client(&mut self, client: ClientId, user: String, now: Instant) {
        let new = Client {
            user,
            job: None,
            heard: now,
            is_stopped: false,
        };
        self.clients.insert(client, new);
    }

    /// The job that a client has.
    pub fn job_of(&self, client: ClientId) -> Option<pid::Job> {
        self.clients.get(&client).and_then(|client| client.job)
    }

    /// A client has said anything at all.
    pub fn handle_heard(&mut self, client: ClientId, now: Instant) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.heard = now;
            client.is_stopped = false;
        }
    }

    /// A client wants a program run, whose file is there. `id` and `key` are random. False, and an answer, if not.
    pub fn run(&mut self, client: ClientId, id: pid::Job, about: About, now: Instant) -> bool {
        let Some(asker) = self.clients.get_mut(&client) else {
            return false;
        };
        if asker.job.is_some() {
            let why = "this session runs a job already: open another".to_string();
            self.refuse(client, OwnCode::Setting, why);
            return false;
        }
        let mut owned = Owned::new(id, about, now);
        if !owned.is_detached {
            asker.job = Some(id);
            owned.client = Some(client);
        }
        self.jobs.insert(id, owned);
        self.answer(client, Answer::Started { job: id });
        true
    }

    /// A job that was just run begins; whoever is to see what comes of it looks on by now.
    pub fn begin(&mut self, id: pid::Job, now: Instant) {
        self.follow(id, now);
    }

    /// Whether the job's first process is at the client that has it, which nobody else can take over.
    pub fn is_at_its_client(&self, id: pid::Job) -> bool {
        let owned = self.jobs.get(&id);
        owned.is_some_and(|owned| owned.job.has_warden(NodeId::HERE))
    }

    /// A client wants to have this job, which is its user's. Nothing if it is over.
    pub fn attach(&mut self, client: ClientId, id: pid::Job) -> Option<Handed> {
        let owned = self.jobs.get_mut(&id)?;
        let asker = self.clients.get_mut(&client)?;
        asker.job = Some(id);
        owned.left = None;
        let earlier = owned.client.replace(client).filter(|it| *it != client);
        let handed = Handed {
            input: owned.job.input(),
            input_taken: owned.job.input_taken(),
            is_detached: owned.is_detached,
        };
        // What is still on its way to somebody else was written down.
        let _ = self.tell(id, Happening::Credit(u64::MAX));
        if let Some(earlier) = earlier {
            // That is the last that it is told, and nothing that it says is heeded.
            self.clients.remove(&earlier);
            let answer = Answer::Refused {
                code: OwnCode::Connection.number() as u8,
                why: format!(
                    "the job is attached elsewhere now: `cargo deploy attach {id}` brings it back"
                ),
            };
            self.actions.push_back(Action::Part(earlier, answer));
        }
        Some(handed)
    }

    /// The warden of a client reports of its job.
    pub(super) fn handle_here(
        &mut self,
        client: ClientId,
        report: JobReport,
        file: Option<Vec<u8>>,
        now: Instant,
    ) {
        let Some(job) = self.clients.get(&client).and_then(|client| client.job) else {
            return;
        };
        let told = match report {
            JobReport::Signalled { signal } => {
                let signal = Happening::Signal(signal, self.user(client));
                self.tell(job, signal)
            }
            // What is relayed is not written down.
            JobReport::Relayed { .. } => self.jobs.get_mut(&job).map_or(Ok(()), |owned| {
                let relayed = Happening::Report(NodeId::HERE, report, None);
                owned.job.handle(relayed)
            }),
            report => self.tell(job, Happening::Report(NodeId::HERE, report, file)),
        };
        self.follow(job, now);
        if let Err(nonsense) = told {
            let why = format!("what it says of the process there makes no sense: {nonsense}");
            let code = OwnCode::Connection.number() as u8;
            let answer = Answer::Refused { code, why };
            self.actions.push_back(Action::Part(client, answer));
            self.handle_client_gone(client, now);
        }
    }

    /// A client's session has ended: its job is left alone, and a process of it that ran there is lost.
    pub fn handle_client_gone(&mut self, client: ClientId, now: Instant) {
        let Some(job) = self.clients.remove(&client).and_then(|client| client.job) else {
            return;
        };
        self.leave_alone(job, now);
    }

    /// Nobody has a job any more.
    pub(super) fn leave_alone(&mut self, id: pid::Job, now: Instant) {
        if let Some(owned) = self.jobs.get_mut(&id) {
            owned.client = None;
            owned.left = Some(now);
            // What is on the way was written down, and that is all that becomes of it.
            self.with_job(Some(id), Happening::Credit(u64::MAX), now);
            if self.is_at_its_client(id) {
                let lost = Happening::NodeLost(NodeId::HERE, Loss::Away.by());
                self.with_job(Some(id), lost, now);
            }
        }
    }

    /// The user of a client; nobody, if it is gone.
    pub fn user(&self, client: ClientId) -> String {
        let client = self.clients.get(&client);
        client.map_or_else(String::new, |client| client.user.clone())
    }

    /// Until something is due of what is looked after here.
    pub(super) fn owners_timeout(&self) -> Option<Instant> {
        let owned = self.jobs.values();
        let ends = owned.filter_map(Owned::grace_ends);
        let clients = self.clients.values();
        let silences = clients.filter_map(Client::silence_ends);
        ends.chain(silences).min()
    }

    /// Who is silent for too long is gone, and a job that nobody came back to is ended.
    pub(super) fn look_after_owners(&mut self, now: Instant) {
        let clients = self.clients.iter();
        let is_silent = |client: &Client| client.silence_ends().is_some_and(|end| end <= now);
        let silent = clients.filter(|(_, client)| is_silent(client));
        let silent: Vec<ClientId> = silent.map(|(id, _)| *id).collect();
        for client in silent {
            let answer = Answer::Refused {
                code: OwnCode::Connection.number() as u8,
                why: format!("nothing came from here for {} s", GONE_AFTER.as_secs()),
            };
            self.actions.push_back(Action::Part(client, answer));
            self.handle_client_gone(client, now);
        }
        let is_due = |owned: &Owned| owned.grace_ends().is_some_and(|end| end <= now);
        let due = self.jobs.iter().filter(|(_, owned)| is_due(owned));
        let due: Vec<pid::Job> = due.map(|(id, _)| *id).collect();
        for id in due {
            let kill = Happening::Kill(None, NOBODY_CAME.to_string());
            self.with_job(Some(id), kill, now);
            if let Some(owned) = self.jobs.get_mut(&id) {
                owned.left = None;
            }
        }
    }

    /// It is about to be stopped, and is not to be waited for.
    pub(super) fn handle_stopped(&mut self, client: ClientId) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.is_stopped = true;
        }
    }

    pub(super) fn handle_input(&mut self, client: ClientId, bytes: Vec<u8>, now: Instant) {
        let job = self.clients.get(&client).and_then(|client| client.job);
        let Some(job) = job else { return };
        if self.tell(job, Happening::Input(bytes)).is_err() {
            let why = "more standard input comes than there is room for".to_string();
            self.refuse(client, OwnCode::Connection, why);
        }
        self.follow(job, now);
    }

    pub(super) fn kill(
        &mut self,
        client: ClientId,
        name: &str,
        process: Option<&str>,
        now: Instant,
    ) {
        let user = self.user(client);
        let jobs = self.jobs.iter().filter(|(_, owned)| owned.user == user);
        let job = match named(jobs.map(|(id, _)| *id), name) {
            Ok(job) => job,
            Err(why) => return self.refuse(client, OwnCode::Setting, why),
        };
        let owned = self.jobs.get(&job).expect("it was just found");
        let number = process.map(|name| owned.job.process(name).ok_or(name));
        match number.transpose() {
            Ok(number) => drop(self.tell(job, Happening::Kill(number, user))),
            Err(name) => {
                let why = format!(
                    "the job has no process {name:?}: say its pid, as its lines have it and `cargo deploy why`"
                );
                return self.refuse(client, OwnCode::Setting, why);
            }
        }
        self.answer(client, Answer::Done);
        self.follow(job, now);
    }

    pub(super) fn job_views(&self, client: ClientId, now: Instant) -> Vec<JobView> {
        let user = self.user(client);
        // One that is finished is among those that are over, while its nodes still clear up.
        let runs = |owned: &Owned| owned.user == user && !owned.job.is_finished();
        let jobs = self.jobs.iter().filter(|(_, owned)| runs(owned));
        let mut jobs: Vec<_> = jobs.collect();
        jobs.sort_by_key(|(_, owned)| owned.since); // The latest to begin last.
        let views = jobs.into_iter().map(|(id, owned)| JobView {
            job: *id,
            worker: owned.job.worker().to_string(),
            user: owned.user.clone(),
            processes: owned.job.processes(),
            seconds: now.saturating_duration_since(owned.since).as_secs(),
            state: owned.state(now),
        });
        views.collect()
    }
}

impl Owned {
    /// One that nobody has.
    pub(super) fn new(id: pid::Job, about: About, since: Instant) -> Owned {
        let is_detached = about.request.is_detached;
        let mut job = Job::new(id, about.key, about.request);
        if is_detached {
            // Nobody will ever type anything.
            let _ = job.handle(Happening::Input(Vec::new())); // There is always room for that.
        }
        Owned {
            job,
            user: about.user,
            client: None,
            is_detached,
            left: None,
            since,
            refusal: None,
            streams: BTreeMap::new(),
            standstill: Standstill::default(),
        }
    }

    /// One more order, with its number.
    pub(super) fn push(
        &mut self,
        id: pid::Job,
        node: NodeId,
        order: JobOrder,
        file: Option<Vec<u8>>,
    ) {
        let is_open = matches!(order, JobOrder::Open(_));
        let image = is_open.then(|| self.job.image());
        let files = self.job.files().filter(|_| is_open).map(Box::new);
        let stream = self.streams.entry(node).or_default();
        let order = Order::Job {
            job: id,
            sequence: stream.orders.made() + 1,
            order,
            image,
            file,
            files,
        };
        stream.orders.push(order);
    }

    fn grace_ends(&self) -> Option<Instant> {
        let left = self.left.filter(|_| !self.is_detached);
        left.map(|left| left + GRACE)
    }

    fn state(&self, now: Instant) -> String {
        match (self.grace_ends(), self.is_detached) {
            (Some(end), _) => {
                let left: Duration = end.saturating_duration_since(now);
                format!("left alone, ends in {} s", left.as_secs())
            }
            (None, true) => "detached".to_string(),
            (None, false) => "runs".to_string(),
        }
    }
}

impl Client {
    fn silence_ends(&self) -> Option<Instant> {
        (self.job.is_some() && !self.is_stopped).then(|| self.heard + GONE_AFTER)
    }
}

/// Which of these jobs is called so, or begins so.
pub fn named(jobs: impl Iterator<Item = pid::Job>, name: &str) -> Result<pid::Job, String> {
    let is_meant = |id: &pid::Job| !name.is_empty() && id.to_string().starts_with(name);
    let found: Vec<pid::Job> = jobs.filter(is_meant).collect();
    match found[..] {
        [job] => Ok(job),
        [] => Err(format!(
            "none of your jobs is called {name:?}: `cargo deploy ps --all` lists them"
        )),
        _ => Err(format!(
            "{} of your jobs begin with {name:?}: give more of the name",
            found.len()
        )),
    }
}

/// Who ends a job in the end, in words that follow "by".
const NOBODY_CAME: &str = "the master, because its person was gone for 60 s";
