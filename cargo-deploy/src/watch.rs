//! A job from its start to its end, as the person at this terminal sees it.
//!
//! One thread for what comes from the cluster (`line.rs`), one for standard input, one for signals, one for each of our
//! two streams (the bridge's), one that looks for the way back when the connection is lost (`back.rs`); they all tell this
//! loop, which decides.
//!
//! # Credit
//! What came is granted again once the writers have room. They hold at most a few MiB before they are full, so whoever
//! reads slowly stops the job's writers, and nobody else.
//!
//! # A reader that has seen enough
//! As in `.. | head`. When our own write fails the job is told that nobody reads this stream, and whoever writes to it there
//! gets SIGPIPE or an error, as a program run alone would. Who only looks on ends.
//!
//! # A terminal that goes away
//! Nobody has asked anything of the job: we end as by SIGHUP, which may come later than the error of a write or the end of the
//! input, and the job goes on as when the connection is lost.

mod conclusion;

use crate::{
    back::{Back, Errand},
    failure::Failure,
    files::Files,
    here::Hands,
    interrupts::{self, Interrupts, Meaning},
    line::{Heard, Line},
    screen::Screen,
    stdin::{self, Input},
};
use deploy_bridge::Terminal;
use deploy_sys::{
    signal::{self, Caught},
    tell,
};
use deploy_trust::session::Session;
use deploy_wire::{
    client::{Answer, Ask, CREDIT_BYTES_FIRST, Position},
    event::{Event, Stream},
    exit::ExitStatus,
    pid::Pid,
};
use nix::libc::{SIGHUP, SIGKILL, SIGTSTP};
use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

/// What the loop is told.
enum Told {
    /// By the cluster, on the connection of this number.
    Heard(u32, Heard),
    /// By who looked for the way back.
    Back(Result<Back, Failure>),
    /// By a person or the system.
    Signal(Caught),
    /// By a writer: it has room again, or is broken.
    Written,
    /// By who reads: the terminal has gone.
    Hangup,
}

/// Ready for a job.
pub struct Watch {
    terminal: Terminal,
    /// Below which there are to be files.
    directory: Option<PathBuf>,
    files: Option<Files>,
    is_for_a_person: bool,
    /// Whether standard output and standard error were terminals.
    terminals: (bool, bool),
    interrupts: Interrupts,
    teller: Sender<Told>,
    told: Receiver<Told>,
    /// From now on a signal has its usual effect.
    is_over: Arc<AtomicBool>,
    input: Arc<Input>,
    /// What has the initial process here, until it is given to the first connection.
    hands: Option<Hands>,
    /// Whether that is on its connection: then it is told what is signalled, and tells the cluster.
    is_here: bool,
    /// How many connections there were before this one.
    line_number: u32,
    /// Nothing while the way back is looked for.
    line: Option<Line>,
    /// What is to be said when there is a connection again.
    unsaid: Vec<Ask>,
    /// What comes next.
    position: Position,
    /// Output that came and was not granted again.
    owed: u64,
    /// Output that was not kept and is not told yet.
    missed: u64,
    initial: Option<Pid>,
    initial_end: Option<ExitStatus>,
    /// The streams that nobody reads any more.
    unread: BTreeSet<Stream>,
}

/// How the loop ended.
enum End {
    Finished,
    /// The job goes on, and all that there was so far was told.
    SoFar,
    Refused(u8, String),
    Lost(String),
    /// The reader of what we write has seen enough, and we only looked on.
    Enough,
}

impl Watch {
    /// Starts the writers. With `has_job` signals are the job's from now on; else they have their usual effect.
    pub fn prepare(screen: Screen, has_job: bool) -> Result<Watch, Failure> {
        let (teller, told) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(File::from);
        let stdout = own(&io::stdout()).map_err(Failure::internal)?;
        let stderr = own(&io::stderr()).map_err(Failure::internal)?;
        // Where nobody listens any more, nothing is to be told.
        let wake = teller.clone();
        let wake = move || drop(wake.send(Told::Written));
        let terminal = Terminal::new(screen.options, stdout, stderr, wake);
        if has_job {
            let caught = teller.clone();
            let caught = move |signal| drop(caught.send(Told::Signal(signal)));
            interrupts::listen(is_over.clone(), caught).map_err(Failure::internal)?;
        }
        Ok(Watch {
            terminal: terminal.map_err(Failure::internal)?,
            is_for_a_person: screen.is_for_a_person(),
            terminals: screen.terminals,
            directory: screen.directory,
            files: None,
            interrupts: Interrupts::default(),
            teller,
            told,
            is_over,
            input: Arc::default(),
            hands: None,
            is_here: false,
            line_number: 0,
            line: None,
            unsaid: Vec::new(),
            position: Position::default(),
            owed: 0,
            missed: 0,
            initial: None,
            initial_end: None,
            unread: BTreeSet::new(),
        })
    }

