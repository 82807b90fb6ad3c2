//! Limits on memory where no control group sets them: what processes use is looked at now and then, and one that uses more
//! than it was granted is named, to be killed.
//!
//! Deliberately absent: what a process has started itself, which is nobody's here, and what comes and goes between two looks.

use crate::signals::SIGKILL;
use deploy_sys::process;
use deploy_wire::{
    exit::{End, Shortage},
    resources::Mem,
};
use std::time::{Duration, Instant};

/// Who looks, and when.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    /// Whether memory is to be limited, and nobody else does it.
    is_needed: bool,
    due: Option<Instant>,
}

/// What a process may use, and the most that it was seen to use.
#[derive(Debug)]
pub(crate) struct Allowance {
    limit: Mem,
    peak: Mem,
}

impl MemoryWatch {
    pub(crate) fn new(is_needed: bool) -> MemoryWatch {
        MemoryWatch {
            is_needed,
            due: None,
        }
    }

    /// When to look.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What a process may use from now on that was granted so much; nothing, if nobody need look at it.
    pub(crate) fn allow(&mut self, granted: Mem, now: Instant) -> Option<Allowance> {
        if !self.is_needed {
            return None;
        }
        self.due.get_or_insert(now + EVERY);
        Some(Allowance::new(granted))
    }

    /// Looks at what each process uses, if it is time to. They come with their numbers and the kernel's; returns the numbers of
    /// those that use too much.
    pub(crate) fn look<'a>(
        &mut self,
        processes: impl Iterator<Item = (u32, u32, &'a mut Allowance)>,
        now: Instant,
    ) -> Vec<u32> {
        let mut greedy = Vec::new();
        if self.due.take_if(|due| *due <= now).is_none() {
            return greedy;
        }
        let mut looked_at = 0;
        for (number, id, allowance) in processes {
            looked_at += 1;
            let used = process::private_memory_bytes(id);
            allowance.peak = allowance.peak.max(Mem::B * used.unwrap_or(0));
            if allowance.peak > allowance.limit {
                greedy.push(number);
            }
        }
        if looked_at > 0 {
            self.due = Some(now + EVERY.max(EACH * looked_at));
        }
        greedy
    }
}

impl Allowance {
    fn new(granted: Mem) -> Allowance {
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

/// Every process may have this much, without which no program starts; where control groups set limits it is the same.
const LEAST: Mem = Mem::MIB.times(16);
/// A process can take some hundred MiB in this time, at most; a look costs a millionth of a second or ten.
const EVERY: Duration = Duration::from_millis(50);
/// So that looking takes no more than about one part in a hundred of a processor, however many there are.
const EACH: Duration = Duration::from_millis(1);
