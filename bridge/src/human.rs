//! Events as a person reads them: a pure fold of what happened into what is to be written. No clock, no descriptor, and
//! no colour or control of a process is judged here (see `sanitise`).
//!
//! ```text
//! 3fecd01:                  a header, when the speaker changes
//!     hello worker 0!       its lines, indented where both streams end at the same place
//!     spawned: 9ab0c12      notes
//!     exited: 0
//! ```
//!
//! **Whole lines.** What a process has not ended by a newline is held back, so that no line is cut by another's. A
//! terminal shows it after 50 ms all the same, for it may be a prompt; if somebody else speaks then, the line is ended
//! for it. Anywhere it is written when the process ends, or when it has grown to 64 KiB.
//!
//! **Unchanged bytes.** Where the streams end at two places and one of them is no terminal, the bytes of processes go
//! there as they came. On standard output nothing of ours is between them; on standard error headers and notes are,
//! each on lines of its own.
//!
//! **Folded**, there are no headers: each line stands alone, with who has said it in front (see `fold`).

use crate::{
    fold::{Fold, Line},
    lane::{Lane, Write},
    options::Layout,
    sanitise::{Sanitiser, harmless},
    style::paint,
};
use deploy_wire::{
    event::{Event, Stream},
    pid::Pid,
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    mem,
    time::{Duration, Instant},
};

/// The formatter for people.
#[derive(Debug)]
pub struct Human {
    layout: Layout,
    /// One if the streams end at the same place, else one for each.
    lanes: Vec<Lane>,
    voices: HashMap<(Pid, Stream), Voice>,
    /// When unfinished lines are shown.
    due: BTreeSet<(Instant, Pid, Stream)>,
    /// Through which all goes, if identical lines are to be shown once.
    fold: Option<Box<Fold>>,
    writes: VecDeque<Write>,
}

impl Human {
    /// Before the first event; identical lines of several processes are shown once.
    pub fn folded(layout: Layout) -> Human {
        Human {
            fold: Some(Box::new(Fold::new(layout.stderr.colour))),
            ..Human::new(layout)
        }
    }

    /// Before the first event.
    pub fn new(layout: Layout) -> Human {
        let lane = |stream, headers| Lane {
            stream,
            headers,
            indent: layout.together,
            colour: layout.stderr.colour,
            may_break: headers || layout.stdout.terminal,
            speaker: None,
            open: None,
        };
        let both = || lane(Stream::Stderr, true);
        Human {
            layout,
            lanes: match layout.together {
                true => vec![both()],
                false => vec![lane(Stream::Stdout, false), both()],
            },
            voices: HashMap::new(),
            due: BTreeSet::new(),
            fold: None,
            writes: VecDeque::new(),
        }
    }

