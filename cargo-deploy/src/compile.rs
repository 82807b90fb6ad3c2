//! Has the user's own cargo build the program, and learns where it lies.
//!
//! Deliberately absent: any path that is put together here. Cargo says where it put the program.
//!
//! # Where it is unclear what to run
//! Then `cargo run` itself is called, with this program as its `runner`. Nearly always it has an error to tell, and does
//! so in its own words. If it does find a program, the runner sends us the path in place of running it. That way is
//! not the usual one because cargo shows the runner's command line.

use crate::{
    choice::{self, Choice, Program},
    failure::Failure,
    flags::CargoFlags,
};
use deploy_sys::signal;
use serde_json::Value;
use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, ffi::OsStringExt, process::ExitStatusExt},
    },
    path::PathBuf,
    process::{self, Command, ExitStatus, Stdio},
};

/// What became of a build.
pub enum Compiled {
    /// The program is here.
    Built(PathBuf),
    /// It does not build, and cargo has said why.
    Failed,
}

/// Builds what `cargo run` would run with these flags. Blocks until cargo is done.
pub fn compile(flags: &CargoFlags) -> Result<Compiled, Failure> {
    match choice::choose(&mut cargo(), flags) {
        Choice::Named(program) => build(flags, flags.to_args(), &program),
        Choice::Only(program) => build(flags, flags.to_args_for_bin(&program.name), &program),
        Choice::Unclear => ask_cargo(flags),
    }
}

/// The user's cargo: the one that called us, or the one in the path.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn build(flags: &CargoFlags, args: Vec<OsString>, program: &Program) -> Result<Compiled, Failure> {
    let mut cargo = cargo();
    cargo
        .args(["build", "--message-format=json-render-diagnostics"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(no_cargo)?;
    let stdout = child.stdout.take().expect("it is piped");
    let found = executables(BufReader::new(stdout), program);
    let status = child.wait().map_err(Failure::internal)?;
    if !status.success() {
        return Ok(failed(status));
    }
    match found.map_err(Failure::internal)?.as_slice() {
        [path] => Ok(Compiled::Built(path.clone())),
        // As when two packages have a binary of this name: cargo has a sentence for it.
        _ => ask_cargo(flags),
    }
}

/// Where cargo says that it put the program, in its messages, one a line.
fn executables(messages: impl BufRead, program: &Program) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in messages.split(b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(&line?) else {
            continue; // Something that a compiler plugin printed.
        };
        let target = &message["target"];
        let kinds = target["kind"].as_array().map_or(&[][..], Vec::as_slice);
        let is_it = message["reason"] == "compiler-artifact"
            && target["name"] == *program.name
            && kinds.iter().any(|kind| kind == program.kind);
        if let Some(path) = message["executable"].as_str().filter(|_| is_it) {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}

fn ask_cargo(flags: &CargoFlags) -> Result<Compiled, Failure> {
    let (mut reader, writer) = io::pipe().map_err(Failure::internal)?;
    // Cargo splits the runner's command at blanks, which paths below /proc have none of. Both are ours as long as
    // we wait here.
    let (us, end) = (process::id(), writer.as_raw_fd());
    let runner = format!("/proc/{us}/exe {RUNNER} /proc/{us}/fd/{end}");
    let mut cargo = cargo();
    cargo.arg("run").args(flags.to_args()).stdin(Stdio::null());
    for triple in triples(flags)? {
        let name = triple.to_uppercase().replace(['-', '.'], "_");
        cargo.env(format!("CARGO_TARGET_{name}_RUNNER"), &runner);
    }
    let status = cargo.status().map_err(no_cargo)?;
    drop(writer);
    let mut path = Vec::new();
    reader.read_to_end(&mut path).map_err(Failure::internal)?;
    match status.success() && !path.is_empty() {
        true => Ok(Compiled::Built(OsString::from_vec(path).into())),
        false => Ok(failed(status)),
    }
}

/// If cargo calls us as its runner, says which program it would run; returns the code to exit with.
pub fn report_if_runner() -> Option<i32> {
    let mut words = env::args_os().skip(1);
    if words.next()? != RUNNER {
        return None;
    }
    let (end, program) = (words.next()?, words.next()?);
    let report = || -> io::Result<()> {
        let program = std::path::absolute(program)?;
        let mut end = File::options().write(true).open(end)?;
        end.write_all(program.as_os_str().as_bytes())
    };
    Some(i32::from(report().is_err()))
}

/// The kinds of machine that cargo may build for: what was asked for, or this one.
fn triples(flags: &CargoFlags) -> Result<Vec<String>, Failure> {
    let asked = flags.target.iter().cloned();
    let set = env::var("CARGO_BUILD_TARGET").ok();
    let version = cargo().arg("-vV").output().map_err(no_cargo)?;
    let version = String::from_utf8_lossy(&version.stdout);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let all = asked.chain(set).chain(host.map(str::to_string));
    Ok(all.filter(|triple| !triple.is_empty()).collect())
}

/// Ends as cargo did where a signal ended that, as by Ctrl-C.
fn failed(status: ExitStatus) -> Compiled {
    if let Some(signal) = status.signal() {
        signal::reraise(signal);
    }
    Compiled::Failed
}

fn no_cargo(error: io::Error) -> Failure {
    Failure::launch(format!(
        "cannot start cargo: {error}; call this as `cargo deploy`, or set CARGO to your cargo"
    ))
}

/// The word by which we know that cargo calls us as its runner.
const RUNNER: &str = "--is-runner";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_artifact_that_was_asked_for_counts() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"hello"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["custom-build"],"name":"build-script-build"},"executable":"/t/build"}
not a message
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"hello"},"executable":"/t/hello"}
{"reason":"build-finished","success":true}
"#;
        let program = Program {
            kind: "bin",
            name: "hello".into(),
        };
        let found = executables(messages.as_bytes(), &program).unwrap();
        assert_eq!(found, [PathBuf::from("/t/hello")]);
    }
}
