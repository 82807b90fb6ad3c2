//! The fold of a job's events into who lives, who bore whom, and what the job's exit code is. It keeps nothing of the
//! dead but the two ends that the exit code may come from.

use deploy_wire::{event::Event, exit::ExitStatus, pid::Pid};
use std::collections::HashMap;

/// The processes of one job.
#[derive(Default, Debug)]
pub struct Family {
    /// Each living process and its parent.
    living: HashMap<Pid, Option<Pid>>,
    initial: Option<(Pid, ExitStatus)>,
    first_failure: Option<(Pid, ExitStatus)>,
}

impl Family {
    /// Before the first process.
    pub fn new() -> Family {
        Family::default()
    }

    /// Takes in what became known.
    pub fn handle_event(&mut self, event: &Event) {
        match *event {
            Event::Spawned { pid, parent, .. } => {
                self.living.insert(pid, parent);
            }
            Event::Output { .. } | Event::Noted { .. } => {}
            Event::Exited { pid, status } => {
                if self.living.remove(&pid) == Some(None) {
                    self.initial = Some((pid, status));
                } else if status.is_failure() {
                    self.first_failure.get_or_insert((pid, status));
                }
            }
        }
    }

    /// Who lives, each with its parent, in no order.
    pub fn living(&self) -> impl Iterator<Item = (Pid, Option<Pid>)> {
        self.living.iter().map(|(pid, parent)| (*pid, *parent))
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
