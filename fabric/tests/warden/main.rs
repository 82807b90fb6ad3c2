//! Real wardens with real processes, ordered about by a node and a master that are played here.
//!
//! Deliberately absent: the network between nodes and master, and the daemon. This one program is everything: who orders
//! (`master`), each warden, and every process of the jobs (`programs`). What is expected stands in `scenarios`.

#![expect(clippy::unwrap_used, reason = "a scenario that goes wrong is to panic")]

mod keepers;
mod master;
mod programs;
mod scenarios;

use deploy_wire::birth::BIRTH_VARIABLE;
use std::{env, panic::catch_unwind, process::ExitCode, time::Instant};

fn main() -> ExitCode {
    deploy_monitor::keep_if_asked().expect("only a warden asks");
    if env::var_os(BIRTH_VARIABLE).is_some() {
        programs::main();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments == [fabric::warden::WORD] {
        return match fabric::warden::run_at_stdin(None) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    drive(filter.map_or("", String::as_str))
}

fn drive(filter: &str) -> ExitCode {
    deploy_sys::process::become_subreaper().expect("the kernel allows it");
    let mut failed = 0;
    for (name, scenario) in scenarios::ALL
        .iter()
        .filter(|(name, _)| name.contains(filter))
    {
        let start = Instant::now();
        let word = match catch_unwind(scenario) {
            Ok(()) => "ok",
            Err(_) => "FAILED",
        };
        failed += u32::from(word != "ok");
        println!(
            "test {name} ... {word} ({} ms)",
            start.elapsed().as_millis()
        );
        if word != "ok" {
            break; // What it left would be taken for the next one's.
        }
    }
    println!("\ntest result: {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
