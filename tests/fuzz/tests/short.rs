//! Every target for about a second, by a seed that stays the same: what fails here fails everywhere.

use deploy_fuzz::{
    TARGETS,
    runner::{Budget, run},
};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    for target in TARGETS {
        let start = Instant::now();
        match run(target, SEED, Budget::Executions(target.short)) {
            Ok(run) => println!("{}: {run} in {:.1?}", target.name, start.elapsed()),
            Err(input) => {
                println!("{}: failed on \"{}\"", target.name, input.escape_ascii());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

const SEED: u64 = 1;
