//! Who is told what has happened in which job, and from where on: the records of all jobs, and those who read them.
//!
//! Deliberately absent: sessions, what becomes of jobs, and writing. It is told what happens ([`Desk::handle_told`]), and asked what
//! is to be written ([`Desk::poll_batch`]) and what clients are to be sent ([`Desk::poll_message`]).
//!
//! # The story
//! 1. A job is opened, and each of its events written down with its number.
//!    A live reader is told of them before that; the message leaves when it is written.
//! 2. Who reads from somewhere before the last event is *behind*, and is sent what was kept piece by piece, as there is room
//!    in its session and as it has granted credit. Where the disk has not kept something it is told so.
//! 3. Who has read all is *live*, and is sent each event as it comes. Its own client is sent all, because it is that one's
//!    credit that bounds what comes; whoever only looks on and has granted no more is behind again.
//! 4. When the job is over, so is the reading at its end. The record stays for others, until it is too old or others need the
//!    room.

mod batches;
mod readers;
mod shelf;

use super::{
    cluster::{About, ClientId, named},
    librarian::Errand,
    lives::Lives,
    record::{Cursor, Limits, Record},
    scribe::Work,
};
use deploy_trust::framing::Message;
use deploy_wire::{
    client::{Answer, JobView, LifeView},
    code::OwnCode,
    event::{Event, Stream},
    packed::Packed,
    pid,
    wait::Waits,
};
pub use readers::Part;
use readers::Reader;
pub use shelf::{Label, Retold, Unfinished};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// All records, and all readers.
#[derive(Debug)]
pub struct Desk {
    dir: PathBuf,
    files: BTreeMap<pid::Job, File>,
    readers: BTreeMap<ClientId, Reader>,
    /// Those who may have to be sent something that is on the disk.
    behind: BTreeSet<ClientId>,
    /// There is something to write of these.
    unwritten: BTreeSet<pid::Job>,
    /// Those whose journals have become long.
    long: BTreeSet<pid::Job>,
    /// What else there is to write.
    work: Vec<Work>,
    /// How many batches were handed over.
    batches: u64,
    messages: VecDeque<(ClientId, pid::Job, Message)>,
    /// What is to be read for those who are behind, and how often something was.
    errands: VecDeque<Errand>,
    errands_made: u64,
}

/// A job, as it is remembered.
#[derive(Debug)]
struct File {
    user: String,
    worker: String,
    since: Instant,
    record: Record,
    lives: Lives,
    readers: BTreeSet<ClientId>,
    /// Those of them who have read all that is written, and not all that there is.
    awaiting: BTreeSet<ClientId>,
    over: Option<Over>,
    /// What it was told, and is to be written.
    told: Vec<u8>,
    /// How long its journal is, more or less, and how long it was when it was last made shorter.
    journal_bytes: u64,
    condensed_bytes: u64,
    /// What is to take the place of its journal.
    condensed: Option<Vec<u8>>,
    /// The batch in which the latest of it is written.
    batch: u64,
}

#[derive(Debug)]
struct Over {
    at: Instant,
    /// Our own exit code, and why.
    refusal: Option<(u8, String)>,
}

impl Desk {
    fn new(dir: &Path) -> Desk {
        Desk {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
            readers: BTreeMap::new(),
            behind: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            long: BTreeSet::new(),
            work: Vec::new(),
            batches: 0,
            messages: VecDeque::new(),
            errands: VecDeque::new(),
            errands_made: 0,
        }
    }

    /// The job that a user means by this.
    ///
    /// # Errors
    /// A sentence, if there is none or more than one.
    pub fn find(&self, user: &str, name: &str) -> Result<pid::Job, String> {
        let files = self.files.iter().filter(|(_, file)| file.user == user);
        named(files.map(|(job, _)| *job), name)
    }

    /// The job that a user means by this, if it is over.
    pub fn over(&self, user: &str, name: &str) -> Option<pid::Job> {
        let job = self.find(user, name).ok()?;
        self.files.get(&job)?.over.as_ref().map(|_| job)
    }

    /// Something has happened in a job; `by` says who brought it about.
    pub fn handle_told(&mut self, job: pid::Job, event: Event, by: Option<String>) {
        let Some(file) = self.files.get_mut(&job) else {
            return;
        };
        let output = match &event {
            Event::Output { bytes, .. } => bytes.len() as u32,
            _ => 0,
        };
        let sequence = file.record.next().sequence;
        file.lives.handle_event(sequence, &event, by);
        let message = Answer::Event { event, sequence }.encode();
        self.add(job, message.into(), output);
    }

    /// A process of a job has written something, which is not looked at.
    pub fn handle_passed(&mut self, job: pid::Job, pid: pid::Pid, stream: Stream, packed: Packed) {
        let Some(file) = self.files.get(&job) else {
            return;
        };
        let output = packed.stands_for() as u32;
        let sequence = file.record.next().sequence;
        let message = Answer::Packed {
            pid,
            stream,
            packed,
            sequence,
        };
        self.add(job, message.encode().into(), output);
    }

