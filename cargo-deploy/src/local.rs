//! The target `local`: this machine, by `cargo run` itself.
//!
//! What the first process needs is not counted here, as it is not in `cargo run`.

use crate::{cli::Run, compile, failure::Failure};
use std::{ffi::OsString, os::unix::process::CommandExt, process::Command};

/// Becomes `cargo run`, or the program that is built already. Returns only if that cannot be started.
pub fn run(run: &Run, format: Option<OsString>) -> Result<i32, Failure> {
    if run.watched.output.is_some() {
        return Err(Failure::setting(
            "--output is for clusters; here `cargo run > FILE 2> FILE` does",
        ));
    }
    let mut command = match &run.exe {
        Some(exe) => {
            // A name alone would be looked for in the path.
            let exe = std::path::absolute(exe).map_err(Failure::launch)?;
            Command::new(exe)
        }
        None => {
            let mut cargo = compile::cargo();
            cargo.arg("run").args(run.cargo.to_args()).arg("--");
            cargo
        }
    };
    command.args(&run.args);
    for variable in &run.given.env {
        if let Some(value) = &variable.value {
            command.env(&variable.name, value);
        }
    }
    if let Some(format) = format {
        command.env("DEPLOY_FORMAT", format);
    }
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    Err(Failure::launch(format!("cannot start {program}: {error}")))
}
