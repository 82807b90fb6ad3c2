//! One destination and where its cursor stands: whose header was last, and whose line is unfinished. It knows nothing
//! of time, of what is held back, or of what makes a byte harmless.

use crate::style::paint;
use deploy_wire::{event::Stream, pid::Pid};
use std::collections::VecDeque;

/// Bytes that are due on one of our own two streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// On which.
    pub stream: Stream,
    /// What; not empty.
    pub bytes: Vec<u8>,
}

/// A destination: standard output, standard error, or what both of them are.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Where headers, notes and newlines of ours go.
    pub stream: Stream,
    /// Headers and notes are written here.
    pub headers: bool,
    /// The lines of processes are indented, and so told from what is ours.
    pub indent: bool,
    /// What is ours is coloured.
    pub colour: bool,
    /// Somebody else's line may be ended by a newline of ours. Where only bytes of processes go, to a pipe or file, it
    /// may not.
    pub may_break: bool,
    /// Under whose header the cursor is.
    pub speaker: Option<Pid>,
    /// Whose unfinished line the cursor is in.
    pub open: Option<(Pid, Stream)>,
}

impl Lane {
    /// Text of a process: whole lines, and perhaps an unfinished one behind them.
    pub fn say(&mut self, pid: Pid, stream: Stream, text: Vec<u8>, writes: &mut VecDeque<Write>) {
        let continues = self.open == Some((pid, stream));
        if !continues {
            self.turn_to(pid, writes);
        }
        self.open = (text.last() != Some(&b'\n')).then_some((pid, stream));
        let bytes = match self.indent {
            true => indented(&text, continues),
            false => text,
        };
        writes.push_back(Write { stream, bytes });
    }

    /// A line of ours about a process.
    pub fn note(&mut self, pid: Pid, text: &str, writes: &mut VecDeque<Write>) {
        self.turn_to(pid, writes);
        let bytes = format!("{INDENT}{text}\n").into_bytes();
        let stream = self.stream;
        writes.push_back(Write { stream, bytes });
    }

    /// Puts the cursor at the start of a line under the header of `pid`.
    fn turn_to(&mut self, pid: Pid, writes: &mut VecDeque<Write>) {
        let mut ours = String::new();
        if self.open.take().is_some() && self.may_break {
            ours.push('\n');
        }
        if self.headers && self.speaker.replace(pid) != Some(pid) {
            ours += &paint(&format!("{pid}:"), pid, self.colour);
            ours.push('\n');
        }
        if !ours.is_empty() {
            let (stream, bytes) = (self.stream, ours.into_bytes());
            writes.push_back(Write { stream, bytes });
        }
    }
}

/// `text` with the indent before each line, but not before the first if it continues one.
fn indented(text: &[u8], continues: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + text.len() / 8 + INDENT.len());
    let mut at_start = !continues;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if at_start {
            bytes.extend_from_slice(INDENT.as_bytes());
        }
        bytes.extend_from_slice(line);
        at_start = true;
    }
    bytes
}

const INDENT: &str = "    ";
