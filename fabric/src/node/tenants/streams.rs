//! What comes and goes between the master and each job here: orders that have come, and reports that are kept until the master
//! has them for good.
//!
//! Deliberately absent: the session that carries them, and wardens.

use super::Tenants;
use crate::numbered::{Arrival, Inbox, Outbox};
use deploy_wire::{
    job::JobReport,
    node::{Held, Report},
    pid::Job,
};
use mio::Registry;

/// What comes and goes for one job.
#[derive(Default, Debug)]
pub(super) struct Stream {
    pub(super) orders: Inbox,
    pub(super) reports: Outbox<Told>,
    /// How many bytes are kept in them.
    pub(super) bytes: usize,
    /// Its warden was not listened to, because too much is kept.
    pub(super) is_choked: bool,
}

/// A report, and the file beside it.
type Told = (JobReport, Option<Vec<u8>>);

impl Tenants {
    /// What is here, for a master that may have been started again.
    pub(in crate::node) fn held(&self) -> Vec<Held> {
        let held = |(job, stream): (&Job, &Stream)| Held {
            job: *job,
            orders: stream.orders.taken(),
            reports: stream.reports.taken(),
        };
        self.streams.iter().map(held).collect()
    }

    /// An order of this number has come. False, if one before it has not.
    pub(in crate::node) fn is_next(&mut self, job: Job, sequence: u64) -> Option<bool> {
        let stream = self.streams.entry(job).or_default();
        match stream.orders.handle(sequence) {
            Arrival::Next => Some(true),
            Arrival::Again => Some(false),
            Arrival::Gap => None,
        }
    }

    /// The master has so many of a job's reports for good.
    pub(in crate::node) fn handle_taken(&mut self, job: Job, reports: u64, registry: &Registry) {
        let Some(stream) = self.streams.get_mut(&job) else {
            return;
        };
        stream.handle_taken(reports);
        if stream.is_choked && !stream.is_full() {
            stream.is_choked = false;
            self.hear(job, registry);
        }
    }

    /// What the master is to know to have come: where many orders have, or any, if it `is_due`.
    pub(in crate::node) fn poll_taken(&mut self, is_due: bool) -> Vec<Report> {
        let at_least = if is_due { 1 } else { TAKEN_UNTOLD_MAX };
        let streams = self.streams.iter_mut();
        let taken = streams.filter_map(|(job, stream)| {
            let orders = stream.orders.poll_taken(at_least)?;
            Some(Report::Taken { job: *job, orders })
        });
        taken.collect()
    }

    /// The master is to hear this. True if a warden has to wait until it has.
    pub(super) fn tell(&mut self, job: Job, report: JobReport, file: Option<Vec<u8>>) -> bool {
        if let JobReport::Relayed { .. } = report {
            self.relayed.push_back((job, report));
            return false;
        }
        let stream = self.streams.entry(job).or_default();
        stream.bytes += weight(&report, &file);
        stream.reports.push((report, file));
        stream.is_choked = stream.is_full();
        self.talkative.insert(job);
        stream.is_choked
    }

    /// The next thing for the master, in bytes, and whether it may wait for all else.
    pub(in crate::node) fn poll_report(&mut self) -> Option<(Vec<u8>, bool)> {
        if let Some((digest, is_here)) = self.fetched.pop_front() {
            return Some((Report::Holds { digest, is_here }.encode(), false));
        }
        if let Some((job, report)) = self.relayed.pop_front() {
            let bytes = Report::encode_job(job, 0, &report, &None);
            return Some((bytes, report.is_bulk()));
        }
        while let Some(job) = self.talkative.first().copied() {
            let stream = self.streams.get_mut(&job);
            let next = stream.and_then(|stream| stream.reports.poll());
            let Some((sequence, (report, file))) = next else {
                self.talkative.remove(&job);
                continue;
            };
            let bytes = Report::encode_job(job, sequence, report, file);
            return Some((bytes, report.is_bulk()));
        }
        None
    }
}

impl Stream {
    fn handle_taken(&mut self, reports: u64) {
        while self.reports.taken() < reports {
            let Some((report, file)) = self.reports.drop_first() else {
                return; // It has not said so many.
            };
            self.bytes -= weight(&report, &file);
        }
    }

    fn is_full(&self) -> bool {
        self.reports.kept() >= KEPT_MAX || self.bytes >= KEPT_BYTES_MAX
    }
}

fn weight(report: &JobReport, file: &Option<Vec<u8>>) -> usize {
    let output = match report {
        JobReport::Output { bytes, .. } => bytes.len(),
        JobReport::Packed { packed, .. } => packed.bytes().len(),
        _ => 0,
    };
    output + file.as_ref().map_or(0, Vec::len)
}

/// What of one job's reports is kept for a master that is away. Then its warden is not listened to: it waits, and the
/// processes where they want something from it.
const KEPT_MAX: usize = 4096;

/// Twice the longest argument, and more output than is granted at a time.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// Orders that the master keeps although they have come; and with each beat it is told of all.
const TAKEN_UNTOLD_MAX: u64 = 64;