    /// The job's initial process will run here, looked after by these.
    pub fn have_hands(&mut self, hands: Hands) {
        self.hands = Some(hands);
        self.is_here = true;
    }

    /// Whether it will.
    pub fn has_hands(&self) -> bool {
        self.is_here
    }

    /// Shows the job that this session is attached to, to its end, and ends as it ended; returns the code to exit with.
    /// `input` is how much standard input the job had before.
    pub fn watch(mut self, session: Session, errand: &Errand, input: u64) -> Result<i32, Failure> {
        if let Some(directory) = &self.directory {
            let files = Files::new(directory, errand.job)?;
            if self.is_for_a_person {
                let place = files.directory().display();
                tell!("cargo deploy: what each process prints goes to files in {place} too");
            }
            self.files = Some(files);
        }
        self.start_line(session)?;
        if errand.is_owner && !self.is_here {
            self.input.begin_at(input);
            let hangup = self.teller.clone();
            // Where nobody listens any more, nothing is to be told.
            let tell = move || drop(hangup.send(Told::Hangup));
            stdin::read_into(self.input.clone(), tell).map_err(Failure::internal)?;
        }
        let end = self.follow(errand)?;
        if let (true, Some(line)) = (self.is_here, self.line.take()) {
            line.wait(); // Until nothing is left here.
        }
        self.is_over.store(true, Ordering::SeqCst);
        self.conclude(end, errand)
    }

    fn start_line(&mut self, session: Session) -> Result<(), Failure> {
        self.line_number += 1;
        let number = self.line_number;
        let heard = self.teller.clone();
        let tell = move |what| heard.send(Told::Heard(number, what)).is_ok();
        let hands = self.hands.take();
        let line = Line::start(session, self.input.clone(), hands, tell);
        let line = line.map_err(Failure::internal)?;
        for ask in self.unsaid.drain(..) {
            line.say(ask);
        }
        self.line = Some(line);
        Ok(())
    }

    fn follow(&mut self, errand: &Errand) -> Result<End, Failure> {
        loop {
            let told = self.next();
            let now = Instant::now();
            match told {
                Some(Told::Heard(number, heard)) if number == self.line_number => {
                    if let Some(end) = self.handle_heard(heard, errand, now)? {
                        return Ok(end);
                    }
                }
                Some(Told::Back(Ok(back))) => self.handle_back(back, now)?,
                Some(Told::Back(Err(failure))) => return Ok(End::Lost(failure.to_string())),
                Some(Told::Signal(caught)) => {
                    if let Some(end) = self.handle_signal(caught, now) {
                        return Ok(end);
                    }
                }
                Some(Told::Hangup) => signal::reraise(SIGHUP),
                Some(Told::Heard(..) | Told::Written) | None => {}
            }
            if self.terminal.poll_timeout().is_some_and(|at| at <= now) {
                self.terminal.handle_timeout(now);
            }
            if self.look_at_readers() && !errand.is_owner {
                return Ok(End::Enough);
            }
            self.grant();
        }
    }

    fn handle_heard(
        &mut self,
        heard: Heard,
        errand: &Errand,
        now: Instant,
    ) -> Result<Option<End>, Failure> {
        match heard {
            Heard::Answer(answer) => Ok(self.handle_answer(answer, now)),
            Heard::Lost(why) => {
                self.line = None;
                self.is_here = false;
                let (address, patience) = (&errand.identity.address, errand.patience().as_secs());
                self.note_line(
                    format!(
                        "the connection to {address} is lost ({why}): trying again for {patience} s"
                    ),
                    now,
                );
                let teller = self.teller.clone();
                // Where nobody listens any more, nothing is to be told.
                let tell = move |back| drop(teller.send(Told::Back(back)));
                let going = errand.clone().go_back(self.position, tell);
                going.map_err(Failure::internal)?;
                Ok(None)
            }
        }
    }

    fn handle_back(&mut self, back: Back, now: Instant) -> Result<(), Failure> {
        self.note_line("connected again".to_string(), now);
        // Output before this connection was paid for when it was lost.
        self.owed = 0;
        self.input.send_again_from(back.input);
        self.start_line(*back.session)
    }

    fn handle_signal(&mut self, caught: Caught, now: Instant) -> Option<End> {
        match self.interrupts.handle(caught, now) {
            Meaning::PassOn(SIGKILL) | Meaning::Again(_) if self.line.is_none() => {
                return Some(End::Lost("you did not want to wait for it".to_string()));
            }
            Meaning::PassOn(signal) | Meaning::Again(signal)
                if self.is_here && signal != SIGKILL =>
            {
                // What the terminal's keys send has reached it, too, and it says so.
                if let Some(line) = self.line.as_ref().filter(|_| !caught.from_kernel) {
                    line.signal(signal);
                }
            }
            Meaning::PassOn(signal) | Meaning::Again(signal) => {
                if self.line.is_none() {
                    self.note(UNHEARD.to_string(), now);
                }
                self.say(Ask::Signal { signal });
            }
            Meaning::Leave(signal) => signal::reraise(signal),
            Meaning::Stop => {
                if let Some(line) = &self.line {
                    line.stop_within(STOP_PATIENCE);
                }
                // If it cannot be caught again, the next Ctrl-Z stops us without a word.
                let _ = signal::let_pass(SIGTSTP);
                if let Some(line) = &self.line {
                    line.go_on();
                }
            }
        }
        None
    }

