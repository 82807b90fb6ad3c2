//! A thread that writes down what the master keeps of jobs, so that a disk that is slow, or stands still, holds up nobody who
//! does not wait for it.
//!
//! Deliberately absent: who waits (`gate.rs`), and what is written.
//!
//! # The story
//! 1. In each of its turns the loop gathers a numbered batch of what is to be written, and hands it over.
//! 2. The scribe takes all batches that have come meanwhile, and makes one write of what they have for one file.
//! 3. It says up to which batch all is written. What follows of that batch may then leave the master.
//!
//! What waits here is bounded by what it is waited with: writers of output are granted more only when what they wrote was
//! written, and nodes keep what they reported until then and so much at most.

use super::{
    journal::Journal,
    nodes_file::NodesFile,
    record::{self, Limits, Pen, Piece, Written},
};
use crate::audit::Audit;
use deploy_sys::tell;
use deploy_wire::pid::Job;
use mio::Waker;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// The thread, as the loop sees it.
#[derive(Debug)]
pub struct Scribe {
    batches: Option<Sender<Batch>>,
    done: Receiver<Done>,
}

/// What is to be written in one turn of the loop.
#[derive(Debug)]
pub struct Batch {
    /// One more than the one before.
    pub number: u64,
    /// In order.
    pub work: Vec<Work>,
}

/// Something to write.
#[derive(Debug)]
pub enum Work {
    /// Which nodes there are.
    Nodes(Vec<u8>),
    /// A line of the audit log.
    Audit(String),
    /// A job begins in this directory, with this label and the first of its journal.
    Begin {
        /// Which.
        job: Job,
        /// Which is made.
        dir: PathBuf,
        /// How much of its output is kept.
        limits: Limits,
        /// What can be said of it without a journal.
        label: Vec<u8>,
        /// What it is.
        first: Vec<u8>,
    },
    /// A job goes on that was begun by an earlier master.
    GoOn(Job, Pen, Journal),
    /// This has happened in a job, and it was told this.
    Write(Job, Option<Piece>, Vec<u8>),
    /// A job has become this, which takes the place of all that it was told.
    Condense(Job, Vec<u8>),
    /// A job is over, and this its last label.
    Finish(Job, Vec<u8>),
    /// A job is forgotten, with its directory.
    Discard(Job, PathBuf),
}

/// What has been done.
#[derive(Debug)]
pub struct Done {
    /// All batches up to this one.
    pub number: u64,
    /// What came of it for jobs.
    pub outcomes: Vec<(Job, Outcome)>,
}

/// What came of one piece of work.
#[derive(Debug)]
pub enum Outcome {
    /// The job may begin, or the disk does not take it.
    Begun(io::Result<()>),
    /// What happened is kept as far as this says.
    Written(Written),
    /// What it is told is not kept any more, for this reason.
    Untold(io::Error),
}

