//! How the program is executed again as another of its processes.
//!
//! What a process is told once it runs is its certificate, which is written elsewhere.

use deploy_sys::{
    cgroup::Leaf,
    fd,
    launch::{Launch, Texts},
    limit,
    pidfd::Process,
    process::descriptor_limit,
};
use deploy_wire::{
    birth::{BIRTH_VARIABLE, Cue, Expected},
    event::POOL_OF,
};
use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

/// What is executed, and how.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file: `/proc/self/exe`, to execute the monitor's own program whatever became of the file's name.
    pub exe: PathBuf,
    /// Its arguments, its own name first.
    pub args: Vec<OsString>,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
    /// A program that starts one of the processes in its own way, such as a debugger.
    pub wrap: Option<Wrap>,
    /// What people call the function that the initial process runs.
    pub initial_worker: String,
}

/// A command that is executed with a process's command as its last arguments.
#[derive(Clone, Debug)]
pub struct Wrap {
    /// The command and its own arguments.
    pub command: Vec<OsString>,
    /// The function whose processes it wraps, or the end of its name from a `::` on; the initial process, if none.
    pub worker: Option<String>,
}

/// A program made ready to be executed many times.
#[derive(Debug)]
pub(crate) struct Launcher {
    program: Program,
    plain: Command,
    /// But for the number of the descriptor on which a process finds what it is.
    environment: Vec<CString>,
    /// That number and the whole environment, of every process that runs the same as the one before.
    usual: Option<Usual>,
    signals_blocked: u64,
    /// Whether any process was started by way of the wrapping command.
    has_wrapped: bool,
}

#[derive(Debug)]
struct Usual {
    number: RawFd,
    /// What such a process is called.
    name: String,
    environment: Texts,
}

#[derive(Debug)]
struct Command {
    program: CString,
    arguments: Texts,
}

/// The descriptors that a process is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stdio<'a> {
    /// The monitor's own, if none: then the process has all that the shell left open.
    pub(crate) stdin: Option<BorrowedFd<'a>>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    pub(crate) birth: BorrowedFd<'a>,
}

impl Wrap {
    /// What `DEPLOY_WRAP` says, and `DEPLOY_WRAP_WORKER`.
    ///
    /// # Errors
    /// A sentence, if it is no command.
    pub fn parse(command: &str, worker: Option<String>) -> Result<Wrap, String> {
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| {
            format!("DEPLOY_WRAP is {command:?}: set it to a command, as in 'gdb --args', with every quote closed")
        })?;
        let command = words.into_iter().map(OsString::from).collect();
        Ok(Wrap { command, worker })
    }
}

impl Launcher {
    /// Makes `program` ready.
    pub(crate) fn new(program: Program, signals_blocked: u64) -> io::Result<Launcher> {
        let variable = |(name, value): &(OsString, OsString)| {
            text(&[name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        let environment = program
            .env
            .iter()
            .map(variable)
            .collect::<io::Result<_>>()?;
        let plain = Command::new(program.exe.as_os_str(), &program.args)?;
        let mut launcher = Launcher {
            program,
            plain,
            environment,
            usual: None,
            signals_blocked,
            has_wrapped: false,
        };
        launcher.foretell("")?;
        Ok(launcher)
    }

    /// The processes that are started from now on will run something of this name, most likely: they make themselves ready
    /// for it.
    pub(crate) fn foretell(&mut self, name: &str) -> io::Result<()> {
        if self.usual.as_ref().is_some_and(|usual| usual.name == name) {
            return Ok(());
        }
        let is_useful = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0');
        let expected = is_useful.then(|| Expected {
            signals_blocked: self.signals_blocked,
            name: name.to_string(),
        });
        if let Some(number) = fd::high_number() {
            self.usual = Some(Usual {
                number,
                name: name.to_string(),
                environment: self.environment_with(&birth_variable(number, expected))?,
            });
        }
        Ok(())
    }

    fn environment_with(&self, variable: &str) -> io::Result<Texts> {
        let mut environment = self.environment.clone();
        environment.push(text(variable.as_bytes())?);
        Ok(Texts::new(environment))
    }

    /// Whether a process is started by way of the wrapping command. The initial process runs no `worker`.
    pub(crate) fn wraps(&self, worker: Option<&str>) -> bool {
        let Some(wrap) = &self.program.wrap else {
            return false;
        };
        match (&wrap.worker, worker) {
            (None, worker) => worker.is_none(),
            (Some(name), worker) => worker.is_some_and(|worker| is_named(worker, name)),
        }
    }

    /// The worker that was to be wrapped, if no process ran it.
    pub(crate) fn unmet_wrap(&self) -> Option<&str> {
        let worker = self.program.wrap.as_ref()?.worker.as_deref();
        worker.filter(|_| !self.has_wrapped)
    }

    /// Starts a process, in a group if there is one.
    pub(crate) fn start(
        &mut self,
        is_wrapped: bool,
        stdio: Stdio<'_>,
        group: Option<&Leaf>,
    ) -> io::Result<Process> {
        self.has_wrapped |= is_wrapped;
        let wrapped = match &self.program.wrap {
            Some(wrap) if is_wrapped => Some(Command::wrapped(wrap, &self.program)?),
            _ => None,
        };
        let command = wrapped.as_ref().unwrap_or(&self.plain);
        let own;
        let inherits = stdio.stdin.is_none();
        let (kept_as, environment) = match &self.usual {
            // What the shell left open may have that number.
            Some(usual) if !inherits => (Some(usual.number), &usual.environment),
            _ => {
                let variable = birth_variable(stdio.birth.as_raw_fd(), None);
                own = self.environment_with(&variable)?;
                (None, &own)
            }
        };
        let launch = Launch {
            program: &command.program,
            arguments: &command.arguments,
            environment,
            stdin: stdio.stdin,
            stdout: stdio.stdout,
            stderr: stdio.stderr,
            kept: stdio.birth,
            kept_as,
            inherits,
            by: descriptor_of(&self.program.exe),
            signals_blocked: self.signals_blocked,
        };
        match group {
            Some(group) => launch.start_in(group),
            None => launch.start(),
        }
    }
}

impl Command {
    fn new(program: &OsStr, arguments: &[OsString]) -> io::Result<Command> {
        let arguments = arguments.iter().map(|word| text(word.as_bytes()));
        Ok(Command {
            program: text(program.as_bytes())?,
            arguments: Texts::new(arguments.collect::<io::Result<_>>()?),
        })
    }

    /// The wrapping command, followed by the program under a name that means the same to every process: its own, unless
    /// it was deleted or built anew since it began.
    fn wrapped(wrap: &Wrap, program: &Program) -> io::Result<Command> {
        let [first, ..] = &wrap.command[..] else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the wrapping command is empty",
            ));
        };
        let name = match std::fs::canonicalize(&program.exe) {
            Ok(path) => path.into_os_string(),
            Err(_) => OsString::from_vec(format!("/proc/{}/exe", std::process::id()).into_bytes()),
        };
        let own = program.args.iter().skip(1).cloned();
        let words: Vec<_> = wrap
            .command
            .iter()
            .cloned()
            .chain([name])
            .chain(own)
            .collect();
        Command::new(first, &words)
    }
}

