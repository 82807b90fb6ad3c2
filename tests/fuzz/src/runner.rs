//! Runs a target over and over on inputs that a seed decides, for so many executions or so long.

use crate::{
    Target, execute,
    mutate::{Random, mutate},
    words::Counts,
};
use deploy_sys::glibc;
use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// After so many executions.
    Executions(u64),
    /// After so long.
    Time(Duration),
}

/// What came of a run in which nothing failed.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How many inputs the target had.
    pub executions: u64,
    /// What its decoder has understood of them.
    pub counts: Counts,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} executions{}", self.executions, self.counts)
    }
}

/// Runs the target; returns how much that was, or the input that it failed on, after the panic has said why.
pub fn run(target: &Target, seed: u64, budget: Budget) -> Result<Run, Vec<u8>> {
    // Or the kernel would hand out the buffers of a decoder anew for each input, which costs more than to decode.
    glibc::keep_freed_memory();
    let seeds = (target.seeds)();
    let mut random = Random::new(seed);
    let mut input = Vec::new();
    for seed in &seeds {
        attempt(target, seed)?;
    }
    let start = Instant::now();
    let (mut executions, before) = (0, Counts::now());
    while match budget {
        Budget::Executions(most) => executions < most,
        Budget::Time(longest) => start.elapsed() < longest,
    } {
        for _ in 0..BATCH {
            mutate(&seeds, &mut random, &mut input);
            attempt(target, &input)?;
        }
        executions += BATCH;
    }
    Ok(Run {
        executions,
        counts: Counts::now().since(before),
    })
}

fn attempt(target: &Target, input: &[u8]) -> Result<(), Vec<u8>> {
    panic::catch_unwind(AssertUnwindSafe(|| execute(target, input))).map_err(|_| input.to_vec())
}

/// How many executions pass between two looks at the clock.
const BATCH: u64 = 1000;
