//! The jobs that have processes on a node: each has a warden, once its program is here. What they report is collected, and
//! kept until the master has it for good: so they need not notice that a session with it has ended and another begun.
//!
//! Deliberately absent: the session with the master, and any look at what orders and reports say.

mod streams;

use super::{
    Estate,
    fetch::{Fetch, Road},
    give::Giver,
    shares::Shares,
    transit::Transits,
    warden_link::WardenLink,
};
use crate::images::{ImageError, Images};
use deploy_sys::random;
use deploy_trust::{door::TOKENS, endpoint::Connector};
use deploy_wire::{
    client::Digest,
    job::{JobOrder, JobReport},
    pid::Job,
    secret::Secret,
};
use mio::{Registry, Token};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
};
use streams::Stream;

/// Jobs, and where they live.
#[derive(Debug)]
pub struct Tenants {
    images: Images,
    /// Programs that are on their way here.
    transits: Transits,
    giver: Giver,
    wardens: BTreeMap<Job, Warden>,
    /// It goes after all who live there.
    estate: Estate,
    tokens_made: usize,
    /// The jobs by their warden's or fetch's token.
    jobs: BTreeMap<Token, Job>,
    /// What the master and each job's wardens say to each other, until the master has forgotten the job.
    streams: BTreeMap<Job, Stream>,
    /// Programs that others may have of this node, or may not, which the master is to know.
    fetched: VecDeque<(Digest, bool)>,
    /// What is relayed, which is not kept: it is over when the session is.
    relayed: VecDeque<(Job, JobReport)>,
    /// The jobs that may have something to say.
    talkative: BTreeSet<Job>,
    /// The jobs whose share of the processors may have changed.
    changed: BTreeSet<Job>,
}

/// A job's warden here.
#[derive(Debug)]
struct Warden {
    /// The program is not here yet.
    fetch: Option<Fetch>,
    link: Option<WardenLink>,
    image: Digest,
    /// What else it finds in its directory.
    files: Option<Digest>,
    shares: Shares,
    /// Orders that wait for it to start.
    early: VecDeque<(JobOrder, Option<Vec<u8>>)>,
}

