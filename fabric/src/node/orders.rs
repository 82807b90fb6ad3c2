//! What the master orders, and what comes of it.
//!
//! Deliberately absent: how it gets here (`session.rs`), and what wardens do with what is for them.

use super::Node;
use deploy_sys::tell;
use deploy_trust::{endpoint::Connector, identity::Certified, session::SessionError};
use deploy_wire::{
    client::Digest,
    job::JobOrder,
    node::{Order, Report},
    pid::Job,
};
use std::time::{Duration, Instant, SystemTime};

impl Node {
    pub(super) fn handle_order(&mut self, order: Order, now: Instant) -> Result<(), SessionError> {
        let master = self.master.as_mut().expect("it has just spoken");
        match order {
            Order::Welcome { name, held, .. } => {
                master.is_welcome = true;
                self.lease.begin(master.said);
                self.complaint.clear();
                tell!("in the cluster as {name}");
                for job in self.tenants.resume(&held, self.poll.registry()) {
                    tell!("killed the processes of job {job}, which the master does not know");
                }
            }
            Order::Beat { sequence, heard } => {
                self.lease.handle_heard(heard);
                self.lease.handle_answer(sequence, now);
                // Behind what jobs have printed it might come too late on a slow line.
                let answer = Report::Beat { sequence }.encode();
                let _ = master.session.send_ahead(answer); // Where it has no room, another is due in a second.
                for taken in self.tenants.poll_taken(true) {
                    self.report(&taken);
                }
                self.ask_for_renewal(now);
            }
            Order::Taken { job, reports } => {
                self.tenants
                    .handle_taken(job, reports, self.poll.registry());
            }
            Order::Forget { job } => self.tenants.forget(job, self.poll.registry()),
            Order::Renewed { certified } => self.renew(&certified)?,
            Order::Dismissed { why } => self.dismissed = Some(why),
            Order::Refused { why } => return Err(SessionError::Protocol(why)),
            Order::Chunk { .. } | Order::Source { .. } => {
                let why = "the master sends what nobody fetches".to_string();
                return Err(SessionError::Protocol(why));
            }
            Order::Job {
                job,
                sequence,
                order,
                image,
                file,
                files,
            } => {
                let programs = image.map(|image| (image, files.map(|files| *files)));
                self.handle_job_order((job, sequence), order, programs, file)?;
            }
        }
        Ok(())
    }

    /// An order of this number is for a job. With one that opens it come its program and its files.
    fn handle_job_order(
        &mut self,
        (job, sequence): (Job, u64),
        order: JobOrder,
        programs: Option<(Digest, Option<Digest>)>,
        file: Option<Vec<u8>>,
    ) -> Result<(), SessionError> {
        let is_relayed = matches!(order, JobOrder::Relayed { .. }); // It has no number.
        let is_next = match is_relayed {
            true => Some(true),
            false => self.tenants.is_next(job, sequence),
        };
        match is_next {
            Some(true) => {}
            Some(false) => return Ok(()),
            None => {
                let why = "an order before this one is missing".to_string();
                return Err(SessionError::Protocol(why));
            }
        }
        let registry = self.poll.registry();
        if let (JobOrder::Open(_), Some(programs)) = (&order, programs) {
            let from = (&self.connector, self.config.master);
            self.tenants.open(job, programs, from, registry);
        }
        self.tenants.order(job, order, file, registry);
        Ok(())
    }

    /// Asks for a new certificate in good time. Each beat is an occasion to look at the clock.
    pub(super) fn ask_for_renewal(&mut self, now: Instant) {
        let is_due = self.config.identity.is_renewal_due(SystemTime::now());
        if is_due && self.renew_at <= now {
            self.renew_at = now + RENEW_EVERY;
            self.report(&Report::Renew);
        }
    }

    /// Has a new certificate, for this session's successors.
    pub(super) fn renew(&mut self, certified: &[u8]) -> Result<(), SessionError> {
        let words = |error: &dyn std::fmt::Display| SessionError::Protocol(error.to_string());
        let certified = Certified::from_bytes(certified).map_err(|error| words(&error))?;
        let (identity, dir) = (&mut self.config.identity, &self.config.identity_dir);
        if !identity.renew(certified) {
            return Err(words(&"it sends the certificate of somebody else"));
        }
        if let Err(error) = identity.save(dir) {
            tell!("the new certificate cannot be kept: {error}");
        }
        self.connector = Connector::member(identity)?;
        tell!("the certificate was renewed");
        Ok(())
    }
}

/// An answer is due within seconds. Who gets none has weeks left.
const RENEW_EVERY: Duration = Duration::from_secs(60);
