//! Real jobs: real processes, pipes, sockets, signals and groups, watched by a real monitor.
//!
//! Deliberately absent: the library, whose side of the birth is done here by hand (`newborn`).
//!
//! This one program is everything: the driver, which runs each scenario in a process of its own (`monitor`), and every
//! process of the scenario's job. What a scenario expects is said beside what its processes do (`scenarios`).

mod monitor;
mod newborn;
mod scenarios;

use std::{
    env,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    if env::var_os(deploy_wire::birth::BIRTH_VARIABLE).is_some() {
        newborn::live();
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name] = &arguments[..]
        && flag == SCENARIO
    {
        monitor::run(scenarios::find(name).expect("the driver knows the names"));
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    drive(filter.map_or("", String::as_str))
}

/// Runs every scenario whose name contains `filter`.
fn drive(filter: &str) -> ExitCode {
    let mut failed = 0;
    for scenario in scenarios::ALL
        .iter()
        .filter(|scenario| scenario.name.contains(filter))
    {
        let start = Instant::now();
        let exe = env::current_exe().expect("this program has a path");
        let output = Command::new(exe)
            .args([SCENARIO, scenario.name])
            .env_remove("RUST_BACKTRACE")
            .output()
            .expect("this program can be executed");
        let took = start.elapsed();
        let is_in_time = took < TIME_MAX;
        if output.status.success() && is_in_time {
            println!("test {} ... ok ({took:.0?})", scenario.name);
        } else {
            failed += 1;
            println!(
                "test {} ... FAILED ({took:.0?}, {})",
                scenario.name, output.status
            );
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    println!("test result: {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

/// The argument after which a scenario's name follows.
const SCENARIO: &str = "--scenario";
/// The longest of them waits a second for a pipe.
const TIME_MAX: Duration = Duration::from_secs(20);