impl Tenants {
    /// None yet, whose programs are kept and who live there.
    ///
    /// # Errors
    /// If the kernel has no random bits.
    pub fn new(images: Images, estate: Estate) -> io::Result<Tenants> {
        let secret = Secret::from_bytes(random::bytes()?);
        let transits = Transits::default();
        Ok(Tenants {
            giver: Giver::new(images.clone(), transits.clone(), secret),
            images,
            transits,
            estate,
            wardens: BTreeMap::new(),
            tokens_made: 0,
            jobs: BTreeMap::new(),
            streams: BTreeMap::new(),
            fetched: VecDeque::new(),
            relayed: VecDeque::new(),
            talkative: BTreeSet::new(),
            changed: BTreeSet::new(),
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.wardens.is_empty()
    }

    /// The master has said which jobs go on, and how many of their reports it has. What else is here is killed. Returns
    /// which jobs that were.
    pub(super) fn resume(&mut self, held: &[(Job, u64)], registry: &Registry) -> Vec<Job> {
        for (job, reports) in held {
            self.handle_taken(*job, *reports, registry);
        }
        let is_held = |job: &Job| held.iter().any(|(other, _)| other == job);
        let here = self.streams.keys().chain(self.wardens.keys()).copied();
        let unknown: BTreeSet<Job> = here.filter(|job| !is_held(job)).collect();
        for job in &unknown {
            self.forget(*job, registry);
        }
        for (job, stream) in &mut self.streams {
            stream.reports.rewind();
            self.talkative.insert(*job);
        }
        unknown.into_iter().collect()
    }

    /// The session is over, and with it what was relayed.
    pub(super) fn part(&mut self, registry: &Registry) {
        self.relayed.clear();
        for job in self.wardens.keys().copied().collect::<Vec<_>>() {
            self.order(job, JobOrder::Parted, None, registry);
        }
    }

    /// What keeps them apart from each other and from the daemon, in words.
    pub(super) fn isolation(&self) -> String {
        self.estate.isolation()
    }

    /// What lets others take programs from here is drawn from it.
    pub(super) fn secret(&self) -> &Secret {
        self.giver.secret()
    }

    /// Has a warden for this job, once its program and files are here; what is not is fetched from that master.
    pub(super) fn open(
        &mut self,
        job: Job,
        (image, files): (Digest, Option<Digest>),
        (connector, master): (&Connector, SocketAddr),
        registry: &Registry,
    ) {
        let token = self.new_token(job);
        let mut warden = Warden {
            fetch: None,
            link: None,
            image,
            files,
            shares: Shares::default(),
            early: VecDeque::new(),
        };
        let wanted = [image].into_iter().chain(files);
        let missing: Vec<Digest> = wanted.filter(|digest| !self.images.has(digest)).collect();
        if !missing.is_empty() {
            let road = Road {
                connector: connector.clone(),
                master,
                images: self.images.clone(),
                transits: self.transits.clone(),
            };
            match Fetch::begin(road, missing, registry, token) {
                Ok(fetch) => warden.fetch = Some(fetch),
                Err(error) => return self.fail(job, &error.to_string(), registry),
            }
        }
        let is_here = warden.fetch.is_none();
        self.wardens.insert(job, warden);
        if is_here {
            self.start(job, registry);
        }
    }

    /// Starts the warden of a job whose program is here, and gives it what has waited.
    fn start(&mut self, job: Job, registry: &Registry) {
        let token = self.new_token(job);
        let Some(warden) = self.wardens.get_mut(&job) else {
            return;
        };
        let made = self.estate.make(job);
        let started = made
            .map_err(|error| format!("there is no place for the job on this node: {error}"))
            .and_then(|dwelling| {
                let program = match dwelling.program() {
                    Some(name) => self.images.find_as(&warden.image, &name),
                    None => self.images.find(&warden.image),
                };
                let files = warden.files.as_ref();
                let files = files.map(|files| kept(self.images.find(files)));
                let (program, files) = (kept(program)?, files.transpose()?);
                WardenLink::start(program, files, dwelling, registry, token)
            });
        match started {
            Err(why) => self.fail(job, &why, registry),
            Ok(link) => {
                warden.link = Some(link);
                for (order, file) in std::mem::take(&mut warden.early) {
                    self.order(job, order, file, registry);
                }
            }
        }
    }

    /// Passes an order on.
    pub(super) fn order(
        &mut self,
        job: Job,
        order: JobOrder,
        file: Option<Vec<u8>>,
        registry: &Registry,
    ) {
        let Some(warden) = self.wardens.get_mut(&job) else {
            return; // It has closed, and the master will hear of that.
        };
        let Some(link) = &mut warden.link else {
            return warden.early.push_back((order, file));
        };
        warden.shares.handle_order(&order);
        self.changed.insert(job);
        if let Err(why) = link.order(order, file, None) {
            self.fail(job, &why, registry);
        }
    }

    /// The warden of some job, or whatever fetches its program, has something.
    pub(super) fn handle_ready(&mut self, token: Token, registry: &Registry) {
        if let Some(job) = self.jobs.get(&token).copied() {
            self.hear(job, registry);
        }
    }

    fn hear(&mut self, job: Job, registry: &Registry) {
        let Some(warden) = self.wardens.get_mut(&job) else {
            return;
        };
        if let Some(fetch) = warden.fetch.take() {
            let (digests, ended) = fetch.finish();
            let is_here = ended.is_ok();
            let known = digests.into_iter().map(|digest| (digest, is_here));
            self.fetched.extend(known);
            match ended {
                Ok(()) => self.start(job, registry),
                Err(why) => self.fail(job, &why, registry),
            }
            return;
        }
        loop {
            let Some(warden) = self.wardens.get_mut(&job) else {
                return;
            };
            let Some(link) = &mut warden.link else {
                return;
            };
            match link.hear() {
                Ok(None) => return,
                Ok(Some((report, file))) => {
                    warden.shares.handle_report(&report);
                    self.changed.insert(job);
                    let is_last = matches!(report, JobReport::Closed | JobReport::Failed { .. });
                    let is_full = self.tell(job, report, file);
                    if is_last {
                        return self.end(job, registry);
                    }
                    if is_full {
                        return;
                    }
                }
                Err(why) => return self.fail(job, &why, registry),
            }
        }
    }

    /// A job cannot run here, or not any more.
    fn fail(&mut self, job: Job, why: &str, registry: &Registry) {
        self.end(job, registry);
        let why = why.to_string();
        self.tell(job, JobReport::Failed { why }, None);
    }

    /// The master knows nothing more of a job: nothing of it is left here either.
    pub(super) fn forget(&mut self, job: Job, registry: &Registry) {
        self.end(job, registry);
        self.streams.remove(&job);
        self.talkative.remove(&job);
    }

    /// What is left of a job here is killed.
    fn end(&mut self, job: Job, registry: &Registry) {
        if let Some(warden) = self.wardens.remove(&job)
            && let Some(link) = warden.link
        {
            link.end(registry);
        }
        self.jobs.retain(|_, other| *other != job);
    }

    /// Gives each job the share of the processors that its processes have together.
    pub(super) fn share_out(&mut self) {
        for job in std::mem::take(&mut self.changed) {
            if let Some(warden) = self.wardens.get_mut(&job)
                && let Some(link) = &warden.link
                && let Some(sum) = warden.shares.poll_sum()
            {
                link.share(sum);
            }
        }
    }

    /// Hands a connection over to a job's warden, with what its dialer said first. If there is none, it may be for a program
    /// that is here; otherwise it is closed.
    pub(super) fn accept(&mut self, job: Job, hello: Vec<u8>, stream: OwnedFd) {
        let Some(warden) = self.wardens.get_mut(&job) else {
            return self.giver.give(stream, hello);
        };
        if let Some(link) = &mut warden.link {
            // Whoever dialed sees it closed if it cannot be passed on.
            let _ = link.order(JobOrder::Accept { hello }, None, Some(stream));
        }
    }

    /// Kills all of them, and says which they were. Nothing is reported of them any more. None lives on while another is
    /// waited for: their time is over.
    pub(super) fn end_all(&mut self, registry: &Registry) -> Vec<Job> {
        let mut wardens = std::mem::take(&mut self.wardens);
        let jobs = wardens.keys().copied().collect();
        for link in wardens.values_mut().flat_map(|warden| &mut warden.link) {
            link.kill();
        }
        for link in wardens.into_values().filter_map(|warden| warden.link) {
            link.end(registry);
        }
        self.jobs.clear();
        self.streams.clear();
        self.relayed.clear();
        self.talkative.clear();
        jobs
    }

    fn new_token(&mut self, job: Job) -> Token {
        self.tokens_made += 1;
        let token = Token(TOKENS + self.tokens_made);
        self.jobs.insert(token, job);
        token
    }
}

/// Open, and so kept as long as the warden has it.
fn kept(found: Result<Option<File>, ImageError>) -> Result<File, String> {
    found?.ok_or_else(|| "the program or its files have gone from this node's disk".to_string())
}

impl From<ImageError> for String {
    fn from(error: ImageError) -> String {
        error.to_string()
    }
}