/// Why a start failed, for the person who has to do something about it.
///
/// The first process holds some descriptors for each of the others, and has raised its limit as far as it may.
pub(crate) fn explain(error: &io::Error) -> String {
    if error.raw_os_error() != limit::no_descriptor().raw_os_error() {
        return limit::explain(error);
    }
    let hard = match descriptor_limit() {
        Ok(limit) => format!("which is {}", limit.hard),
        Err(_) => "which is too low".to_string(),
    };
    format!(
        "{error}; raise the hard limit on open files (ulimit -Hn), {hard}: \
         the first process takes four or five for each that lives"
    )
}

/// The descriptor of ours by which a program is named, if it is.
fn descriptor_of(exe: &Path) -> Option<RawFd> {
    let number = exe.strip_prefix("/proc/self/fd").ok()?;
    number.to_str()?.parse().ok()
}

fn birth_variable(number: RawFd, expected: Option<Expected>) -> String {
    let cue = Cue {
        number,
        monitor: Some(std::process::id()),
        expected,
    };
    format!("{BIRTH_VARIABLE}={cue}")
}

fn is_named(worker: &str, name: &str) -> bool {
    // A pool's worker is shown by the function that it was started for.
    let worker = worker.strip_prefix(POOL_OF).unwrap_or(worker);
    worker == name
        || worker
            .strip_suffix(name)
            .is_some_and(|before| before.ends_with("::"))
}

/// As the kernel takes them.
pub(crate) fn text(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// Of longer names nothing is foretold: the environment is copied for each process.
const NAME_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn launcher(worker: Option<&str>) -> Launcher {
        let wrap = Wrap {
            command: vec!["env".into()],
            worker: worker.map(str::to_string),
        };
        let program = Program {
            exe: "/proc/self/exe".into(),
            args: vec!["me".into(), "argument".into()],
            env: Vec::new(),
            wrap: Some(wrap),
            initial_worker: "hello::main".into(),
        };
        Launcher::new(program, 0).unwrap()
    }

    #[test]
    fn a_wrap_meets_the_worker_it_names_or_the_initial_process() {
        let check = |wrap, worker, expect| assert_eq!(launcher(wrap).wraps(worker), expect);
        check(None, None, true);
        check(None, Some("hello::worker"), false);
        check(Some("worker"), Some("hello::worker"), true);
        check(Some("hello::worker"), Some("hello::worker"), true);
        check(Some("orker"), Some("hello::worker"), false);
        check(Some("worker"), None, false);
        check(Some("square"), Some("pool of hello::square"), true);
        check(Some("hello::square"), Some("pool of hello::square"), true);
    }

    #[test]
    fn a_wrapped_command_names_the_program_by_its_real_path() {
        let launcher = launcher(None);
        let wrap = launcher.program.wrap.as_ref().unwrap();
        let command = Command::wrapped(wrap, &launcher.program).unwrap();
        let words: Vec<_> = command
            .arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect();
        let exe = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(words, ["env", exe.to_str().unwrap(), "argument"]);
    }
}
