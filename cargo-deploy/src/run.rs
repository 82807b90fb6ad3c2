//! `cargo deploy TARGET`: from the sources to the job.

use crate::{
    cli::Run,
    clusters,
    compile::{Compiled, compile},
    failure::Failure,
    here::Plan,
    jobs::{self, Told},
    local,
    preflight::{self, Image},
    screen::Screen,
    session::Bridge,
    settings::Settings,
    upload::{Sent, upload},
    variable::Variable,
};
use deploy_sys::tell;
use deploy_trust::identity::Identity;
use deploy_wire::client::RunRequest;
use std::{
    env,
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// Builds, sends, runs and shows; returns the code to exit with.
pub fn run(mut run: Run) -> Result<i32, Failure> {
    // What can be wrong without a build is told before it.
    let settings = Settings::find()?;
    if !run.cargo.quiet {
        Variable::tell_unset(&run.given.env);
    }
    settings.complete(&mut run.given);
    let format = settings.format(&run.watched);
    let place = clusters::place(run.target.as_deref(), &settings)?;
    if let Some(why) = place.why.as_ref().filter(|_| !run.cargo.quiet) {
        tell!("cargo deploy: on {}, {why}", place.name);
    }
    let run = &run;
    let Some(identity) = place.identity else {
        return local::run(run, format);
    };
    let screen = screen(run, format)?;
    let Some(path) = program(run)? else {
        return Ok(BUILD_FAILED);
    };
    let env = environment(run);
    let here = match run.is_here {
        true => Some(Plan::new(&path, run.args.clone(), env.clone())?),
        false => None,
    };
    let image = preflight::look(&path, preflight::wants_symbols(&env))?;
    let files = preflight::files(&run.given)?;
    tell_needs(run, &image);
    let request = RunRequest {
        image: image.digest,
        worker: preflight::worker(&image.name),
        args: arguments(run, &image),
        env,
        resources: run.given.needs.resources(),
        stdout_is_terminal: screen.terminals.0,
        stderr_is_terminal: screen.terminals.1,
        is_detached: run.is_detached,
        files: files.as_ref().map(|files| files.digest),
        is_here: run.is_here,
    };
    let told = Told {
        is_quiet: run.cargo.quiet,
        is_verbose: run.cargo.verbose > 0,
    };
    let all: Vec<Image> = [image].into_iter().chain(files).collect();
    send_and_show(identity, all, request, here, screen, told)
}

/// Brings the program and its files to the cluster, has it run and shows it; returns the code to exit with.
pub fn send_and_show(
    identity: Identity,
    all: Vec<Image>,
    request: RunRequest,
    here: Option<Plan>,
    screen: Screen,
    told: Told,
) -> Result<i32, Failure> {
    let mut bridge = Bridge::connect(&identity)?;
    // Each goes when it is there: a job may run for days, and here nobody needs its program.
    for image in all {
        let sent = upload(&mut bridge, &image, told.is_quiet)?;
        if told.is_verbose {
            tell_sent(&sent, &image);
        }
    }
    jobs::begin(bridge, identity, request, here, screen, told)
}

/// What it is shown on. Nobody is here to write files for a job that is left alone.
fn screen(run: &Run, format: Option<OsString>) -> Result<Screen, Failure> {
    match &run.watched.output {
        Some(directory) if run.is_detached => Err(Failure::setting(format!(
            "with --detach nobody is here to write files: say `cargo deploy logs -f JOB --output dir={}` afterwards",
            directory.display()
        ))),
        output => Screen::new(format)?.with_files(output.clone()),
    }
}

/// Where it is, or will be when it is built; nothing if it does not build.
fn program(run: &Run) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = &run.exe {
        return Ok(Some(path.clone()));
    }
    Ok(match compile(&run.cargo)? {
        Compiled::Built(path) => Some(path),
        Compiled::Failed => None,
    })
}

/// What was given, and what says how a panic reads: the sentence that it prints tells people to set that in front of the
/// command.
fn environment(run: &Run) -> Vec<(Vec<u8>, Vec<u8>)> {
    let given = &run.given.env;
    let is_given = |name: &str| given.iter().any(|variable| variable.name == name);
    let inherited = BACKTRACES.iter().filter(|name| !is_given(name));
    let inherited = inherited.filter_map(|name| {
        let value = env::var_os(name)?;
        Some((name.as_bytes().to_vec(), value.into_vec()))
    });
    let given = given.iter().filter_map(Variable::here);
    inherited.chain(given).collect()
}

fn tell_sent(sent: &Sent, image: &Image) {
    let (name, kib) = (&image.name, image.content.len() >> 10);
    match sent {
        Sent::Nothing => tell!("cargo deploy: the cluster has {name}, {kib} KiB"),
        Sent::Bytes { count, is_change } => {
            let how = match is_change {
                true => "as a change of an earlier one",
                false => "compressed",
            };
            tell!(
                "cargo deploy: sent {} KiB for {name}, {kib} KiB, {how}",
                count.div_ceil(1024)
            );
        }
    }
}

fn tell_needs(run: &Run, image: &Image) {
    if image.is_certainly_ordinary() && !run.cargo.quiet {
        let place = if run.is_here { "here" } else { "there" };
        tell!(
            "cargo deploy: {} never calls `deploy::init`, and so runs {place} as one process",
            image.name
        );
    }
    if run.cargo.verbose > 0 {
        tell!(
            "cargo deploy: {} needs {}",
            image.name,
            preflight::needs(&image.elf)
        );
    } else if !run.cargo.quiet {
        for library in preflight::strange_libraries(&image.elf) {
            tell!(
                "cargo deploy: {} needs {library}, which each node must have",
                image.name
            );
        }
    }
}

fn arguments(run: &Run, image: &Image) -> Vec<Vec<u8>> {
    let own_name = image.name.clone().into_bytes();
    let rest = run.args.iter().map(|word| word.as_bytes().to_vec());
    [own_name].into_iter().chain(rest).collect()
}

/// What the library of Rust looks at when a program panics.
const BACKTRACES: [&str; 2] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];
/// As cargo has it.
const BUILD_FAILED: i32 = 101;
