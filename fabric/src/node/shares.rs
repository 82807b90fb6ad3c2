//! What share of the processors the processes of one job here were granted together. Within a job its warden shares them out;
//! beside other jobs the job's group has to carry the sum, or each would count as much as any other.
//!
//! A plain machine: it looks at what passes between the master and a warden. Deliberately absent: the groups.

use deploy_wire::{
    control::Notice,
    job::{JobOrder, JobReport},
    resources::Resources,
};
use std::collections::BTreeMap;

/// By the number of each process that was to begin and is not gone.
#[derive(Default, Debug)]
pub(super) struct Shares {
    millionths: BTreeMap<u32, u64>,
    /// Their sum, as it was asked for last.
    told: u64,
}

impl Shares {
    /// The warden is ordered this.
    pub(super) fn handle_order(&mut self, order: &JobOrder) {
        match order {
            JobOrder::Begin(begin) => self.set(begin.number, begin.resources),
            JobOrder::Tell {
                number,
                notice: Notice::Granted { resources, .. },
            } => self.set(*number, *resources),
            _ => {}
        }
    }

    /// The warden reports this.
    pub(super) fn handle_report(&mut self, report: &JobReport) {
        if let JobReport::NotBegun { number, .. } | JobReport::Left { number } = report {
            self.millionths.remove(number);
        }
    }

    /// What all have together, in millionths of a processor, if that has changed.
    pub(super) fn poll_sum(&mut self) -> Option<u64> {
        let sum = self.millionths.values().sum();
        (std::mem::replace(&mut self.told, sum) != sum).then_some(sum)
    }

    fn set(&mut self, number: u32, resources: Resources) {
        self.millionths.insert(number, resources.cpu.millionths());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{job::Begin, resources::Cpu};

    fn granted(cpu: Cpu) -> Resources {
        Resources {
            cpu,
            ..Resources::default()
        }
    }

    fn begin(number: u32, cpu: Cpu) -> JobOrder {
        JobOrder::Begin(Box::new(Begin {
            number,
            parent: None,
            asked: None,
            work: None,
            resources: granted(cpu),
        }))
    }

    #[test]
    fn a_job_has_what_its_processes_have_together() {
        let mut shares = Shares::default();
        assert_eq!(shares.poll_sum(), None);
        shares.handle_order(&begin(0, Cpu::CORE / 4));
        shares.handle_order(&begin(5, Cpu::CORE / 2));
        assert_eq!(shares.poll_sum(), Some(750_000));
        assert_eq!(shares.poll_sum(), None);
        let notice = Notice::Granted {
            id: 1,
            resources: granted(Cpu::CORE),
        };
        shares.handle_order(&JobOrder::Tell { number: 0, notice });
        assert_eq!(shares.poll_sum(), Some(1_500_000));
        shares.handle_report(&JobReport::Left { number: 0 });
        let why = String::new();
        shares.handle_report(&JobReport::NotBegun { number: 5, why });
        assert_eq!(shares.poll_sum(), Some(0));
    }
}