    /// Takes in what became known.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Spawned { parent: None, .. } => {}
            Event::Spawned {
                pid, worker, node, ..
            } if self.fold.is_some() => {
                // Which of them is whose child is told by `why`, and nobody reads it of hundreds.
                let text = harmless(&format!("spawned: {worker} on {node}"));
                self.note(pid, &text, now);
            }
            Event::Spawned {
                pid,
                parent: Some(parent),
                ..
            } => {
                let colour = self.layout.stderr.colour;
                let child = paint(&pid.to_string(), pid, colour);
                let text = paint("spawned: ", parent, colour) + &child;
                self.note(parent, &text, now);
            }
            Event::Output { pid, stream, bytes } => self.handle_output(pid, stream, bytes, now),
            Event::Noted { pid, text } => {
                let text = self.painted(pid, &harmless(&text));
                self.note(pid, &text, now);
            }
            Event::Exited { pid, status } => {
                self.end(pid, Stream::Stdout, now);
                self.end(pid, Stream::Stderr, now);
                let text = self.painted(pid, &format!("exited: {status}"));
                self.note(pid, &text, now);
            }
        }
    }

    /// The next bytes to write: in order for each stream, and over both if they end at the same place.
    pub fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    /// When to call [`Human::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let shown = self.due.first().map(|(instant, ..)| *instant);
        let folded = self.fold.as_ref().and_then(|fold| fold.poll_timeout());
        shown.into_iter().chain(folded).min()
    }

    /// Shows the unfinished lines, and those that were gathered, whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(instant, pid, stream)) = self.due.first()
            && instant <= now
        {
            self.due.pop_first();
            let voice = self.voices.get_mut(&(pid, stream));
            let voice = voice.expect("a voice that ends is due no more");
            voice.due = None;
            let text = voice.release();
            self.say(pid, stream, text, now);
        }
        if let Some(fold) = &mut self.fold {
            fold.handle_timeout(now, &mut self.writes);
        }
    }

    /// No event follows: writes what is still held back.
    pub fn finish(&mut self, now: Instant) {
        let mut voices: Vec<_> = self.voices.keys().copied().collect();
        voices.sort();
        for (pid, stream) in voices {
            self.end(pid, stream, now);
        }
        if let Some(fold) = &mut self.fold {
            fold.finish(&mut self.writes);
        }
    }

    /// Whether what is ours is coloured.
    pub(crate) fn is_coloured(&self) -> bool {
        self.layout.stderr.colour
    }

    fn handle_output(&mut self, pid: Pid, stream: Stream, bytes: Vec<u8>, now: Instant) {
        let Layout { together, .. } = self.layout;
        let terminal = match stream {
            Stream::Stdout => self.layout.stdout.terminal,
            Stream::Stderr => self.layout.stderr.terminal,
        };
        let key = (pid, stream);
        let is_open = self.lane(stream).open == Some(key);
        let voice = self.voices.entry(key);
        let voice = voice.or_insert_with(|| Voice::new(terminal));
        // Where lines are ours to form, each is one write; elsewhere bytes are passed on as they came.
        let formed = together || terminal || self.fold.is_some();
        let mut texts = voice.push(bytes, formed);
        voice.follow(&mut texts, formed && !is_open);
        let was_due = voice.due;
        voice.due = match was_due {
            _ if !terminal || voice.held.is_empty() => None,
            Some(instant) if texts.iter().all(Vec::is_empty) => Some(instant),
            _ => Some(now + SHOWN_AFTER),
        };
        if voice.due != was_due {
            let of = |due: Option<Instant>| due.map(|instant| (instant, pid, stream));
            of(was_due).map(|entry| self.due.remove(&entry));
            self.due.extend(of(voice.due));
        }
        for text in texts {
            self.say(pid, stream, text, now);
        }
    }

    /// Nothing more comes from this stream of this process.
    fn end(&mut self, pid: Pid, stream: Stream, now: Instant) {
        if let Some(mut voice) = self.voices.remove(&(pid, stream)) {
            if let Some(instant) = voice.due {
                self.due.remove(&(instant, pid, stream));
            }
            if let Some(sanitiser) = &mut voice.sanitiser {
                sanitiser.finish(&mut voice.held);
            }
            self.say(pid, stream, voice.held, now);
        }
    }

    fn say(&mut self, pid: Pid, stream: Stream, text: Vec<u8>, now: Instant) {
        if text.is_empty() {
            return;
        }
        let index = self.lane_index(stream);
        let Some(fold) = &mut self.fold else {
            return self.lanes[index].say(pid, stream, text, &mut self.writes);
        };
        for text in text.split_inclusive(|byte| *byte == b'\n') {
            let line = Line {
                stream,
                is_note: false,
                text: text.strip_suffix(b"\n").unwrap_or(text).to_vec(),
            };
            fold.handle_line(pid, line, now, &mut self.writes);
        }
    }

    fn note(&mut self, pid: Pid, text: &str, now: Instant) {
        let index = self.lane_index(Stream::Stderr);
        let Some(fold) = &mut self.fold else {
            return self.lanes[index].note(pid, text, &mut self.writes);
        };
        let line = Line {
            stream: Stream::Stderr,
            is_note: true,
            text: text.as_bytes().to_vec(),
        };
        fold.handle_line(pid, line, now, &mut self.writes);
    }

    /// What is said of a process, in its colour; folded, those who share it share one.
    fn painted(&self, pid: Pid, text: &str) -> String {
        let is_coloured = self.layout.stderr.colour && self.fold.is_none();
        paint(text, pid, is_coloured)
    }

    fn lane(&self, stream: Stream) -> &Lane {
        &self.lanes[self.lane_index(stream)]
    }

    fn lane_index(&self, stream: Stream) -> usize {
        match stream {
            Stream::Stderr if !self.layout.together => 1,
            _ => 0,
        }
    }
}

