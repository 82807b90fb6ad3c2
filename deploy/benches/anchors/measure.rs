//! One measurement of one row, whoever makes it.

use crate::{itself::itself, ours, programs};
use std::process::{Command, Stdio};

/// How a row comes by its value.
pub enum Measure {
    /// By a process that runs before `init`: see `floors.rs`.
    Floor(String),
    /// By a process that was spawned.
    Ours(ours::Task),
    /// The same in a job of its own, whose processes are connected as `DEPLOY_CHANNELS` says.
    OursOver(&'static str, String),
    /// The same in a job that has one processor for all of its processes.
    OursOnOne(&'static str),
    /// By starting a program and reading what it prints.
    Program(programs::Run),
    /// By how much one row of the same round exceeds another.
    Difference(&'static str, &'static str),
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

/// The same on one processor, and over what the library takes by itself.
pub fn ours_on_one(words: &str) -> Result<f64, String> {
    let mut command = itself();
    command.env("DEPLOY_FORMAT", "human");
    printed(command.arg("--ours-on-one"), words)
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