    /// The next event of a job, with so many bytes of output, is told.
    fn add(&mut self, job: pid::Job, message: Message, output: u32) {
        let Some(file) = self.files.get_mut(&job) else {
            return;
        };
        file.record.push(message.clone(), output);
        file.batch = self.batches + 1;
        self.unwritten.insert(job);
        for client in &file.readers {
            let reader = self.readers.get_mut(client).expect("readers are in both");
            if !reader.is_live {
                continue;
            }
            if reader.part == Part::Owner || reader.credit > 0 {
                reader.credit -= i64::from(output);
                reader.cursor = Cursor::at(file.record.next());
                self.messages.push_back((*client, job, message.clone()));
            } else {
                reader.is_live = false;
                self.behind.insert(*client);
            }
        }
    }

    /// A job is over; perhaps because it was refused its first process.
    pub fn handle_over(&mut self, job: pid::Job, refusal: Option<(OwnCode, String)>, now: Instant) {
        if let Some(file) = self.files.get_mut(&job) {
            let refusal = refusal.map(|(code, why)| (code.number() as u8, why));
            file.over = Some(Over { at: now, refusal });
            self.behind.extend(file.readers.iter().copied());
            file.batch = self.batches + 1;
            self.unwritten.insert(job);
            self.long.remove(&job);
        }
    }

    /// How it came to the ends of a job, or of one process of it; and which of those that live wait for whom, as `waits`
    /// say.
    pub fn lives(
        &self,
        job: pid::Job,
        process: Option<&str>,
        waits: &[(pid::Pid, Waits)],
    ) -> Vec<LifeView> {
        let file = self.files.get(&job);
        file.map_or_else(Vec::new, |file| file.lives.views(process, waits))
    }

    /// A user's jobs that are over, the latest to end last.
    pub fn past(&self, user: &str) -> Vec<JobView> {
        let files = self.files.iter().filter(|(_, file)| file.user == user);
        let over = files.filter_map(|(job, file)| Some((file.over.as_ref()?.at, job, file)));
        let mut over: Vec<_> = over.collect();
        over.sort_by_key(|(at, ..)| *at);
        let views = over.into_iter().map(|(at, job, file)| JobView {
            job: *job,
            worker: file.worker.clone(),
            user: file.user.clone(),
            processes: 0,
            seconds: at.saturating_duration_since(file.since).as_secs(),
            state: file.outcome(),
        });
        views.collect()
    }

    /// The next message for a client, and of which job.
    pub fn poll_message(&mut self) -> Option<(ClientId, pid::Job, Message)> {
        self.messages.pop_front()
    }

    /// When [`Desk::tidy`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let over = self.files.values().filter_map(|file| file.over.as_ref());
        over.map(|over| over.at + KEPT_FOR).min()
    }

    /// Forgets jobs that are over and that nobody reads: those that are too old, and the oldest of too many or too long.
    pub fn tidy(&mut self, now: Instant) {
        let past = self
            .files
            .iter()
            .filter(|(_, file)| file.readers.is_empty());
        let past = past.filter_map(|(job, file)| Some((file.over.as_ref()?.at, *job)));
        let mut past: Vec<(Instant, pid::Job)> = past.collect();
        past.sort();
        let bytes = |(_, job): &(Instant, pid::Job)| self.files[job].record.bytes();
        let mut count = past.len();
        let mut all_bytes: u64 = past.iter().map(bytes).sum();
        let mut gone = Vec::new();
        for one in &past {
            let is_old = now.saturating_duration_since(one.0) >= KEPT_FOR;
            if !is_old && count <= KEPT_MAX && all_bytes <= KEPT_BYTES_MAX {
                break;
            }
            count -= 1;
            all_bytes -= bytes(one);
            gone.push(one.1);
        }
        for job in gone {
            self.discard(job);
        }
    }

    /// Who watches is to know this, and who looks after the master.
    fn note(&mut self, job: pid::Job, text: String) -> Option<String> {
        if let Some(pid) = self.files.get(&job)?.lives.initial() {
            let text = text.clone();
            self.handle_told(job, Event::Noted { pid, text }, None);
        }
        Some(format!("job {job}: {text}"))
    }
}

impl File {
    fn new(about: &About, since: Instant, record: Record) -> File {
        File {
            user: about.user.clone(),
            worker: about.request.worker.clone(),
            since,
            record,
            lives: Lives::default(),
            readers: BTreeSet::new(),
            awaiting: BTreeSet::new(),
            over: None,
            told: Vec::new(),
            journal_bytes: 0,
            condensed_bytes: 0,
            condensed: None,
            batch: 0,
        }
    }

    fn outcome(&self) -> String {
        let refusal = self.over.as_ref().and_then(|over| over.refusal.as_ref());
        match (refusal, self.lives.blamed()) {
            (Some(_), _) => "could not begin".to_string(),
            (None, Some((_, status))) => format!("failed: {status}"),
            (None, None) => "ended: 0".to_string(),
        }
    }
}

impl Over {
    fn message(&self) -> Answer {
        match &self.refusal {
            Some((code, why)) => Answer::Refused {
                code: *code,
                why: why.clone(),
            },
            None => Answer::Finished,
        }
    }
}

/// Of each job: more than most print in their life, and little beside a program's files.
const LIMITS: Limits = Limits {
    segment_bytes: 4 << 20,
    record_bytes: 128 << 20,
};
/// A job that is over is remembered so long: over a week-end, and what came after it.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// As many jobs that are over are remembered, and together they take so much of the disk.
const KEPT_MAX: usize = 1000;
const KEPT_BYTES_MAX: u64 = 1 << 30;
