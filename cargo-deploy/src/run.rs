//! `cargo deploy TARGET`: from the sources to the job.

use crate::{
    cli::{Run, Variable},
    clusters,
    compile::{Compiled, compile},
    failure::Failure,
    here::Plan,
    jobs, local,
    preflight::{self, Image},
    session::Bridge,
    settings::Settings,
    upload::{Sent, upload},
    watch::Screen,
};
use deploy_trust::identity::Identity;
use deploy_wire::client::RunRequest;
use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf};

/// What a person wants to hear beside the program.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Not even how far it is.
    pub is_quiet: bool,
    /// Also what is done.
    pub is_verbose: bool,
}

/// Builds, sends, runs and shows; returns the code to exit with.
pub fn run(mut run: Run) -> Result<i32, Failure> {
    // What can be wrong without a build is told before it.
    let settings = Settings::find()?;
    settings.complete(&mut run.given);
    let format = settings.format(&run.watched);
    let place = clusters::place(run.target.as_deref(), &settings)?;
    if let Some(why) = place.why.as_ref().filter(|_| !run.cargo.quiet) {
        eprintln!("cargo deploy: on {}, {why}", place.name);
    }
    let run = &run;
    let Some(identity) = place.identity else {
        return local::run(run, format);
    };
    let screen = screen(run, format)?;
    let Some(path) = program(run)? else {
        return Ok(BUILD_FAILED);
    };
    let env: Vec<_> = run.given.env.iter().filter_map(Variable::here).collect();
    let here = match run.is_here {
        true => Some(Plan::new(&path, run.args.clone(), env.clone())?),
        false => None,
    };
    let image = preflight::look(&path, wants_symbols(run))?;
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
    send_and_show(identity, &all, request, here, screen, told)
}

/// Brings the program and its files to the cluster, has it run and shows it; returns the code to exit with.
pub fn send_and_show(
    identity: Identity,
    all: &[Image],
    request: RunRequest,
    here: Option<Plan>,
    screen: Screen,
    told: Told,
) -> Result<i32, Failure> {
    let mut bridge = Bridge::connect(&identity)?;
    for image in all {
        let sent = upload(&mut bridge, image, told.is_quiet)?;
        if told.is_verbose {
            tell_sent(&sent, image);
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

/// Whether something there will look for the names of functions.
fn wants_symbols(run: &Run) -> bool {
    let mut names = run.given.env.iter().map(|variable| &variable.name);
    names.any(|name| SYMBOLS_FOR.iter().any(|wanted| name == wanted))
}

fn tell_sent(sent: &Sent, image: &Image) {
    let (name, kib) = (&image.name, image.bytes.len() >> 10);
    match sent {
        Sent::Nothing => eprintln!("cargo deploy: the cluster has {name}, {kib} KiB"),
        Sent::Bytes { count, is_change } => {
            let how = match is_change {
                true => "as a change of an earlier one",
                false => "compressed",
            };
            eprintln!(
                "cargo deploy: sent {} KiB for {name}, {kib} KiB, {how}",
                count.div_ceil(1024)
            );
        }
    }
}

fn tell_needs(run: &Run, image: &Image) {
    if run.cargo.verbose > 0 {
        eprintln!(
            "cargo deploy: {} needs {}",
            image.name,
            preflight::needs(&image.elf)
        );
    } else if !run.cargo.quiet {
        for library in preflight::strange_libraries(&image.elf) {
            eprintln!(
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

/// Variables by which a program is asked for backtraces, or shown to a debugger.
const SYMBOLS_FOR: [&str; 3] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "DEPLOY_WRAP"];
/// As cargo has it.
const BUILD_FAILED: i32 = 101;
