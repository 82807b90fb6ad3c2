//! What the command line says. Deliberately absent: doing it, and cargo's own flags (`flags.rs`).

use crate::{flags::CargoFlags, variable::Variable, words};
use clap::{Args, Parser, Subcommand, ValueEnum};
use deploy_manual::Manual;
use deploy_wire::{
    code::OwnCode,
    resources::{Cpu, Mem, ParseAmountError, Resources},
};
use serde::Deserialize;
use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// Build a program here and run it on a cluster, as `cargo run` runs it on this machine.
///
/// The program is built by your own cargo, with the flags of `cargo run`, and sent unless the cluster has it already.
/// What its processes write appears here, what is typed here is read by its first process, Ctrl-C stops it, and the
/// exit code is the program's.
#[derive(Parser, Debug)]
#[command(
    name = "cargo-deploy",
    bin_name = "cargo deploy",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "cargo deploy [TARGET] [the flags of cargo run] [-- ARGS]\n       cargo deploy <COMMAND>",
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// Something else than running a program.
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
}

/// A program to run.
#[derive(Args, Debug)]
pub struct Run {
    /// Where: the cluster's HOST:PORT, the name it was saved under, or `local` for this machine. Left out, it is what
    /// deploy.toml says, or the only cluster that you have logged in to.
    #[arg(id = "where", value_name = "TARGET")]
    pub target: Option<String>,
    /// Arguments of the program.
    #[arg(last = true)]
    pub args: Vec<OsString>,
    /// Send this program, which is built already, instead of building one.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["bin", "example", "package"])]
    pub exe: Option<PathBuf>,
    #[command(flatten)]
    pub given: Given,
    /// Run the first process here, with your files, environment, terminal and debugger (DEPLOY_WRAP); what it starts runs
    /// there. When the connection is lost it is ended, as if its machine were lost.
    #[arg(long = "here", conflicts_with_all = ["is_detached", "mem", "cpu", "gpu"])]
    pub is_here: bool,
    /// Print which job it is, and leave: it goes on without a terminal and without standard input. `cargo deploy logs -f
    /// JOB` shows it.
    #[arg(long = "detach")]
    pub is_detached: bool,
    #[command(flatten)]
    pub watched: Watched,
    #[command(flatten)]
    pub cargo: CargoFlags,
}

/// What a program is given on its way.
#[derive(Args, Debug)]
pub struct Given {
    /// Set an environment variable of the program, or pass on the one that is set here. The rest of its environment is
    /// clean. May be given again.
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = Variable::parser(), action = clap::ArgAction::Append)]
    pub env: Vec<Variable>,
    /// Files and directories that the program finds in its directory there, as they lie below the one that you are in.
    /// May be given again.
    #[arg(long, value_name = "PATH", action = clap::ArgAction::Append)]
    pub files: Vec<PathBuf>,
    /// Below which directory the files lie, if not below this one.
    #[arg(skip)]
    pub files_root: Option<PathBuf>,
    #[command(flatten)]
    pub needs: Needs,
}

/// What the first process needs.
#[derive(Args, Debug)]
pub struct Needs {
    /// Memory that the first process needs, such as 2GiB.
    #[arg(long, value_name = "AMOUNT", value_parser = memory)]
    pub mem: Option<Mem>,
    /// Cores that the first process needs, such as 4 or 0.5.
    #[arg(long, value_name = "CORES")]
    pub cpu: Option<Cpu>,
    /// GPUs that the first process needs.
    #[arg(long, value_name = "COUNT")]
    pub gpu: Option<u32>,
}

/// How something is shown.
#[derive(Args, Debug)]
pub struct Shown {
    /// For people, or one JSON object a line; DEPLOY_FORMAT says the same.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FormatName>,
}

/// How a job is shown, and where its output goes beside.
#[derive(Args, Debug)]
pub struct Watched {
    #[command(flatten)]
    pub shown: Shown,
    /// Show identical lines of several processes once, with who said them, as in `[0-6,9] ready`: 0 is the first process,
    /// and the others are numbered as they were started. The same as `--format fold`.
    #[arg(long, conflicts_with = "format")]
    pub fold: bool,
    /// Also write what each process prints to files of its own, unchanged: DIR/JOB/NUMBER-PID.out and .err.
    #[arg(long, value_name = "dir=DIR", value_parser = directory)]
    pub output: Option<PathBuf>,
}

/// The formats by their names.
#[derive(ValueEnum, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum FormatName {
    /// Headers, lines and notes.
    Human,
    /// Identical lines of several processes once.
    Fold,
    /// One JSON object a line.
    Json,
}

