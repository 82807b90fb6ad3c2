//! `cargo deploy runner`: cargo's own `runner`, by which `cargo run`, `cargo test` and `cargo bench` run on a cluster.
//!
//! Deliberately absent: a build, which cargo has done. An ordinary program should not notice that it runs elsewhere, nor the
//! person: it is shown as it would show itself here, and one that uses Deploy as such programs are shown.

use crate::{
    cli::Runner,
    clusters,
    failure::Failure,
    jobs::Told,
    preflight::{self, Image},
    run::send_and_show,
    screen::Screen,
    settings::Settings,
    variable,
};
use deploy_wire::client::RunRequest;
use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

/// A variable of an environment.
type Variable = (Vec<u8>, Vec<u8>);

/// Sends the program, runs and shows it; returns the code to exit with.
pub fn run(mut runner: Runner) -> Result<i32, Failure> {
    let settings = Settings::find()?;
    // What deploy.toml names is passed on where it is set: others share the file.
    variable::Variable::tell_unset(&runner.given.env);
    settings.complete(&mut runner.given);
    let runner = &runner;
    let (program, args) = runner.program();
    let place = clusters::place(runner.target.as_deref(), &settings)?;
    let Some(identity) = place.identity else {
        let error = Command::new(program).args(args).exec();
        return Err(Failure::launch(format!(
            "cannot start {}: {error}",
            program.to_string_lossy()
        )));
    };
    let with_symbols = preflight::wants_symbols(&environment(runner, false));
    let image = preflight::look(Path::new(program), with_symbols)?;
    let files = preflight::files(&runner.given)?;
    let is_plain = image.is_ordinary();
    let screen = Screen::new(env::var_os("DEPLOY_FORMAT"))?;
    let screen = match is_plain {
        true => screen.for_ordinary(),
        false => screen,
    };
    let mut env = environment(runner, is_plain && screen.terminals == (true, true));
    if image.has(DOCTESTS) {
        env.push((DOCTESTS.to_vec(), b"/proc/self/exe".to_vec()));
    }
    let request = RunRequest {
        image: image.digest,
        worker: preflight::worker(&image.name),
        args: arguments(&image, args, screen.terminals.0),
        env,
        resources: runner.given.needs.resources(),
        stdout_is_terminal: screen.terminals.0,
        stderr_is_terminal: screen.terminals.1,
        is_detached: false,
        files: files.as_ref().map(|files| files.digest),
        is_here: false,
    };
    let told = Told {
        is_quiet: false,
        is_verbose: false,
    };
    let all: Vec<Image> = [image].into_iter().chain(files).collect();
    send_and_show(identity, all, request, None, screen, told)
}

/// The program's own name first. Cargo's test harness looks whether it writes to a terminal; there it never does, so it
/// is told.
fn arguments(image: &Image, args: &[OsString], is_terminal: bool) -> Vec<Vec<u8>> {
    let own_name = image.name.clone().into_bytes();
    let rest = args.iter().map(|word| word.as_bytes().to_vec());
    let mut all: Vec<Vec<u8>> = [own_name].into_iter().chain(rest).collect();
    let says = |word: &Vec<u8>| word.starts_with(b"--color");
    if is_terminal && image.has(TEST_HARNESS) && !all.iter().any(says) {
        all.push(b"--color=always".to_vec());
    }
    all
}

/// What cargo and its likes tell a program that they run, what the person has set for programs of Rust, and what a program
/// asks of colours.
fn environment(runner: &Runner, is_terminal: bool) -> Vec<Variable> {
    let is_taken = |name: &OsStr| {
        let name = name.as_bytes();
        TAKEN.contains(&name) || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut all: Vec<Variable> = Vec::new();
    let mut set = |name: &[u8], value: Vec<u8>| {
        all.retain(|(other, _)| other != name);
        all.push((name.to_vec(), value));
    };
    if is_terminal && env::var_os("NO_COLOR").is_none() {
        set(b"CLICOLOR_FORCE", b"1".to_vec());
        set(b"FORCE_COLOR", b"1".to_vec());
    }
    for (name, value) in env::vars_os().filter(|(name, _)| is_taken(name)) {
        set(name.as_bytes(), value.into_vec());
    }
    // Its files are where it begins.
    if env::var_os(MANIFEST_DIR).is_some() {
        set(MANIFEST_DIR.as_bytes(), b".".to_vec());
    }
    for (name, value) in runner.given.env.iter().filter_map(variable::Variable::here) {
        set(&name, value);
    }
    all
}

/// Only cargo's test harness looks for this one.
const TEST_HARNESS: &[u8] = b"RUST_TEST_THREADS";
const MANIFEST_DIR: &str = "CARGO_MANIFEST_DIR";
/// A program of documentation tests starts itself for each of them, by this name; rustdoc says none where there is a runner.
const DOCTESTS: &[u8] = b"RUSTDOC_DOCTEST_BIN_PATH";
const TAKEN_PREFIXES: [&[u8]; 3] = [b"CARGO_PKG_", b"RUST_", b"NEXTEST"];
const TAKEN: [&[u8]; 9] = [
    b"CARGO_CRATE_NAME",
    b"CARGO_BIN_NAME",
    b"TERM",
    b"COLORTERM",
    b"NO_COLOR",
    b"CLICOLOR",
    b"CLICOLOR_FORCE",
    b"FORCE_COLOR",
    b"TZ",
];
