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
    let output = itself()
        .arg("--floor")
        .args(words.split_whitespace())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .map_err(|_| format!("{words}: {}", output.status))
}
