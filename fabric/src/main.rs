//! The command `fabric`: understands the command line, and has it done.

use clap::Parser;
use deploy_sys::{glibc, tell};
use deploy_wire::code::OwnCode;
use fabric::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    let refused = ExitCode::from(OwnCode::Setting.number() as u8);
    // Wardens are this program, and so are their keepers.
    if let Err(why) = deploy_monitor::keep_if_asked() {
        tell!("fabric: {why}");
        return refused;
    }
    glibc::keep_freed_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_mistake = error.use_stderr();
            // If nobody reads it, so be it.
            let _ = error.print();
            return if is_mistake {
                refused
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match fabric::commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tell!("fabric: {why}");
            refused
        }
    }
}
