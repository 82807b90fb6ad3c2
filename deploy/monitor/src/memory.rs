//! Limits on memory where no control group sets them: what processes use is looked at now and then, and one that uses more
//! than it was granted is killed.
//!
//! Deliberately absent: what a process has started itself, which is nobody's here, and what comes and goes between two looks.

use crate::household::{Household, SIGKILL};
use deploy_sys::process;
use deploy_wire::{
    exit::{End, Shortage},
    resources::Mem,
};
use std::time::{Duration, Instant};

/// What a process may use, and the most that it was seen to use.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: Mem,
    peak: Mem,
}

impl Allowance {
    pub(crate) fn new(granted: Mem) -> Allowance {
        Allowance {
            limit: granted.max(LEAST),
            peak: Mem::default(),
        }
    }

    /// Whether a process that ended so was killed for using too much.
    pub(crate) fn shortage(&self, end: End) -> Option<Shortage> {
        let (limit, peak) = (self.limit, self.peak);
        (peak > limit && end == End::Signal(SIGKILL)).then_some(Shortage { limit, peak })
    }
}

impl Household {
    /// From now on the process may use so much, if nobody else sees to that.
    pub(crate) fn allow(&mut self, number: u32, granted: Mem, now: Instant) {
        let Some(child) = self.children.get_mut(&number) else {
            return;
        };
        if self.watches_memory {
            child.allowance = Some(Allowance::new(granted));
            self.memory_due.get_or_insert(now + EVERY);
        }
    }

    /// Looks at what each process uses, if it is time to, and kills who uses too much.
    pub(crate) fn look_at_memory(&mut self, now: Instant) {
        if self.memory_due.take_if(|due| *due <= now).is_none() {
            return;
        }
        let mut looked_at = 0;
        let mut greedy = Vec::new();
        let living = self.children.iter_mut().filter(|(_, child)| !child.is_dead);
        for (number, child) in living {
            let Some(allowance) = &mut child.allowance else {
                continue;
            };
            looked_at += 1;
            let used = process::private_memory_bytes(child.process.id());
            allowance.peak = allowance.peak.max(Mem::B * used.unwrap_or(0));
            if allowance.peak > allowance.limit {
                greedy.push(*number);
            }
        }
        for number in greedy {
            self.signal(number, SIGKILL);
        }
        if looked_at > 0 {
            self.memory_due = Some(now + EVERY.max(EACH * looked_at));
        }
    }
}

/// Every process may have this much, without which no program starts; where control groups set limits it is the same.
const LEAST: Mem = Mem::MIB.times(16);
/// A process can take some hundred MiB in this time, at most; a look costs a millionth of a second or ten.
const EVERY: Duration = Duration::from_millis(50);
/// So that looking takes no more than about one part in a hundred of a processor, however many there are.
const EACH: Duration = Duration::from_millis(1);
