//! Runs a target over and over on inputs that a seed decides, for so many executions or so long.

use crate::{
    Target, execute,
    mutate::{Random, mutate},
};
use deploy_sys::glibc;
use std::{
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

/// Runs the target; returns how many executions it took, or the input that it failed on, after the panic has said why.
pub fn run(target: &Target, seed: u64, budget: Budget) -> Result<u64, Vec<u8>> {
    // Or the kernel would hand out the buffers of a decoder anew for each input, which costs more than to decode.
    glibc::keep_freed_memory();
    let seeds = (target.seeds)();
    let mut random = Random::new(seed);
    let mut input = Vec::new();
    for seed in &seeds {
        attempt(target, seed)?;
    }
    let start = Instant::now();
    let mut executions = 0;
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
    Ok(executions)
}

fn attempt(target: &Target, input: &[u8]) -> Result<(), Vec<u8>> {
    panic::catch_unwind(AssertUnwindSafe(|| execute(target, input))).map_err(|_| input.to_vec())
}

/// How many executions pass between two looks at the clock.
const BATCH: u64 = 1000;
