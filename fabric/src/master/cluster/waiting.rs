//! Who of a job waits for whom: what its processes tell, what a person is told of it, and what one hears who asks.
//!
//! It lies beside the job and not in it, because it has a clock: that a person is told is something that happens to a job.
//! Deliberately absent: what is certain and what is not, which is the [`Standstill`](deploy_monitor::Standstill)'s.

use super::{Cluster, Happening, Owned, nodes::SUSPECTED_AFTER};
use crate::scheduler::NodeId;
use deploy_wire::{control::Request, job::JobReport, pid, wait::Waits};
use std::time::Instant;

impl Owned {
    /// What has happened in the job may be that a process says what it has waited for.
    pub(super) fn hear_waits(&mut self, happening: &Happening, now: Instant) {
        if let Happening::Report(_, JobReport::Asked { from, request }, _) = happening
            && let Request::Waits(waits) = request
        {
            self.standstill.handle_waits(*from, waits.clone(), now);
        }
    }
}

impl Cluster {
    /// What the processes of a job wait for that have done so for a while.
    pub fn waits(&self, job: pid::Job, now: Instant) -> Vec<(pid::Pid, Waits)> {
        let Some(owned) = self.jobs.get(&job) else {
            return Vec::new();
        };
        let waiting = owned.standstill.waiting();
        let waiting = waiting.filter(|number| owned.job.is_alive(*number));
        let told = waiting.filter_map(|number| {
            let waits = owned.standstill.waits(number, now)?;
            Some((pid::Pid::new(job, number), waits))
        });
        told.collect()
    }

    /// When something is due of what is looked after here.
    pub(super) fn waits_timeout(&self) -> Option<Instant> {
        let jobs = self.jobs.values();
        jobs.filter_map(|owned| owned.standstill.poll_timeout())
            .min()
    }

    /// Of jobs whose processes have long waited for each other people are told.
    pub(super) fn look_at_waits(&mut self, now: Instant) {
        let is_due = |owned: &Owned| owned.standstill.poll_timeout().is_some_and(|at| at <= now);
        let due = self.jobs.iter().filter(|(_, owned)| is_due(owned));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            for (number, text) in self.notes(id, now) {
                self.with_job(Some(id), Happening::Noted(number, text), now);
            }
        }
    }

    fn notes(&mut self, id: pid::Job, now: Instant) -> Vec<(u32, String)> {
        let Some(owned) = self.jobs.get(&id) else {
            return Vec::new();
        };
        let is_old = owned.streams.keys().any(|node| self.is_silent(*node, now));
        let Some(owned) = self.jobs.get_mut(&id) else {
            return Vec::new();
        };
        // What was heard of a node that is silent just now may be old.
        if is_old {
            owned.standstill.postpone(now);
            return Vec::new();
        }
        let waiting: Vec<u32> = owned.standstill.waiting().collect();
        for number in waiting {
            if !owned.job.is_alive(number) {
                owned.standstill.handle_end(number);
            }
        }
        owned.standstill.handle_timeout(now)
    }

    fn is_silent(&self, node: NodeId, now: Instant) -> bool {
        self.nodes.get(&node).is_none_or(|node| {
            node.is_awaited || now.saturating_duration_since(node.heard) >= SUSPECTED_AFTER
        })
    }
}
