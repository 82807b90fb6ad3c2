//! How fast the library is, beside what the machine allows and measured in the same minutes: the anchors.
//!
//! ```text
//! cargo bench -p deploy --bench anchors -- [--rounds N] [WORKLOAD..]     rtt, rtt/8B, stream, ..: by prefix
//! ```
//!
//! On standard output there is one line for each row, and nothing else: `R`, workload, label, median over the rounds,
//! unit, with tabs between. On standard error a table for people, with the target of each row.
//!
//! This one program plays all parts, told by its first argument. The plain ones end before `init`, so that no thread
//! and no descriptor of the library is in the way of a floor:
//!
//! - `--floor WORDS` measures a floor and prints it; `--peer WORDS` is the other side of one.
//! - `--ours WORDS` measures the library in a job of its own, as `DEPLOY_CHANNELS` says, and prints it.
//!   `--ours-on-one WORDS` does so where all processes of the job have one processor.
//! - `--plain WHAT` prints, as any program does; `--deployed WHAT` prints the same, behind `init`.
//! - Otherwise it runs the rounds. What it measures of the library it measures between processes that it spawns.
//!
//! Nothing is asserted here: a slow machine fails no build.

mod buffer;
mod choice;
mod cpu;
mod floors;
mod held;
mod itself;
mod measure;
mod ours;
mod pooled;
mod programs;
mod report;
mod samples;
mod workloads;

use crate::{choice::Choice, report::Report};
use deploy::{Resources, init};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--floor", ref words @ ..] => println!("{}", floors::measure(words)),
        ["--peer", ref words @ ..] => floors::answer(words),
        ["--plain", what] => programs::print(what),
        ["--deployed", what] => {
            init(Resources::default());
            programs::print(what);
        }
        ["--ours", ref words @ ..] => {
            init(Resources::default());
            return print_ours(words);
        }
        ["--ours-on-one", ref words @ ..] => {
            cpu::pin(0);
            init(Resources::default());
            return print_ours(words);
        }
        _ => {
            init(Resources::default());
            return run(&words);
        }
    }
    ExitCode::SUCCESS
}

/// Measures one thing of the library, in this job.
fn print_ours(words: &[&str]) -> ExitCode {
    match ours::run(ours::Task::parse(words)) {
        Ok(value) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("anchors: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the rounds of the workloads chosen.
fn run(words: &[&str]) -> ExitCode {
    let choice = match Choice::parse(words) {
        Ok(choice) => choice,
        Err(why) => {
            eprintln!("anchors: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    for workload in &choice.workloads {
        let results = workload.run(choice.rounds);
        report.add(workload, &results);
    }
    report.finish()
}