/// One stream of one living process.
#[derive(Debug)]
struct Voice {
    /// The beginning of a line that is held back, less than [`LINE_MAX`] bytes of it.
    held: Vec<u8>,
    /// When it is shown all the same.
    due: Option<Instant>,
    /// What was shown last was the beginning of a line, too.
    unfinished: bool,
    /// What stands before a terminal.
    sanitiser: Option<Sanitiser>,
}

impl Voice {
    fn new(terminal: bool) -> Voice {
        Voice {
            held: Vec::new(),
            due: None,
            unfinished: false,
            sanitiser: terminal.then(Sanitiser::new),
        }
    }

    /// Takes in a chunk; gives back what may be shown now, one part after the other. The chunk itself is one of them
    /// where possible, so that a flood is moved and not copied; if a line has to be one write, its parts are
    /// `joined`.
    fn push(&mut self, bytes: Vec<u8>, joined: bool) -> [Vec<u8>; 2] {
        let mut chunk = self.clean(bytes);
        let lines_len = memchr::memrchr(b'\n', &chunk).map_or(0, |newline| newline + 1);
        let beginning_len = match lines_len {
            0 => self.held.len() + chunk.len(),
            _ => chunk.len() - lines_len,
        };
        if beginning_len >= LINE_MAX {
            self.seam(&mut chunk);
        } else if lines_len == 0 {
            self.held.append(&mut chunk);
            return [Vec::new(), chunk];
        }
        let mut beginning = mem::take(&mut self.held);
        if beginning_len < LINE_MAX {
            self.held.extend_from_slice(&chunk[lines_len..]);
            chunk.truncate(lines_len);
        }
        if joined && !beginning.is_empty() {
            beginning.append(&mut chunk);
        }
        [beginning, chunk]
    }

    /// Keeps track of whether what is shown ends within a line. If somebody else `has_spoken` and it did, a newline of
    /// ours has ended that line, and the one that would end it again is left out.
    fn follow(&mut self, texts: &mut [Vec<u8>], has_spoken: bool) {
        for text in texts.iter_mut().filter(|text| !text.is_empty()) {
            let was_unfinished = mem::replace(&mut self.unfinished, !text.ends_with(b"\n"));
            if was_unfinished && has_spoken && text.starts_with(b"\n") {
                text.remove(0);
            }
        }
    }

    /// What is held back, to be shown now.
    fn release(&mut self) -> Vec<u8> {
        self.unfinished = true;
        let mut text = mem::take(&mut self.held);
        self.seam(&mut text);
        text
    }

    fn clean(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(sanitiser) = &mut self.sanitiser else {
            return bytes;
        };
        let mut clean = Vec::with_capacity(bytes.len());
        sanitiser.clean(&bytes, &mut clean);
        clean
    }

    fn seam(&mut self, text: &mut Vec<u8>) {
        if let Some(sanitiser) = &mut self.sanitiser {
            sanitiser.seam(text);
        }
    }
}

/// Longer than it takes a program to finish a line that it prints in parts, and shorter than people notice.
const SHOWN_AFTER: Duration = Duration::from_millis(50);
/// A line that is longer is written in parts: no memory of ours is spent on programs that print no newlines.
const LINE_MAX: usize = 64 << 10;
