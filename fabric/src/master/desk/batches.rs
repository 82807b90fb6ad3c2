//! What is to be written of all jobs, batch by batch, and what has come of it.
//!
//! Deliberately absent: the thread that writes (`scribe.rs`).

use super::{About, Desk, File, LIMITS};
use crate::master::{
    journal,
    record::Record,
    scribe::{Batch, Done, Outcome, Work},
};
use deploy_wire::pid;
use std::{io, time::Instant};

impl Desk {
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
}

/// A journal that is longer is made shorter, if it has become so many times as long as when it last was: so the work grows no
/// faster than the journal. In debug builds so short that the tests of whole clusters see it happen.
const LONG_BYTES: u64 = if cfg!(debug_assertions) {
    16 << 10
} else {
    64 << 20
};

const TIMES_LONGER: u64 = 3;
