//! `cargo run --release -p deploy-fuzz -- [SECONDS [TARGET..]]`: runs each target, or those named, for so long (10), by
//! another seed each time. Prints how many executions that were, of how many words if its inputs are scripts, and how many the decoder took for what they
//! claim to be; on a failure the seed and the input, and ends with 1.

use deploy_fuzz::{
    TARGETS, Target,
    runner::{Budget, run},
    target,
};
use std::{
    env,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let seconds = words.next().map_or(Ok(SECONDS), |word| word.parse());
    let named: Option<Vec<&Target>> = words.map(|word| target(&word)).collect();
    let (Ok(seconds), Some(named)) = (seconds, named) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "usage: deploy-fuzz [SECONDS [TARGET..]], where a target is one of {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    };
    let targets = if named.is_empty() {
        TARGETS.iter().collect()
    } else {
        named
    };
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_nanos() as u64);
    for target in targets {
        match run(target, seed, Budget::Time(Duration::from_secs(seconds))) {
            Ok(run) => println!("{}: {run} in {seconds} s", target.name),
            Err(input) => {
                println!(
                    "{}: failed by seed {seed} on \"{}\"",
                    target.name,
                    input.escape_ascii()
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

const SECONDS: u64 = 10;
