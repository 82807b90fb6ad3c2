//! The jobs that have processes on a node: each has a warden, once its program is here. What they report is collected.
//!
//! Deliberately absent: the session with the master, and any look at what orders and reports say.

use super::{Estate, fetch::Fetch, warden_link::WardenLink};
use crate::images::{ImageError, Images};
use deploy_trust::{door::TOKENS, endpoint::Connector};
use deploy_wire::{
    client::Digest,
    job::{JobOrder, JobReport},
    node::Report,
    pid::Job,
};
use mio::{Registry, Token};
use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    net::SocketAddr,
    os::fd::OwnedFd,
};

/// Jobs, and where they live.
#[derive(Debug)]
pub struct Tenants {
    images: Images,
    estate: Estate,
    wardens: BTreeMap<Job, Warden>,
    tokens_made: usize,
    /// The jobs by their warden's or fetch's token.
    jobs: BTreeMap<Token, Job>,
    /// What the master is to hear.
    reports: VecDeque<Report>,
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
    /// Orders that wait for it to start.
    early: VecDeque<(JobOrder, Option<Vec<u8>>)>,
}

impl Tenants {
    /// None yet, whose programs are kept and who live there.
    pub fn new(images: Images, estate: Estate) -> Tenants {
        Tenants {
            images,
            estate,
            wardens: BTreeMap::new(),
            tokens_made: 0,
            jobs: BTreeMap::new(),
            reports: VecDeque::new(),
        }
    }

    /// What keeps them apart from each other and from the daemon, in words.
    pub(super) fn isolation(&self) -> String {
        self.estate.isolation()
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
            early: VecDeque::new(),
        };
        let wanted = [image].into_iter().chain(files);
        let missing: Vec<Digest> = wanted.filter(|digest| !self.images.has(digest)).collect();
        if !missing.is_empty() {
            let fetch = Fetch::begin(connector, master, &self.images, missing, registry, token);
            match fetch {
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
                let kept = |digest| kept(&self.images, digest);
                let program = kept(&warden.image)?;
                let files = warden.files.as_ref().map(kept).transpose()?;
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
            match fetch.finish() {
                Ok(()) => self.start(job, registry),
                Err(why) => self.fail(job, &why, registry),
            }
            return;
        }
        loop {
            let Some(link) = self
                .wardens
                .get_mut(&job)
                .and_then(|warden| warden.link.as_mut())
            else {
                return;
            };
            match link.hear() {
                Ok(None) => return,
                Ok(Some((report, file))) => {
                    let is_last = matches!(report, JobReport::Closed | JobReport::Failed { .. });
                    self.reports.push_back(Report::Job { job, report, file });
                    if is_last {
                        return self.forget(job, registry);
                    }
                }
                Err(why) => return self.fail(job, &why, registry),
            }
        }
    }

    /// A job cannot run here, or not any more.
    fn fail(&mut self, job: Job, why: &str, registry: &Registry) {
        self.forget(job, registry);
        let report = JobReport::Failed {
            why: why.to_string(),
        };
        self.reports.push_back(Report::Job {
            job,
            report,
            file: None,
        });
    }

    /// What is left of a job here is killed.
    fn forget(&mut self, job: Job, registry: &Registry) {
        if let Some(warden) = self.wardens.remove(&job)
            && let Some(link) = warden.link
        {
            link.end(registry);
        }
        self.jobs.retain(|_, other| *other != job);
    }

    /// Hands a connection over to a job's warden, with what its dialer said first; closes it if there is none.
    pub(super) fn accept(&mut self, job: Job, hello: Vec<u8>, stream: OwnedFd) {
        let warden = self.wardens.get_mut(&job);
        if let Some(link) = warden.and_then(|warden| warden.link.as_mut()) {
            // Whoever dialed sees it closed if it cannot be passed on.
            let _ = link.order(JobOrder::Accept { hello }, None, Some(stream));
        }
    }

    /// The next thing for the master.
    pub(super) fn poll_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Kills all of them, and says which they were. Nothing is reported of them any more.
    pub(super) fn end_all(&mut self, registry: &Registry) -> Vec<Job> {
        let jobs: Vec<Job> = self.wardens.keys().copied().collect();
        for job in &jobs {
            self.forget(*job, registry);
        }
        self.reports.clear();
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
fn kept(images: &Images, digest: &Digest) -> Result<File, String> {
    let found = images.find(digest)?;
    found.ok_or_else(|| "the program or its files have gone from this node's disk".to_string())
}

impl From<ImageError> for String {
    fn from(error: ImageError) -> String {
        error.to_string()
    }
}
