//! A job from its start to its end, as the person at this terminal sees it.
//!
//! One thread for what comes from the cluster (`line.rs`), one for standard input, one for signals, one for each of our
//! two streams (the bridge's); they all tell this loop, which decides.
//!
//! # Credit
//! What came is granted again once the writers have room. They hold at most a few MiB before they are full, so whoever
//! reads slowly stops the job's writers, and nobody else.
//!
//! # A reader that has seen enough
//! As in `.. | head`. A program run alone would get SIGPIPE or an error at its next write. Here the job gets SIGPIPE when
//! our own write fails; what still writes after [`PIPE_PATIENCE`] is killed.

use crate::{
    failure::Failure,
    interrupts::{self, Interrupts, Meaning},
    line::{Heard, Line},
    stdin,
};
use deploy_bridge::{Broken, Format, Options, Terminal};
use deploy_sys::{
    fd,
    signal::{self, Caught},
};
use deploy_trust::session::Session;
use deploy_wire::{
    client::{Answer, Ask, CREDIT_BYTES_FIRST},
    code::OwnCode,
    event::{Event, Stream},
    exit::ExitStatus,
    pid::Pid,
};
use nix::libc::{SIGKILL, SIGPIPE};
use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

/// What our two streams are, and what the person wants to see on them.
pub struct Screen {
    options: Options,
    /// Whether standard output and standard error are terminals.
    pub terminals: (bool, bool),
}

impl Screen {
    /// Looks at them. `format` is the word for human or JSON, if one was said.
    pub fn new(format: Option<OsString>) -> Result<Screen, Failure> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let terminals = (stdout.is_terminal(), stderr.is_terminal());
        let together = fd::same_file(stdout.as_fd(), stderr.as_fd());
        let look_up = |name: &str| match name {
            "DEPLOY_FORMAT" => format.clone(),
            name => env::var_os(name),
        };
        let options = Options::from_env(look_up, terminals.0, terminals.1, together)
            .map_err(Failure::setting)?;
        Ok(Screen { options, terminals })
    }

    /// The same, but that an ordinary program is shown to a person as if it ran here.
    pub fn for_ordinary(mut self) -> Screen {
        if self.options.format == Format::Human {
            self.options.format = Format::Plain;
        }
        self
    }
}

/// What the loop is told.
enum Told {
    /// By the cluster.
    Heard(Heard),
    /// By a person or the system.
    Signal(Caught),
    /// By a writer: it has room again, or is broken.
    Written,
}

/// Ready for a job.
pub struct Watch {
    terminal: Terminal,
    interrupts: Interrupts,
    teller: Sender<Told>,
    told: Receiver<Told>,
    /// From now on a signal has its usual effect.
    is_over: Arc<AtomicBool>,
    /// Output that came and was not granted again.
    owed: u64,
    initial: Option<Pid>,
    initial_end: Option<ExitStatus>,
    pipe_broke: Option<Instant>,
}

/// How the loop ended.
enum End {
    Finished,
    Refused(u8, String),
    Lost(String),
}

impl Watch {
    /// Starts the writers, and catches signals from now on.
    pub fn prepare(screen: Screen) -> Result<Watch, Failure> {
        let (teller, told) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(File::from);
        let stdout = own(&io::stdout()).map_err(Failure::internal)?;
        let stderr = own(&io::stderr()).map_err(Failure::internal)?;
        // Where nobody listens any more, nothing is to be told.
        let wake = teller.clone();
        let wake = move || drop(wake.send(Told::Written));
        let terminal = Terminal::new(screen.options, stdout, stderr, wake);
        let caught = teller.clone();
        let caught = move |signal| drop(caught.send(Told::Signal(signal)));
        interrupts::listen(is_over.clone(), caught).map_err(Failure::internal)?;
        Ok(Watch {
            terminal: terminal.map_err(Failure::internal)?,
            interrupts: Interrupts::default(),
            teller,
            told,
            is_over,
            owed: 0,
            initial: None,
            initial_end: None,
            pipe_broke: None,
        })
    }

