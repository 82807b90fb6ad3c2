//! The initial process on this machine, as `--here` asks for: a warden of its own, below this process.
//!
//! It is the hands of `deploy-monitor`, as a warden on a node is, and the master is its head. Packets go between it and the
//! session with the bridge (`line.rs`). It is started with one end of a packet socket as its standard output, because standard
//! input is the person's and the initial process reads it.
//!
//! Deliberately absent: other processes here. What the initial process starts begins on the cluster.
//!
//! # When the connection is lost
//! The master takes the process for lost, as all on a node that is; so it is killed here before, and nothing runs twice.

use crate::{failure::Failure, variable::is_reserved};
use deploy_monitor::{Far, Outpost, Posting, Program, Reported, Tether, Wrap};
use deploy_parcel::talk::Packer;
use deploy_sys::{code, fd, limit, packet, process, tell};
use deploy_wire::job::{JobOrder, JobReport, OpenJob};
use mio::{Interest, Registry, Token, unix::SourceFd};
use nix::{
    poll::{PollFd, PollFlags, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    env,
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// What is to run here.
#[derive(Debug)]
pub struct Plan {
    program: PathBuf,
    /// By that its code is known: nobody has built it anew meanwhile.
    image: u128,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// The warden, from its start until nothing of it is left.
#[derive(Debug)]
pub struct Hands {
    child: Child,
    tether: Tether,
}

impl Plan {
    /// To run this program, which is about to be sent, with these arguments and, beside all variables that are set here, these.
    pub fn new(
        program: &Path,
        args: Vec<OsString>,
        env: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Plan, Failure> {
        wrap()?;
        let text = OsString::from_vec;
        let own = |(name, value)| (text(name), text(value));
        let file = File::open(program).map_err(|error| {
            Failure::launch(format!("cannot start `{}`: {error}", program.display()))
        })?;
        Ok(Plan {
            program: program.to_path_buf(),
            image: code::image_in(&file).map_err(Failure::launch)?,
            args,
            env: env.into_iter().map(own).collect(),
        })
    }
}

impl Hands {
    /// Starts it; it begins nothing before it is told to.
    pub fn start(plan: Plan) -> Result<Hands, Failure> {
        let (socket, theirs) = packet::pair().map_err(Failure::internal)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("cargo-deploy")
            .arg(WORD)
            .arg(plan.image.to_string())
            .arg(plan.program)
            .args(plan.args)
            .envs(plan.env)
            .stdout(Stdio::from(theirs));
        Ok(Hands {
            child: command.spawn().map_err(Failure::internal)?,
            tether: Tether::new(socket),
        })
    }

    /// Has a poll tell when it has something, or room.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let raw = self.tether.as_fd().as_raw_fd();
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&raw), token, both)
    }

    /// Passes an order on.
    pub fn order(&mut self, order: JobOrder, file: Option<Vec<u8>>) -> Result<(), String> {
        self.tether.order(order, file, Vec::new())
    }

    /// The next that it reports; nothing, if there is nothing now.
    pub fn hear(&mut self) -> Result<Option<Reported>, String> {
        self.tether.hear()
    }

    /// A signal came to us alone, and is meant for the job: it is the one who passes such on.
    pub fn signal(&self, signal: i32) {
        if let Ok(signal) = Signal::try_from(signal) {
            // It is not reaped, so it is nobody else; and if it has ended, so has what the signal was for.
            let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
        }
    }

    /// Reads on until it has closed its end. False if that takes too long.
    fn drain(&mut self) -> bool {
        loop {
            match self.tether.hear() {
                Ok(Some(_)) => {}
                Err(_) => return true,
                Ok(None) => {
                    let mut polled = [PollFd::new(self.tether.as_fd(), PollFlags::POLLIN)];
                    if !matches!(poll(&mut polled, PATIENCE_MS), Ok(1..)) {
                        return false;
                    }
                }
            }
        }
    }
}

/// Nothing runs on here without us.
impl Drop for Hands {
    fn drop(&mut self) {
        // It may have been told before, and have ended.
        let _ = self.tether.order(JobOrder::Close, None, Vec::new());
        if !self.drain() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Serves as such a warden, if this process was started as one; the code to exit with.
pub fn serve_if_asked() -> Option<i32> {
    let mut words = env::args_os().skip(1);
    if words.next()? != WORD {
        return None;
    }
    let image = words.next()?.into_string().ok()?.parse().ok()?;
    let program: Vec<OsString> = words.collect();
    Some(match serve(image, program) {
        Ok(()) => 0,
        Err(error) => {
            tell!("cargo deploy: the process here could not be looked after: {error}");
            Failure::internal(error).code()
        }
    })
}

/// The first of the words is the program, and the others are its arguments.
fn serve(image: u128, words: Vec<OsString>) -> io::Result<()> {
    process::die_with_parent()?;
    let socket = fd::raise(io::stdout().as_fd().try_clone_to_owned()?)?;
    let mut bytes = Vec::new();
    if packet::receive(socket.as_fd(), &mut bytes)?.is_none() {
        return Ok(()); // There was no job for it.
    }
    let open = match JobOrder::decode(&bytes) {
        Ok(JobOrder::Open(open)) => *open,
        Ok(JobOrder::Close) => return Ok(()),
        _ => return Err(io::Error::other("the first order is not Open")),
    };
    let mut packer = Packer::default();
    let mut far = Far::new(socket, true).packing(move |bytes, now| packer.pack(bytes, now));
    // It stays open, under this number, to be executed from.
    let program = File::open(words.first().map_or("".as_ref(), Path::new));
    let program = program.and_then(|file| fd::raise(file.into()));
    let posted = match program.map(File::from) {
        Ok(program) => post(open, image, &program, words).map(|outpost| (outpost, program)),
        Err(error) => Err(explain(&error)),
    };
    match posted {
        Ok((outpost, _program)) => {
            far.report(&JobReport::Opened, None);
            outpost.run(&mut far)?;
            far.report(&JobReport::Closed, None);
        }
        Err(why) => far.report(&JobReport::Failed { why }, None),
    }
    far.finish()
}

fn post(
    open: OpenJob,
    image: u128,
    program: &File,
    words: Vec<OsString>,
) -> Result<Outpost, String> {
    if code::image_in(program).map_err(|error| explain(&error))? != image {
        return Err("the program was built anew since it was sent: start it again".to_string());
    }
    let exe = PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd()));
    let is_free = |(name, _): &(OsString, OsString)| !is_reserved(name.as_bytes());
    let outpost = Outpost::new(Posting {
        program: Program {
            exe,
            args: words,
            env: env::vars_os().filter(is_free).collect(),
            wrap: wrap().map_err(|failure| failure.to_string())?,
            initial_worker: String::new(),
        },
        job: open.job,
        image,
        key: None,
        is_at_home: true,
        stdout_is_terminal: open.stdout_is_terminal,
        stderr_is_terminal: open.stderr_is_terminal,
    });
    outpost.map_err(|error| explain(&error))
}

/// As for a program that is run alone, but that it is the only process here.
fn wrap() -> Result<Option<Wrap>, Failure> {
    let setting = |name| env::var(name).ok().filter(|text| !text.is_empty());
    let Some(command) = setting("DEPLOY_WRAP") else {
        return Ok(None);
    };
    if let Some(worker) = setting("DEPLOY_WRAP_WORKER") {
        return Err(Failure::setting(format!(
            "DEPLOY_WRAP_WORKER is {worker:?}, and with --here only the first process runs here: unset it to wrap that one"
        )));
    }
    let wrap = Wrap::parse(&command, None);
    wrap.map(Some).map_err(Failure::setting)
}

fn explain(error: &io::Error) -> String {
    format!("it could not be started here: {}", limit::explain(error))
}

/// The word on the command line that makes this program one.
const WORD: &str = "--as-the-warden-here";
/// It kills what is left and hears that that has ended: far longer than that takes.
const PATIENCE_MS: u16 = 3_000;