impl Scribe {
    /// One that writes into these, and wakes the loop when it has.
    ///
    /// # Errors
    /// If the kernel starts no thread.
    pub fn hire(nodes: NodesFile, audit: Audit, waker: Arc<Waker>) -> io::Result<Scribe> {
        let (batches, taken) = mpsc::channel::<Batch>();
        let (teller, done) = mpsc::channel();
        let mut desk = Desk {
            nodes,
            audit,
            jobs: BTreeMap::new(),
            outcomes: Vec::new(),
        };
        let work = move || {
            while let Ok(first) = taken.recv() {
                let done = desk.write([first].into_iter().chain(taken.try_iter()));
                // Both fail only where the loop has ended.
                if teller.send(done).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("scribe".to_string())
            .spawn(work)?;
        Ok(Scribe {
            batches: Some(batches),
            done,
        })
    }

    /// Has a batch written.
    pub fn give(&self, batch: Batch) {
        if let Some(batches) = &self.batches {
            batches.send(batch).expect("the scribe ends after the loop");
        }
    }

    /// What has been done since the last time.
    pub fn poll_done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

/// Waits until all is written, but not for ever for a disk that stands still.
impl Drop for Scribe {
    fn drop(&mut self) {
        self.batches = None;
        let deadline = Instant::now() + LAST_MAX;
        let left = || deadline.saturating_duration_since(Instant::now());
        while self.done.recv_timeout(left()).is_ok() {}
    }
}

/// What the scribe has before it.
struct Desk {
    nodes: NodesFile,
    audit: Audit,
    jobs: BTreeMap<Job, File>,
    outcomes: Vec<(Job, Outcome)>,
}

/// A job's files, and what was gathered for them.
struct File {
    pen: Pen,
    journal: Option<Journal>,
    piece: Option<Piece>,
    told: Vec<u8>,
}

impl Desk {
    fn write(&mut self, batches: impl Iterator<Item = Batch>) -> Done {
        let mut number = 0;
        for batch in batches {
            number = batch.number;
            for work in batch.work {
                self.take(work);
            }
        }
        for (job, file) in &mut self.jobs {
            file.flush(*job, &mut self.outcomes);
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        Done { number, outcomes }
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Nodes(nodes) => {
                if let Err(error) = self.nodes.write(&nodes) {
                    tell!("which nodes there are could not be written down: {error}");
                }
            }
            Work::Audit(line) => self.audit.add(&line),
            Work::Begin {
                job,
                dir,
                limits,
                label,
                first,
            } => {
                let begun = File::begin(&dir, limits, &label, &first);
                let begun = begun.map(|file| drop(self.jobs.insert(job, file)));
                if begun.is_err() {
                    record::remove(&dir);
                }
                self.outcomes.push((job, Outcome::Begun(begun)));
            }
            Work::GoOn(job, pen, journal) => {
                self.jobs.insert(job, File::new(pen, journal));
            }
            Work::Write(job, piece, told) => {
                if let Some(file) = self.jobs.get_mut(&job) {
                    file.gather(piece, told);
                }
            }
            Work::Condense(job, state) => {
                if let Some(file) = self.jobs.get_mut(&job) {
                    file.flush(job, &mut self.outcomes);
                    file.condense(job, &state);
                }
            }
            Work::Finish(job, label) => {
                if let Some(file) = self.jobs.get_mut(&job) {
                    file.flush(job, &mut self.outcomes);
                    file.pen.seal();
                    // Where it cannot be written, it says that the job is lost.
                    let _ = write_label(file.pen.dir(), &label);
                    file.drop_journal();
                }
            }
            Work::Discard(job, dir) => {
                self.jobs.remove(&job);
                record::remove(&dir);
            }
        }
    }
}

impl File {
    fn new(pen: Pen, journal: Journal) -> File {
        File {
            pen,
            journal: Some(journal),
            piece: None,
            told: Vec::new(),
        }
    }

    fn begin(dir: &Path, limits: Limits, label: &[u8], first: &[u8]) -> io::Result<File> {
        let pen = Pen::create(dir.to_owned(), limits)?;
        write_label(dir, label)?;
        Ok(File::new(pen, Journal::begin(dir, first)?))
    }

    fn gather(&mut self, piece: Option<Piece>, mut told: Vec<u8>) {
        match (&mut self.piece, piece) {
            (Some(earlier), Some(piece)) => earlier.append(piece),
            (earlier, piece) => *earlier = earlier.take().or(piece),
        }
        self.told.append(&mut told);
    }

    /// Writes what was gathered: what happened before what it was told, since a master that is started again has that told
    /// once more which it does not know to have been.
    fn flush(&mut self, job: Job, outcomes: &mut Vec<(Job, Outcome)>) {
        if let Some(piece) = self.piece.take() {
            let written = self.pen.write(&piece);
            if written.error.is_some() {
                self.drop_journal(); // What is not kept could not be told again either.
            }
            outcomes.push((job, Outcome::Written(written)));
        }
        let told = std::mem::take(&mut self.told);
        let kept = self
            .journal
            .as_mut()
            .map_or(Ok(()), |journal| journal.write(&told));
        if let Err(error) = kept {
            self.drop_journal();
            outcomes.push((job, Outcome::Untold(error)));
        }
    }

    fn condense(&mut self, job: Job, state: &[u8]) {
        let journal = self.journal.as_mut();
        let condensed = journal.map_or(Ok(()), |journal| journal.condense(state));
        if let Err(error) = condensed {
            tell!("the journal of job {job} could not be made shorter: {error}");
        }
    }

    /// A master that is started again does not know the job.
    fn drop_journal(&mut self) {
        if let Some(journal) = self.journal.take() {
            journal.remove();
        }
    }
}

/// Replaces what can be said of a job without its journal.
fn write_label(dir: &Path, label: &[u8]) -> io::Result<()> {
    fs::write(dir.join(LABEL_NEXT), label)?;
    fs::rename(dir.join(LABEL_NEXT), dir.join(LABEL))
}

/// In a job's directory.
pub const LABEL: &str = "label";
const LABEL_NEXT: &str = "label.next";
/// How long a master that ends waits for its last words to be written.
const LAST_MAX: Duration = Duration::from_secs(5);
