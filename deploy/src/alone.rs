//! The program run alone: a fabric of one node, embedded in its first process.
//!
//! This process never runs the user's code behind `init`. It is the monitor of the job and stands between its processes
//! and the terminal, in the shell's process group like all of them; it ends when the last of them has.

use deploy_bridge::{Options, Terminal};
use deploy_monitor::{Audience, Channels, Config, Monitor, MonitorError, Program, Wrap};
use deploy_sys::{code, fd, limit, random, signal, tell};
use deploy_wire::{
    code::OwnCode,
    event::{Event, Stream},
    pid::Job,
    resources::Resources,
};
use std::{
    env,
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
    time::Instant,
};

/// Runs the program to its end and ends as it ended.
pub(crate) fn run(resources: Resources) -> ! {
    let code = match try_run(resources) {
        Ok(code) => code,
        Err((code, why)) => {
            tell!("deploy: {why}");
            code.number()
        }
    };
    std::process::exit(code)
}

type Failure = (OwnCode, String);

fn try_run(resources: Resources) -> Result<i32, Failure> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let terminals = (stdout.is_terminal(), stderr.is_terminal());
    let together = fd::same_file(stdout.as_fd(), stderr.as_fd());
    let options = Options::from_env(|name| env::var_os(name), terminals.0, terminals.1, together)
        .map_err(|error| (OwnCode::Setting, error.to_string()))?;
    let config = Config {
        program: program()?,
        job: Job::from_bits(random::bits().map_err(internal)?),
        image: code::image().map_err(internal)?,
        node: NODE.to_string(),
        capacity: capacity()?,
        resources,
        channels: channels()?,
        stdout_is_terminal: terminals.0,
        stderr_is_terminal: terminals.1,
    };
    let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(File::from);
    let (stdout, stderr) = (
        own(&stdout).map_err(internal)?,
        own(&stderr).map_err(internal)?,
    );
    let monitor =
        Monitor::new(config).map_err(|error| (OwnCode::Launch, limit::explain(&error)))?;
    let waker = monitor.waker();
    let wake = move || {
        // It fails only for want of kernel memory, and then the loop asks again with the next event.
        let _ = waker.wake();
    };
    let mut ears = Ears(Terminal::new(options, stdout, stderr, wake).map_err(internal)?);
    let outcome = monitor.run(&mut ears).map_err(|error| match error {
        MonitorError::NeverFits { .. } => (OwnCode::NeverFits, error.to_string()),
        _ => (OwnCode::Launch, error.to_string()),
    })?;
    let verdict = ears.0.finish();
    if let Some(signal) = outcome.interrupted {
        signal::reraise(signal); // So that the shell sees what it would see of a plain program.
    }
    if let Some(worker) = &outcome.unmet_wrap {
        tell!(
            "deploy: DEPLOY_WRAP_WORKER is {worker:?}, and no process ran a function of that name: nothing was wrapped"
        );
    }
    if let Some(word) = &verdict.last_word {
        tell!("deploy: {word}");
    }
    for broken in &verdict.broken {
        if broken.error.kind() == io::ErrorKind::BrokenPipe {
            continue; // A reader that has seen enough.
        }
        tell!("deploy: {broken}");
        if verdict.exit_code == 0 {
            return Ok(OwnCode::Output.number()); // A program that failed says more by its own code.
        }
    }
    Ok(verdict.exit_code.into())
}

/// The terminal, as the monitor's audience.
struct Ears(Terminal);

impl Audience for Ears {
    fn handle_event(&mut self, event: Event, now: Instant) {
        self.0.handle_event(event, now);
    }

    fn is_full(&self) -> bool {
        self.0.is_full()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn wants(&self, stream: Stream) -> bool {
        self.0.wants(stream)
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.0.buffer()
    }
}

/// This program, to be executed again, with the arguments and the environment that it has now.
fn program() -> Result<Program, Failure> {
    Ok(Program {
        exe: "/proc/self/exe".into(),
        args: env::args_os().collect(),
        env: env::vars_os().collect(),
        wrap: wrap()?,
        initial_worker: initial_worker(),
    })
}

/// What people call what the initial process runs: `hello::main`.
fn initial_worker() -> String {
    let exe = env::current_exe().ok();
    let stem = exe
        .as_deref()
        .and_then(|path| path.file_stem())
        .map(|stem| stem.to_string_lossy());
    format!("{}::main", stem.unwrap_or_default().replace('-', "_"))
}

/// `DEPLOY_WRAP='gdb --args'` and `DEPLOY_WRAP_WORKER=worker`.
fn wrap() -> Result<Option<Wrap>, Failure> {
    let Some(command) = setting("DEPLOY_WRAP")? else {
        return Ok(None);
    };
    let wrap = Wrap::parse(&command, setting("DEPLOY_WRAP_WORKER")?);
    wrap.map(Some).map_err(|why| (OwnCode::Setting, why))
}

/// `DEPLOY_CAPACITY='4GiB 2'`: the memory and the cores that this machine counts, and GPUs as a third word.
fn capacity() -> Result<Option<Resources>, Failure> {
    let Some(text) = setting("DEPLOY_CAPACITY")? else {
        return Ok(None);
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mem, cpu, gpu) = match words[..] {
        [mem, cpu] => (mem, cpu, "0"),
        [mem, cpu, gpu] => (mem, cpu, gpu),
        _ => {
            let why =
                format!("DEPLOY_CAPACITY is {text:?}: set it to memory and cores, as in '4GiB 2'");
            return Err((OwnCode::Setting, why));
        }
    };
    let wrong = |why: String| {
        (
            OwnCode::Setting,
            format!("DEPLOY_CAPACITY is {text:?}: {why}"),
        )
    };
    Ok(Some(Resources {
        mem: mem.parse().map_err(|error| wrong(format!("{error}")))?,
        cpu: cpu.parse().map_err(|error| wrong(format!("{error}")))?,
        gpu: gpu
            .parse()
            .map_err(|_| wrong(format!("{gpu:?} is not a number of GPUs")))?,
    }))
}

/// `DEPLOY_CHANNELS=tcp`: what processes say to each other goes as it would between two machines. For tests and
/// measurement: nothing is gained by it on one machine. (What `sockets` and `memory` mean is for the processes themselves.)
fn channels() -> Result<Channels, Failure> {
    match setting("DEPLOY_CHANNELS")?.as_deref() {
        None | Some("sockets" | "memory") => Ok(Channels::Sockets),
        Some("tcp") => Ok(Channels::Tcp { encrypted: true }),
        Some("tcp-plain") => Ok(Channels::Tcp { encrypted: false }),
        Some(other) => {
            let why = format!(
                "DEPLOY_CHANNELS is {other:?}: leave it unset, or set it to 'tcp' or, without encryption, 'tcp-plain'; or, on one machine, to 'sockets' \
                or 'memory' alone"
            );
            Err((OwnCode::Setting, why))
        }
    }
}

fn setting(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err((OwnCode::Setting, format!("{name} is not UTF-8")))
        }
    }
}

fn internal(error: io::Error) -> Failure {
    let why = limit::explain(&error);
    (
        OwnCode::Internal,
        format!("this program could not begin: {why}"),
    )
}

/// The one node there is.
const NODE: &str = "local";
