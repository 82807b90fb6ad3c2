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

mod shelf;

use super::{
    cluster::{About, ClientId, named},
    journal,
    lives::Lives,
    record::{Cursor, Found, Limits, Record},
    scribe::{Batch, Done, Outcome, Work},
};
use deploy_trust::framing::Message;
use deploy_wire::{
    client::{Answer, CREDIT_BYTES_FIRST, JobView, LifeView, Position},
    code::OwnCode,
    event::{Event, Stream},
    packed::Packed,
    pid,
    wait::Waits,
};
pub use shelf::{Retold, Unfinished};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
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

#[derive(Debug)]
struct Reader {
    job: pid::Job,
    cursor: Cursor,
    part: Part,
    /// How much more output it may be sent.
    credit: i64,
    /// What it was sent of what was written down before it came, and has not granted anew: no warden waits for that.
    old: u64,
    /// What was before it came.
    old_until: u64,
    is_live: bool,
}

/// What somebody reads a record for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// It has the job.
    Owner,
    /// It looks on.
    Follower,
    /// It wants to know what there was.
    Reader,
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
        }
    }

    /// A job is to begin, when that is written down.
    pub fn begin(&mut self, job: pid::Job, about: &About, now: Instant) {
        let dir = self.dir.join(job.to_string());
        let mut file = File::new(about, now, Record::new(dir.clone()));
        file.batch = self.batches + 1;
        self.work.push(Work::Begin {
            job,
            dir,
            limits: LIMITS,
            label: file.label(),
            first: journal::first(about),
        });
        self.files.insert(job, file);
    }

    /// A job is told this, and must be known to have been.
    pub fn keep(&mut self, job: pid::Job, entry: &[u8]) {
        if let Some(file) = self.files.get_mut(&job) {
            let before = file.told.len();
            journal::add(&mut file.told, entry);
            file.journal_bytes += (file.told.len() - before) as u64;
            let many = file.condensed_bytes.saturating_mul(TIMES_LONGER);
            if file.journal_bytes > many.max(LONG_BYTES) {
                self.long.insert(job);
            }
            file.batch = self.batches + 1;
            self.unwritten.insert(job);
        }
    }

    /// A job did not begin after all.
    pub fn discard(&mut self, job: pid::Job) {
        self.unwritten.remove(&job);
        self.long.remove(&job);
        if let Some(file) = self.files.remove(&job) {
            let dir = file.record.dir().to_owned();
            self.work.push(Work::Discard(job, dir));
        }
    }

    /// Jobs whose journals are so long that they had better be [made shorter](Desk::condense).
    pub fn long_journals(&self) -> impl Iterator<Item = pid::Job> + use<> {
        self.long.clone().into_iter()
    }

    /// What a job has become now, after all that it was told, takes the place of that.
    pub fn condense(&mut self, job: pid::Job, state: &[u8]) {
        self.long.remove(&job);
        if let Some(file) = self.files.get_mut(&job) {
            let condensed = file.condensed(state);
            file.condensed_bytes = condensed.len() as u64;
            file.journal_bytes = file.condensed_bytes;
            file.condensed = Some(condensed);
            file.batch = self.batches + 1;
            self.unwritten.insert(job);
        }
    }

    /// Has this written with the next batch, before what jobs have.
    pub fn write(&mut self, work: Work) {
        self.work.push(work);
    }

    /// All that is to be written since the last time.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        let mut work = std::mem::take(&mut self.work);
        for job in std::mem::take(&mut self.unwritten) {
            if let Some(file) = self.files.get_mut(&job) {
                let told = std::mem::take(&mut file.told);
                work.push(Work::Write(job, file.record.poll_piece(), told));
                let condensed = file.condensed.take();
                work.extend(condensed.map(|state| Work::Condense(job, state)));
                if file.over.is_some() {
                    work.push(Work::Finish(job, file.label()));
                }
            }
        }
        if work.is_empty() {
            return None;
        }
        self.batches += 1;
        let number = self.batches;
        Some(Batch { number, work })
    }

    /// The batch with the latest that is to be written of a job.
    pub fn batch_of(&self, job: pid::Job) -> u64 {
        self.files.get(&job).map_or(0, |file| file.batch)
    }

    /// The batch with the latest that is to be written at all.
    pub fn latest_batch(&self) -> u64 {
        let is_empty = self.work.is_empty() && self.unwritten.is_empty();
        self.batches + u64::from(!is_empty)
    }

    /// Something was written. Returns which jobs may begin, or why not, and what is to be told to whoever looks after the
    /// master.
    pub fn handle_done(&mut self, done: Done) -> (Vec<(pid::Job, io::Result<()>)>, Vec<String>) {
        let (mut begun, mut notes) = (Vec::new(), Vec::new());
        for (job, outcome) in done.outcomes {
            match outcome {
                Outcome::Begun(outcome) => begun.push((job, outcome)),
                Outcome::Untold(error) => {
                    let text = format!("the job ends if the master is started again: {error}");
                    notes.extend(self.note(job, text));
                }
                Outcome::Written(mut written) => {
                    let error = written.error.take();
                    if let Some(file) = self.files.get_mut(&job) {
                        file.record.handle_written(written);
                        self.behind.extend(std::mem::take(&mut file.awaiting));
                    }
                    notes.extend(error.and_then(|error| {
                        let text = format!(
                            "the disk of the master takes nothing ({error}): what is printed is shown to who watches, and not kept"
                        );
                        self.note(job, text)
                    }));
                }
            }
        }
        (begun, notes)
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

    /// A client is to be told what happens in a job, which is there, from this position on.
    pub fn attach(&mut self, client: ClientId, job: pid::Job, from: Position, part: Part) {
        self.forget(client);
        let Some(file) = self.files.get_mut(&job) else {
            return;
        };
        file.readers.insert(client);
        let end = file.record.next();
        // Nothing lies behind the end.
        let next = match from.sequence > end.sequence {
            true => end,
            false => from,
        };
        let reader = Reader {
            job,
            cursor: Cursor::at(next),
            part,
            credit: CREDIT_BYTES_FIRST as i64,
            old: 0,
            old_until: end.sequence,
            is_live: false,
        };
        self.readers.insert(client, reader);
        self.behind.insert(client);
    }

    /// A client is gone, or reads nothing more.
    pub fn forget(&mut self, client: ClientId) {
        if let Some(reader) = self.readers.remove(&client)
            && let Some(file) = self.files.get_mut(&reader.job)
        {
            file.readers.remove(&client);
            file.awaiting.remove(&client);
        }
        self.behind.remove(&client);
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

    /// A client has written so many bytes more. Returns how many of them the job's writers wait for.
    pub fn handle_credit(&mut self, client: ClientId, bytes: u64) -> u64 {
        let Some(reader) = self.readers.get_mut(&client) else {
            return 0;
        };
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        reader.credit = reader.credit.saturating_add(more);
        if !reader.is_live {
            self.behind.insert(client);
        }
        let old = bytes.min(reader.old);
        reader.old -= old;
        match reader.part {
            Part::Owner => bytes - old,
            Part::Follower | Part::Reader => 0,
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

    /// Sends on whoever is behind, as far as `has_room` says that its session takes anything. Returns what is to be told to
    /// whoever looks after the master.
    pub fn turn(&mut self, has_room: impl Fn(ClientId) -> bool) -> Vec<String> {
        let mut notes = Vec::new();
        for client in std::mem::take(&mut self.behind) {
            match has_room(client) {
                true => notes.extend(self.send_on(client)),
                false => drop(self.behind.insert(client)),
            }
        }
        notes
    }

    /// Whether there is more to do at once, for somebody whose session has room.
    pub fn is_busy(&self, has_room: impl Fn(ClientId) -> bool) -> bool {
        let mut behind = self.behind.iter();
        behind.any(|client| has_room(*client))
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

    /// Sends somebody who is behind the next piece of what was kept.
    fn send_on(&mut self, client: ClientId) -> Option<String> {
        let reader = self.readers.get_mut(&client)?;
        let file = self.files.get(&reader.job)?;
        let before = reader.cursor.next;
        if reader.credit <= 0 && before.sequence < file.record.next().sequence {
            return None; // Until it grants some.
        }
        // What was packed may stand for far more than it has.
        let output_max = reader.credit.max(0) as u64;
        match file
            .record
            .read(&mut reader.cursor, PIECE_BYTES, output_max)
        {
            Ok(Found::Events(events)) => {
                for (sequence, kept) in (before.sequence..).zip(events) {
                    reader.credit -= i64::from(kept.output);
                    if sequence < reader.old_until {
                        reader.old += u64::from(kept.output);
                    }
                    let message = kept.message.into();
                    self.messages.push_back((client, reader.job, message));
                }
                self.behind.insert(client);
                None
            }
            Ok(Found::Gap(at)) => {
                self.tell_missed(client, before, at);
                None
            }
            Ok(Found::End) => {
                self.handle_end(client);
                None
            }
            Err(error) => {
                let job = reader.job;
                let end = file.record.next();
                reader.cursor = Cursor::at(end);
                self.tell_missed(client, before, end);
                Some(format!("the record of job {job} cannot be read: {error}"))
            }
        }
    }

    /// Between these two nothing was kept but who lived and who failed.
    fn tell_missed(&mut self, client: ClientId, before: Position, at: Position) {
        let Some(file) = self
            .readers
            .get(&client)
            .and_then(|reader| self.files.get(&reader.job))
        else {
            return;
        };
        let job = self.readers[&client].job;
        let bytes = at.output.saturating_sub(before.output);
        self.messages
            .push_back((client, job, Answer::Missed { bytes }.encode().into()));
        for (sequence, event) in file.lives.events_between(before.sequence, at.sequence) {
            let message = Answer::Event { event, sequence }.encode();
            self.messages.push_back((client, job, message.into()));
        }
        self.behind.insert(client);
    }

    /// Somebody has read all that there is.
    fn handle_end(&mut self, client: ClientId) {
        let Some(reader) = self.readers.get_mut(&client) else {
            return;
        };
        let job = reader.job;
        let Some(file) = self.files.get_mut(&job) else {
            return;
        };
        if !file.record.is_written() {
            file.awaiting.insert(client);
            return;
        }
        let last = match (&file.over, reader.part) {
            (Some(over), _) => over.message(),
            (None, Part::Reader) => Answer::Done,
            (None, Part::Owner | Part::Follower) => return reader.is_live = true,
        };
        self.messages.push_back((client, job, last.encode().into()));
        self.forget(client);
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
/// A journal that is longer is made shorter, if it has become so many times as long as when it last was: so the work grows no
/// faster than the journal. In debug builds so short that the tests of whole clusters see it happen.
const LONG_BYTES: u64 = if cfg!(debug_assertions) {
    16 << 10
} else {
    64 << 20
};
const TIMES_LONGER: u64 = 3;
/// What is read at a time for somebody who is behind.
const PIECE_BYTES: usize = 256 << 10;
