//! `cargo deploy`: builds a program here and runs it on a cluster, as `cargo run` would run it on this machine.
//!
//! Deliberately absent: an executor, a daemon, anything that goes on when the command has ended.

#![forbid(unsafe_code)]

mod back;
mod choice;
mod cli;
mod clusters;
mod compile;
mod content;
mod earlier;
pub mod elf;
mod failure;
mod files;
mod flags;
mod here;
mod interrupts;
mod jobs;
mod line;
mod listing;
mod local;
mod login;
mod preflight;
mod run;
mod runner;
mod saved;
mod screen;
mod session;
mod settings;
mod stdin;
mod strip;
mod terminal;
mod top;
mod upload;
mod variable;
mod watch;
mod why;
mod words;

use clap::CommandFactory;
use cli::{Cli, Command};
use deploy_bridge::harmless;
use deploy_sys::tell;
use failure::Failure;

/// Does what the command line of this process says; returns the code to exit with.
pub fn run() -> i32 {
    if let Some(code) = compile::report_if_runner().or_else(here::serve_if_asked) {
        return code;
    }
    match Cli::from_command_line().map(act) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => {
            let words = failure.to_string();
            let lines: Vec<String> = words.split('\n').map(harmless).collect();
            tell!("cargo deploy: {}", lines.join("\n"));
            failure.code()
        }
        Err(code) => code,
    }
}

/// Does what the command line says; returns the code to exit with.
fn act(cli: Cli) -> Result<i32, Failure> {
    match cli.command {
        None => run::run(cli.run),
        Some(Command::Login(login)) => login::login(&login),
        Some(Command::Logout(logout)) => login::logout(&logout),
        Some(Command::Nodes(what)) => listing::nodes(&what),
        Some(Command::Ps(what)) => listing::jobs(&what),
        Some(Command::Kill(kill)) => listing::kill(&kill),
        Some(Command::Logs(logs)) => jobs::logs(&logs),
        Some(Command::Attach(attach)) => jobs::attach(&attach),
        Some(Command::Why(why)) => why::why(&why),
        Some(Command::Top(what)) => top::top(&what),
        Some(Command::Runner(runner)) => runner::run(runner),
        Some(Command::Manual(manual)) => {
            let given = manual.give(Cli::command());
            given.map(|()| 0).map_err(Failure::setting)
        }
    }
}
