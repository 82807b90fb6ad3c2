//! The command `fabric`: understands the command line, and has it done.

use clap::Parser;
use deploy_wire::code::OwnCode;
use fabric::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match fabric::commands::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fabric: {why}");
            ExitCode::from(OwnCode::Setting.number() as u8)
        }
    }
}
