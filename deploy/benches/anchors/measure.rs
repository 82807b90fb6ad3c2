//! One measurement of one row, whoever makes it.

use crate::{ours, programs};
use std::{
    env,
    process::{Command, Stdio},
};

/// How a row comes by its value.
pub enum Measure {
    /// By a process that runs before `init`: see `floors.rs`.
    Floor(String),
    /// By a process that was spawned.
    Ours(ours::Task),
    /// The same in a job of its own, whose processes are connected as `DEPLOY_CHANNELS` says.
    OursOver(&'static str, String),
    /// By starting a program and reading what it prints.
    Program(programs::Run),
    /// By how much one row of the same round exceeds another.
    Difference(&'static str, &'static str),
}

/// This program, as another process outside of the job.
pub fn itself() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.stdin(Stdio::null());
    // What is measured is what people get who set nothing.
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"DEPLOY_") {
            command.env_remove(name);
        }
    }
    command
}

/// Has a process of its own measure a floor.
pub fn floor(words: &str) -> Result<f64, String> {
    printed(itself().arg("--floor"), words)
}

/// Has a job of its own measure the library.
pub fn ours_over(channels: &str, words: &str) -> Result<f64, String> {
    let mut command = itself();
    command.env("DEPLOY_CHANNELS", channels);
    command.env("DEPLOY_FORMAT", "human");
    printed(command.arg("--ours"), words)
}

fn printed(command: &mut Command, words: &str) -> Result<f64, String> {
    let output = command
        .args(words.split_whitespace())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!("{words}: {}: {stderr}", output.status)
    })
}