    /// Says something now, or when there is a connection again.
    fn say(&mut self, ask: Ask) {
        match &self.line {
            Some(line) => line.say(ask),
            None => self.unsaid.push(ask),
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

    fn handle_answer(&mut self, answer: Answer, now: Instant) -> Option<End> {
        match answer {
            Answer::Event { event, sequence } => self.handle_event(event, sequence, now),
            Answer::Missed { bytes } => {
                self.missed += bytes;
                self.position.output += bytes;
            }
            Answer::InputTaken { bytes } => self.input.handle_taken(bytes),
            Answer::Finished => return Some(End::Finished),
            Answer::Done => return Some(End::SoFar),
            Answer::Refused { code, why } => return Some(End::Refused(code, why)),
            // Nothing else was asked.
            _ => {}
        }
        None
    }

    fn handle_event(&mut self, event: Event, sequence: u64, now: Instant) {
        if sequence < self.position.sequence {
            return;
        }
        self.position.sequence = sequence + 1;
        if let Event::Spawned {
            pid, parent: None, ..
        } = event
        {
            self.terminal.handle_event(event, now);
            self.initial = Some(pid);
            return self.tell_missed(now);
        }
        self.tell_missed(now);
        match &event {
            Event::Output { bytes, .. } => {
                self.owed += bytes.len() as u64;
                self.position.output += bytes.len() as u64;
            }
            Event::Exited { pid, status } if self.initial == Some(*pid) => {
                self.initial_end = Some(*status);
            }
            _ => {}
        }
        let files = self.files.as_mut();
        let broken = files.and_then(|files| files.handle_event(&event).map(str::to_string));
        self.terminal.handle_event(event, now);
        if let Some(why) = broken {
            self.note(why, now);
        }
    }

    fn tell_missed(&mut self, now: Instant) {
        if self.missed > 0 && self.initial.is_some() && self.initial_end.is_none() {
            let missed = std::mem::take(&mut self.missed);
            self.note(
                format!("{missed} bytes of the output are not kept any more"),
                now,
            );
        }
    }

    /// A line for the person, below the oldest process that lives: mostly that is the first.
    fn note(&mut self, text: String, now: Instant) {
        match self.oldest() {
            Some(pid) => self.terminal.handle_event(Event::Noted { pid, text }, now),
            None if self.is_for_a_person => tell!("cargo deploy: {text}"),
            None => {} // What programs read has lines of processes only.
        }
    }

    /// The same of the connection. Where nobody lives any more it is told to everybody, as the error is that there may be in
    /// the end: else a job that seems to be over would not end, and nobody knew why.
    fn note_line(&mut self, text: String, now: Instant) {
        match self.oldest() {
            Some(_) => self.note(text, now),
            None => tell!("cargo deploy: {text}"),
        }
    }

    fn oldest(&self) -> Option<Pid> {
        let living = self.terminal.family().living();
        living.map(|(pid, _)| pid).min_by_key(|pid| pid.number())
    }

    /// Looks whether somebody has stopped to read what we write, and says so. True if somebody has.
    fn look_at_readers(&mut self) -> bool {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.terminal.wants(stream) && self.unread.insert(stream) {
                let was_terminal = match stream {
                    Stream::Stdout => self.terminals.0,
                    Stream::Stderr => self.terminals.1,
                };
                if was_terminal && !signal::is_ignored(SIGHUP) {
                    signal::reraise(SIGHUP);
                }
                self.say(Ask::Unread { stream });
            }
        }
        !self.unread.is_empty()
    }

    fn grant(&mut self) {
        if self.owed >= GRANT_MIN && !self.terminal.is_full() && self.line.is_some() {
            let bytes = std::mem::take(&mut self.owed);
            self.say(Ask::Credit { bytes });
        }
    }
}

/// Often enough that the job's writers never wait for it, seldom enough to cost nothing.
const GRANT_MIN: u64 = CREDIT_BYTES_FIRST / 16;
/// What a signal comes to that cannot be passed on now.
const UNHEARD: &str =
    "the job hears of that when there is a connection again; the same once more leaves it";
/// As long as somebody waits for the shell after Ctrl-Z.
const STOP_PATIENCE: Duration = Duration::from_millis(500);
