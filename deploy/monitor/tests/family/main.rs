//! Real jobs: real processes, pipes, sockets, signals and groups, watched by a real monitor.
//!
//! Deliberately absent: the library, whose side of the birth is done here by hand (`newborn`).
//!
//! This one program is everything: the driver, which runs each scenario in a process of its own (`monitor`), and every
//! process of the scenario's job. What a scenario expects is said beside what its processes do (`scenarios`).

#![expect(clippy::unwrap_used, reason = "a scenario that goes wrong is to panic")]

mod monitor;
mod newborn;
mod scenarios;

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

fn main() -> ExitCode {
    deploy_monitor::keep_if_asked().expect("only a monitor asks");
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
    // A suite that was started with `&` ignores SIGINT, and so would every scenario.
    deploy_sys::signal::forget_ignored().expect("dispositions may be changed");
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    drive(filter.map_or("", String::as_str))
}

/// Runs every scenario whose name contains `filter`.
fn drive(filter: &str) -> ExitCode {
    let exe = env::current_exe().expect("this program has a path");
    let mut failed = 0;
    for scenario in scenarios::all().filter(|scenario| scenario.name.contains(filter)) {
        let Some(mut command) = command(&exe, scenario.is_unprivileged) else {
            println!(
                "test {} ... skipped: the rights to make groups cannot be given up here",
                scenario.name
            );
            continue;
        };
        let start = Instant::now();
        let output = command
            .args([SCENARIO, scenario.name])
            .stdin(Stdio::piped())
            .output();
        let output = output.expect("this program can be executed");
        let took = start.elapsed();
        if output.status.success() && took < TIME_MAX {
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

/// How this program is executed, with the rights of nobody in particular if so wished.
fn command(exe: &Path, is_unprivileged: bool) -> Option<Command> {
    if !is_unprivileged {
        return Some(Command::new(exe));
    }
    let as_nobody = |program: &OsStr| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program).current_dir("/");
        command
    };
    let mut test = as_nobody("test".as_ref());
    let can_execute = test
        .arg("-x")
        .arg(exe)
        .status()
        .is_ok_and(|status| status.success());
    can_execute.then(|| as_nobody(exe.as_os_str()))
}

/// The argument after which a scenario's name follows.
const SCENARIO: &str = "--scenario";
/// The longest of them waits a second for a pipe.
const TIME_MAX: Duration = Duration::from_secs(20);
