//! A job's events on their way to a person's terminal: the fold, the formatter and the writers put together, for a loop
//! that tells and asks. It reads nothing, waits for nothing but in [`Terminal::finish`], and knows no process.

use crate::{
    family::Family,
    human::Human,
    json::Json,
    lane::Write,
    options::{Format, Options},
    plain::Plain,
    writer::{Spares, Wake, Writer},
};
use deploy_wire::{
    event::{Event, Stream},
    exit::ExitStatus,
    pid::Pid,
};
use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Shows a job on our own two streams.
///
/// ```
/// use deploy_bridge::{Options, Terminal};
/// use deploy_wire::{event::Event, exit::{End, ExitStatus}, pid::{Job, Pid}};
/// use std::{io, time::Instant};
///
/// let options = Options::from_env(|_| None, false, false, false)?;
/// let mut terminal = Terminal::new(options, io::sink(), io::sink(), || ())?;
/// let pid = Pid::new(Job::from_bits(7), 1);
/// let status = ExitStatus::new(End::Code(3));
/// terminal.handle_event(Event::Exited { pid, status }, Instant::now());
/// assert_eq!(terminal.finish().exit_code, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Terminal {
    family: Family,
    formatter: Formatter,
    /// Where standard output goes, and standard error too if there is no other.
    stdout: Writer,
    stderr: Option<Writer>,
    spares: Arc<Spares>,
    /// When what waits is written, if nothing has it written before.
    due: Option<Instant>,
}

/// What there is to say when all has been shown.
#[derive(Debug)]
pub struct Verdict {
    /// What to exit with.
    pub exit_code: u8,
    /// The end that the exit code comes from, if it is not 0.
    pub first_failure: Option<(Pid, ExitStatus)>,
    /// Who failed first and why, for a person who cannot just have seen it.
    pub last_word: Option<String>,
    /// The streams that took not all of what there was to write.
    pub broken: Vec<Broken>,
}

/// A stream that could no longer be written to.
#[derive(Debug)]
pub struct Broken {
    /// Which; standard output, if both are the same.
    pub stream: Stream,
    /// What writing to it said. `BrokenPipe` is the quiet end of a reader that has seen enough.
    pub error: io::Error,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.stream {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        };
        let error = &self.error;
        write!(
            f,
            "{name} could not be written: {error}; what came after that is lost"
        )
    }
}

impl Terminal {
    /// Shows on these two files what `options` say. If both streams end at the same place, all is written to `stdout`,
    /// so that it stays in order. `wake` is called, by other threads, when [`Terminal::is_full`] or
    /// [`Terminal::wants`] has changed.
    pub fn new(
        options: Options,
        stdout: impl io::Write + Send + 'static,
        stderr: impl io::Write + Send + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Terminal> {
        let spares = Arc::new(Spares::default());
        let wake: Wake = Arc::new(wake);
        let one = options.format == Format::Json || options.layout.together;
        Ok(Terminal {
            family: Family::new(),
            formatter: match options.format {
                Format::Human => Formatter::Human(Human::new(options.layout)),
                Format::Folded => Formatter::Human(Human::folded(options.layout)),
                Format::Json => Formatter::Json(Json::new()),
                Format::Plain => Formatter::Plain(Plain::new()),
            },
            stdout: Writer::new("bridge-stdout", stdout, spares.clone(), wake.clone())?,
            stderr: match one {
                true => None,
                false => Some(Writer::new("bridge-stderr", stderr, spares.clone(), wake)?),
            },
            spares,
            due: None,
        })
    }

    /// Takes in what became known, however full the queues are.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        self.family.handle_event(&event);
        let is_output = matches!(event, Event::Output { .. });
        match &mut self.formatter {
            Formatter::Human(human) => human.handle_event(event, now),
            Formatter::Json(json) => json.handle_event(event),
            Formatter::Plain(plain) => plain.handle_event(event),
        }
        self.queue();
        if is_output {
            self.write();
        } else {
            self.due.get_or_insert(now + NOTES_AFTER);
        }
    }

    /// Whether no more output should be read for now: somebody reads slowly what we write.
    pub fn is_full(&self) -> bool {
        self.stdout.is_full() || self.stderr.as_ref().is_some_and(Writer::is_full)
    }

    /// Whether what processes write to `stream` still goes anywhere.
    pub fn wants(&self, stream: Stream) -> bool {
        !self.writer(stream).is_broken()
    }

    /// When to call [`Terminal::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let shown = match &self.formatter {
            Formatter::Human(human) => human.poll_timeout(),
            Formatter::Json(_) | Formatter::Plain(_) => None,
        };
        shown.into_iter().chain(self.due).min()
    }

    /// Shows what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Formatter::Human(human) = &mut self.formatter {
            human.handle_timeout(now);
            self.queue();
        }
        self.write();
    }

    /// An empty buffer of 256 KiB to read output into, used before if possible.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spares.take()
    }

    /// The processes so far.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// No event follows: blocks until all is written, or cannot be.
    pub fn finish(mut self) -> Verdict {
        match &mut self.formatter {
            Formatter::Human(human) => human.finish(Instant::now()),
            Formatter::Json(json) => json.finish(),
            Formatter::Plain(_) => {}
        }
        self.queue();
        let writers = [
            (Stream::Stdout, Some(self.stdout)),
            (Stream::Stderr, self.stderr),
        ];
        let broken = writers.into_iter().filter_map(|(stream, writer)| {
            let error = writer?.finish().err()?;
            Some(Broken { stream, error })
        });
        let last_word = match &self.formatter {
            Formatter::Human(human) => {
                let word = self.family.last_word();
                word.map(|word| word.sentence(human.is_coloured()))
            }
            Formatter::Json(_) | Formatter::Plain(_) => None,
        };
        Verdict {
            exit_code: self.family.exit_code(),
            first_failure: self.family.first_failure(),
            last_word,
            broken: broken.collect(),
        }
    }

    /// Has the writers write what is queued.
    fn write(&mut self) {
        self.due = None;
        self.stdout.rouse();
        self.stderr.iter().for_each(Writer::rouse);
    }

    fn queue(&mut self) {
        while let Some(Write { stream, bytes }) = self.formatter.poll_write() {
            self.writer(stream).push(bytes);
        }
    }

    fn writer(&self, stream: Stream) -> &Writer {
        match (stream, &self.stderr) {
            (Stream::Stderr, Some(stderr)) => stderr,
            _ => &self.stdout,
        }
    }
}

enum Formatter {
    Human(Human),
    Json(Json),
    Plain(Plain),
}

impl Formatter {
    fn poll_write(&mut self) -> Option<Write> {
        match self {
            Formatter::Human(human) => human.poll_write(),
            Formatter::Json(json) => json.poll_write(),
            Formatter::Plain(plain) => plain.poll_write(),
        }
    }
}

/// How long what is told of processes may wait for company, where many begin and end: to wake the writer for each costs
/// more than to write it. What they print waits for nothing.
const NOTES_AFTER: Duration = Duration::from_millis(1);