/// Something else than running a program.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make yourself known to a cluster, once, with the token that its master printed.
    Login(Login),
    /// Forget who you are in a cluster: it is not tried any more, and only a token lets you in again, as somebody new.
    Logout(Logout),
    /// Show the cluster's machines, and what is free on each.
    Nodes(Listing),
    /// Show your jobs that run.
    Ps(Ps),
    /// End a job, or one process of it.
    Kill(Kill),
    /// Show what a job has printed, also when it is over; the exit code is the job's, if it is over or -f waits for that.
    Logs(Logs),
    /// Go back to a job: show it from its beginning, read standard input for it, and pass on Ctrl-C.
    Attach(Attach),
    /// Say how it came to the ends of a job or of one process.
    Why(Why),
    /// Show the machines and your jobs, again and again, until you press q.
    Top(Top),
    /// Run a program for cargo: as the `runner` of a target in cargo's configuration, so that `cargo run`, `cargo test` and
    /// `cargo bench` run on the cluster.
    Runner(Runner),
    #[command(flatten)]
    Manual(Manual),
}

/// A program that cargo has built and wants run.
#[derive(Args, Debug)]
#[command(after_help = RUNNER_HELP)]
pub struct Runner {
    /// Where: the cluster's HOST:PORT, the name it was saved under, or `local` for this machine. Left out, it is what
    /// deploy.toml says, or the only cluster that you have logged in to.
    pub target: Option<String>,
    /// The program and its arguments, which cargo adds.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
    #[command(flatten)]
    pub given: Given,
}

/// How to become known.
#[derive(Args, Debug)]
pub struct Login {
    /// The token, or `-` to read it from standard input, so that it stays out of the shell's history.
    pub token: String,
    /// Save the cluster under this name as well as its address.
    #[arg(long, value_name = "NAME", value_parser = words::cluster_name)]
    pub name: Option<String>,
    /// Where the cluster is reached from here, if that is not its own address, as through a tunnel.
    #[arg(long, value_name = "HOST:PORT")]
    pub at: Option<String>,
}

/// What to forget.
#[derive(Args, Debug)]
pub struct Logout {
    /// The cluster's HOST:PORT, or a name it was saved under.
    pub target: String,
}

/// What to show of which cluster.
#[derive(Args, Debug)]
pub struct Listing {
    /// The cluster; may be left out if you have logged in to one only.
    pub target: Option<String>,
    #[command(flatten)]
    pub shown: Shown,
}

/// What to end.
#[derive(Args, Debug)]
pub struct Kill {
    /// The job as `ps` shows it, and behind a slash one process of it, if not all.
    #[arg(value_name = "JOB[/PID]")]
    pub what: String,
    /// The cluster; may be left out if you have logged in to one only.
    pub target: Option<String>,
}

/// Which jobs to show.
#[derive(Args, Debug)]
pub struct Ps {
    /// Also those that are over, as far as they are remembered.
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub listing: Listing,
}

/// What to look at.
#[derive(Args, Debug)]
pub struct Top {
    /// The cluster; may be left out if you have logged in to one only.
    pub target: Option<String>,
}

/// What to read.
#[derive(Args, Debug)]
pub struct Logs {
    /// The job as `ps` shows it, or the beginning of that.
    pub job: String,
    /// The cluster; may be left out if you have logged in to one only.
    pub target: Option<String>,
    /// Go on with what happens, to the end of the job.
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub watched: Watched,
}

/// What to go back to.
#[derive(Args, Debug)]
pub struct Attach {
    /// The job as `ps` shows it, or the beginning of that.
    pub job: String,
    /// The cluster; may be left out if you have logged in to one only.
    pub target: Option<String>,
    #[command(flatten)]
    pub watched: Watched,
}

/// What to explain.
#[derive(Args, Debug)]
pub struct Why {
    /// The job as `ps` shows it, and behind a slash one process of it.
    #[arg(value_name = "JOB[/PID]")]
    pub what: String,
    /// The cluster; may be left out if you have logged in to one only.
    pub target: Option<String>,
    #[command(flatten)]
    pub shown: Shown,
}

impl Cli {
    /// As this program was called; or what to exit with, when help was asked for or something is wrong and that was
    /// said.
    pub fn from_command_line() -> Result<Cli, i32> {
        let mut words: Vec<OsString> = env::args_os().collect();
        // Cargo names the subcommand once more.
        if words.get(1).is_some_and(|word| word == "deploy") {
            words.remove(1);
        }
        Cli::try_parse_from(&words).map_err(|error| {
            let error = words::advised(error, words.get(1..).unwrap_or_default());
            let is_mistake = error.use_stderr();
            // If nobody reads it, so be it.
            let _ = error.print();
            if is_mistake {
                OwnCode::Setting.number()
            } else {
                0
            }
        })
    }
}

impl Needs {
    /// As far as that was said.
    pub fn resources(&self) -> Option<Resources> {
        let usual = Resources::default();
        let is_said = self.mem.is_some() || self.cpu.is_some() || self.gpu.is_some();
        is_said.then(|| Resources {
            mem: self.mem.unwrap_or(usual.mem),
            cpu: self.cpu.unwrap_or(usual.cpu),
            gpu: self.gpu.unwrap_or(usual.gpu),
        })
    }
}

impl Runner {
    /// The program, and its arguments.
    pub fn program(&self) -> (&OsStr, &[OsString]) {
        let (program, args) = self.command.split_first().expect("clap asks for it");
        (program, args)
    }
}

impl Shown {
    /// What the flag says, else the variable.
    pub fn word(&self) -> Option<OsString> {
        let flag = self.format.map(|format| format.word().into());
        flag.or_else(|| env::var_os("DEPLOY_FORMAT"))
    }
}

