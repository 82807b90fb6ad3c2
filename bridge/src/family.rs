//! The fold of a job's events into who lives, who bore whom, what the job's exit code is, and who failed first. It keeps
//! nothing of the dead but the two ends that the exit code may come from, and what there is to say of the first.

use crate::last_word::{Failed, LastWord, Words};
use deploy_wire::{
    event::{Event, POOL_OF, Stream},
    exit::ExitStatus,
    pid::Pid,
};
use std::collections::HashMap;

/// The processes of one job.
#[derive(Default, Debug)]
pub struct Family {
    living: HashMap<Pid, Life>,
    initial: Option<(Pid, ExitStatus)>,
    /// The first other process that failed by itself.
    first_failure: Option<(Pid, ExitStatus)>,
    /// The first of all that failed by themselves; a pool's worker only as long as nobody else has, since its pool answers for
    /// its end: the calls are repeated, or their error is the program's to heed.
    failed: Option<Failed>,
    /// How many failed after it.
    failed_later: u32,
    /// Whether anything happened after it.
    is_old: bool,
}

/// A living process.
#[derive(Debug)]
struct Life {
    parent: Option<Pid>,
    worker: String,
    node: String,
    words: Words,
}

impl Family {
    /// Before the first process.
    pub fn new() -> Family {
        Family::default()
    }

    /// Takes in what became known.
    pub fn handle_event(&mut self, event: &Event) {
        self.is_old |= self.failed.is_some();
        match event {
            Event::Spawned {
                pid,
                parent,
                worker,
                node,
                ..
            } => {
                let life = Life {
                    parent: *parent,
                    worker: worker.clone(),
                    node: node.clone(),
                    words: Words::default(),
                };
                self.living.insert(*pid, life);
            }
            Event::Output {
                pid,
                stream: Stream::Stderr,
                bytes,
            } => {
                if let Some(life) = self.living.get_mut(pid) {
                    life.words.hear(bytes);
                }
            }
            Event::Output { .. } | Event::Noted { .. } => {}
            Event::Exited { pid, status } => self.handle_end(*pid, *status),
        }
    }

    fn handle_end(&mut self, pid: Pid, status: ExitStatus) {
        let life = self.living.remove(&pid);
        if life.as_ref().is_some_and(|life| life.parent.is_none()) {
            self.initial = Some((pid, status));
        } else if status.is_failure() {
            self.first_failure.get_or_insert((pid, status));
        }
        if !status.is_failure() {
            return;
        }
        let is_pools = |worker: &str| worker.starts_with(POOL_OF);
        let others_end = life.as_ref().is_some_and(|life| !is_pools(&life.worker));
        let failed = self.failed.as_ref();
        if failed.is_some_and(|failed| !(others_end && is_pools(&failed.worker))) {
            self.failed_later += 1;
        } else {
            (self.failed_later, self.is_old) = (0, false);
            let (worker, node, words) = match life {
                Some(life) => (life.worker, life.node, life.words),
                None => Default::default(),
            };
            self.failed = Some(Failed {
                pid,
                worker,
                node,
                status,
                words,
            });
        }
    }

    /// Who lives, each with its parent, in no order.
    pub fn living(&self) -> impl Iterator<Item = (Pid, Option<Pid>)> {
        self.living.iter().map(|(pid, life)| (*pid, life.parent))
    }

    /// Who failed first; nothing where the end of the only one that did is what happened last, and so plain to see.
    pub fn last_word(&self) -> Option<LastWord<'_>> {
        let failed = self.failed.as_ref()?;
        let is_plain = self.failed_later == 0 && !self.is_old;
        (!is_plain).then_some(LastWord {
            failed,
            later: self.failed_later,
            exit_code_of: self.first_failure().map(|(pid, _)| pid),
            initial: self.initial.map(|(pid, _)| pid),
        })
    }

    /// The end that the exit code comes from: the initial process's if it failed, else that of the first other
    /// process that failed by itself.
    pub fn first_failure(&self) -> Option<(Pid, ExitStatus)> {
        self.initial
            .filter(|(_, status)| !status.success())
            .or(self.first_failure)
    }

    /// The exit code of the job as far as is known; a signal N counts as 128 + N.
    pub fn exit_code(&self) -> u8 {
        self.first_failure()
            .map_or(0, |(_, status)| status.shell_code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{
        exit::{End, Reason},
        pid::Job,
        resources::Resources,
    };

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(5), number)
    }

    /// A family of an initial process and two children that end in this order gives this exit code.
    fn check(ends: &[(u32, ExitStatus)], exit_code: u8, culprit: Option<u32>) {
        let mut family = Family::new();
        for (number, parent) in [(0, None), (1, Some(0)), (2, Some(1))] {
            family.handle_event(&Event::Spawned {
                pid: pid(number),
                parent: parent.map(pid),
                node: "local".into(),
                worker: "test".into(),
                resources: Resources::default(),
            });
        }
        for &(number, status) in ends {
            let pid = pid(number);
            family.handle_event(&Event::Exited { pid, status });
        }
        assert_eq!(family.exit_code(), exit_code);
        assert_eq!(family.first_failure().map(|f| f.0), culprit.map(pid));
        assert_eq!(family.living().count(), 3 - ends.len());
    }

    #[test]
    fn the_exit_code_is_that_of_the_first_to_blame() {
        let code = |code| ExitStatus::new(End::Code(code));
        let signal = |signal| ExitStatus::new(End::Signal(signal));
        let killed = signal(9).because(Reason::Killed);
        check(&[], 0, None);
        check(&[(0, code(0)), (1, code(0)), (2, code(0))], 0, None);
        check(&[(1, code(7)), (2, code(8)), (0, code(0))], 7, Some(1));
        check(&[(0, code(0)), (2, code(8)), (1, code(7))], 8, Some(2));
        check(&[(1, code(7)), (0, code(3))], 3, Some(0));
        check(&[(0, signal(11)), (1, code(7))], 139, Some(0));
        check(&[(1, killed), (0, code(0))], 0, None);
        check(&[(1, killed), (2, signal(9)), (0, code(0))], 137, Some(2));
        check(&[(0, signal(2).because(Reason::Interrupted))], 130, Some(0));
    }
}
