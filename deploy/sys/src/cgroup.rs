//! A control group for each process below our own, so that all it ever started can be ended together.
//!
//! Deliberately absent: what limits are set to ([`crate::group_limits`]). Where the kernel or our rights allow no group there
//! is none, and nobody is told: the caller has another way. Two kinds will do: cgroup2 with its `cgroup.kill`, needing no
//! controller, or the freezer of the first version (freeze, kill each, thaw).

mod leaf;
#[cfg(test)]
mod tests;
mod tree;

pub use leaf::{Leaf, Occupancy};
pub use tree::{Tree, clear_abandoned};

use crate::hierarchy::Hierarchy;
use std::{
    thread,
    time::{Duration, Instant},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Unified,
    Freezer,
}

impl Kind {
    /// The file without which a group of this kind is of no use to us.
    fn switch(self) -> &'static str {
        match self {
            Kind::Unified => "cgroup.kill",
            Kind::Freezer => "freezer.state",
        }
    }

    fn hierarchy(self) -> Hierarchy {
        match self {
            Kind::Unified => Hierarchy::Unified,
            Kind::Freezer => Hierarchy::First("freezer"),
        }
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() && start.elapsed() < WAIT_MAX {
        thread::sleep(Duration::from_micros(200));
    }
}

/// Freezing takes some 7 ms among processes that fork without pause, dying about as long.
const WAIT_MAX: Duration = Duration::from_millis(200);