    /// Shows the job that runs in this session to its end, and ends as it ended; returns the code to exit with.
    pub fn watch(mut self, session: Session, address: &str) -> Result<i32, Failure> {
        let heard = self.teller.clone();
        let line = Line::start(session, move |what| heard.send(Told::Heard(what)).is_ok());
        let line = line.map_err(Failure::internal)?;
        stdin::forward(line.clone()).map_err(Failure::internal)?;
        let end = self.follow(&line);
        self.is_over.store(true, Ordering::SeqCst);
        let cause = self
            .initial_end
            .and_then(|status| self.interrupts.cause_of(status));
        let verdict = self.terminal.finish();
        match end {
            End::Finished => {}
            End::Refused(code, why) => return Err(Failure::refused(code, why)),
            End::Lost(why) => {
                return Err(Failure::connection(format!(
                    "the connection to the cluster at {address} is lost: {why}; it ends the job when it sees that"
                )));
            }
        }
        let is_lost = |broken: &&Broken| broken.error.kind() != io::ErrorKind::BrokenPipe;
        let lost = verdict.broken.iter().find(is_lost);
        if let Some(broken) = lost {
            eprintln!("cargo deploy: {}", lost_output(broken));
            if verdict.exit_code == 0 || cause == Some(SIGPIPE) {
                return Ok(OwnCode::Output.number());
            }
        }
        if let Some(signal) = cause {
            signal::reraise(signal); // So that the shell sees what it would see of a plain program.
        }
        Ok(verdict.exit_code.into())
    }

    fn follow(&mut self, line: &Line) -> End {
        loop {
            let told = self.next();
            let now = Instant::now();
            match told {
                Some(Told::Heard(Heard::Lost(why))) => return End::Lost(why),
                Some(Told::Heard(Heard::Answer(answer))) => {
                    if let Some(end) = self.handle_answer(answer, line, now) {
                        return end;
                    }
                }
                Some(Told::Signal(caught)) => match self.interrupts.handle(caught, now) {
                    Meaning::PassOn(signal) => line.say(Ask::Signal { signal }),
                    Meaning::Leave(signal) => signal::reraise(signal),
                },
                Some(Told::Written) | None => {}
            }
            if self.terminal.poll_timeout().is_some_and(|at| at <= now) {
                self.terminal.handle_timeout(now);
            }
            self.grant(line);
        }
    }

    /// What is told next; nothing if it is time to show something before.
    fn next(&self) -> Option<Told> {
        let told = match self.terminal.poll_timeout() {
            None => self.told.recv().map_err(RecvTimeoutError::from),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                self.told.recv_timeout(left)
            }
        };
        match told {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a teller ourselves"),
        }
    }

    fn handle_answer(&mut self, answer: Answer, line: &Line, now: Instant) -> Option<End> {
        match answer {
            Answer::Event(event) => self.handle_event(event, line, now),
            Answer::Finished => return Some(End::Finished),
            Answer::Refused { code, why } => return Some(End::Refused(code, why)),
            // Nothing else was asked.
            _ => {}
        }
        None
    }

    fn handle_event(&mut self, event: Event, line: &Line, now: Instant) {
        match &event {
            Event::Spawned {
                pid, parent: None, ..
            } => self.initial = Some(*pid),
            Event::Output { stream, bytes, .. } => {
                self.owed += bytes.len() as u64;
                if !self.terminal.wants(*stream) {
                    self.break_pipe(line, now);
                }
            }
            Event::Exited { pid, status } if self.initial == Some(*pid) => {
                self.initial_end = Some(*status);
            }
            _ => {}
        }
        self.terminal.handle_event(event, now);
    }

    /// Somebody writes what nobody reads.
    fn break_pipe(&mut self, line: &Line, now: Instant) {
        match self.pipe_broke {
            None => {
                self.pipe_broke = Some(now);
                self.interrupts.pass_on(SIGPIPE);
                line.say(Ask::Signal { signal: SIGPIPE });
            }
            Some(broke) if now - broke > PIPE_PATIENCE => {
                line.say(Ask::Signal { signal: SIGKILL });
            }
            Some(_) => {}
        }
    }

    fn grant(&mut self, line: &Line) {
        if self.owed >= GRANT_MIN && !self.terminal.is_full() {
            line.say(Ask::Credit {
                bytes: std::mem::take(&mut self.owed),
            });
        }
    }
}

fn lost_output(broken: &Broken) -> String {
    let name = match broken.stream {
        Stream::Stdout => "standard output",
        Stream::Stderr => "standard error",
    };
    format!(
        "{name} could not be written: {}; what came after that is lost",
        broken.error
    )
}

/// Often enough that the job's writers never wait for it, seldom enough to cost nothing.
const GRANT_MIN: u64 = CREDIT_BYTES_FIRST / 16;
/// Longer than a program takes to end that minds SIGPIPE.
const PIPE_PATIENCE: Duration = Duration::from_secs(1);