impl Watched {
    /// What the flags say, else the variable.
    pub fn word(&self) -> Option<OsString> {
        match self.fold {
            true => Some(FormatName::Fold.word().into()),
            false => self.shown.word(),
        }
    }
}

impl FormatName {
    /// As DEPLOY_FORMAT has it.
    pub fn word(self) -> &'static str {
        match self {
            FormatName::Human => "human",
            FormatName::Fold => "fold",
            FormatName::Json => "json",
        }
    }
}

/// An amount of memory in which a program can at least begin.
pub fn memory(text: &str) -> Result<Mem, String> {
    let mem: Mem = text
        .parse()
        .map_err(|error: ParseAmountError| error.to_string())?;
    match mem < MEM_LEAST {
        false => Ok(mem),
        true => Err(format!(
            "no program runs in {mem}: say at least {MEM_LEAST}"
        )),
    }
}

/// `dir=DIR`, so that there may be other places one day.
fn directory(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("dir=") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("say a directory, as in dir=results".into()),
    }
}

/// Whoever asks for less has mistaken the unit.
const MEM_LEAST: Mem = Mem::MIB;
/// The target that is this machine.
pub const LOCAL: &str = "local";

const RUNNER_HELP: &str = "\
In the shell, or in .cargo/config.toml as `runner` of [target.x86_64-unknown-linux-gnu]:
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='cargo deploy runner TARGET --'
  cargo test";

const AFTER_HELP: &str = "\
First time:
  cargo deploy login <USER TOKEN>           the token is printed by `fabric master`
  cargo deploy 10.0.0.1:8888 --release      build, send, run

What need not be said each time may stand in a file deploy.toml, here or in a
directory above; flags win:
  target = \"lab\"    env = [\"RUST_LOG=info\", \"LANG\"]    files = [\"data\"]
  mem = \"2GiB\"    cpu = 0.5    gpu = 0    format = \"fold\"

Standard input is read for the program whether it wants it or not, as by ssh:
in a `while read` loop add `< /dev/null`.

Exit codes:
  The program's own; 128 + N after signal N; 101 if the build failed. Of ours:
  70 internal, 71 the program cannot be started, 72 it needs more than any
  machine has, 73 it needs more than is free now, 74 its output could not be
  written, 75 no connection, 78 a wrong flag, setting or login.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::Path;

    fn parse(words: &str) -> Result<Cli, String> {
        let words = ["cargo-deploy"].into_iter().chain(words.split_whitespace());
        Cli::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_target_and_flags_in_any_order() {
        let cli =
            parse("--release lab --bin hello -p a --env A=b=c --env HOME --mem 2GiB -- --x y")
                .unwrap();
        assert_eq!(cli.run.target.as_deref(), Some("lab"));
        assert_eq!(cli.run.args, ["--x", "y"]);
        assert_eq!(
            cli.run.cargo.to_args(),
            ["--package", "a", "--bin", "hello", "--release"]
        );
        let resources = cli.run.given.needs.resources().unwrap();
        assert_eq!((resources.mem, resources.gpu), (2 * Mem::GIB, 0));
        assert_eq!(
            cli.run.given.env[0].value.as_deref(),
            Some(OsStr::new("b=c"))
        );
        assert_eq!(cli.run.given.env[1].value, None);
        assert_eq!(parse("lab").unwrap().run.given.needs.resources(), None);
    }

    #[test]
    fn subcommands_need_no_target() {
        assert!(matches!(
            parse("nodes").unwrap().command,
            Some(Command::Nodes(_))
        ));
        let Some(Command::Kill(kill)) = parse("kill ab12/3fecd01 lab").unwrap().command else {
            panic!("it is no kill");
        };
        assert_eq!(
            (kill.what.as_str(), kill.target.as_deref()),
            ("ab12/3fecd01", Some("lab"))
        );
    }

    #[test]
    fn a_runner_is_given_the_program_by_cargo() {
        let words = "runner --mem 1GiB --env A=b --files data lab --files x.txt -- target/debug/deps/it-0123 --exact name";
        let Some(Command::Runner(runner)) = parse(words).unwrap().command else {
            panic!("it is no runner");
        };
        assert_eq!(runner.target.as_deref(), Some("lab"));
        let (program, args) = runner.program();
        assert_eq!(program, "target/debug/deps/it-0123");
        assert_eq!(args, ["--exact", "name"]);
        assert_eq!(runner.given.files, [Path::new("data"), Path::new("x.txt")]);
        assert_eq!(runner.given.needs.resources().unwrap().mem, Mem::GIB);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for words in [
            "lab --env =x",
            "lab --env 1A=x",
            "lab --env A-B=x",
            "lab --env DEPLOY_BIRTH=3",
            "lab --no-such-flag",
            "lab --mem lots",
            "lab --mem 100",
            "lab --mem 100KiB",
            "lab --exe a --bin b",
            "lab stray",
            "lab --fold --format json",
            "lab --output results",
            "runner lab",
            "login TOKEN --name ps",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
