//! Events as programs read them: one JSON object a line on standard output, and nothing on standard error. Each event
//! is written when it comes; lines of processes are not put together again here.
//!
//! Output is `text` where it is UTF-8 and `base64` elsewhere. So that a character cut in two by a read does not turn
//! its surroundings into base64, the beginning of a character at the end of a chunk waits for the rest, which is at
//! most three bytes.

use crate::lane::Write;
use base64::{Engine, engine::general_purpose::STANDARD};
use deploy_wire::{
    event::{Event, Stream},
    exit::{End, ExitStatus},
    pid::Pid,
    resources::{Cpu, Resources},
};
use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    str,
};

/// The formatter for programs.
#[derive(Default, Debug)]
pub struct Json {
    /// The beginnings of characters that wait for their rest.
    held: HashMap<(Pid, Stream), Vec<u8>>,
    writes: VecDeque<Write>,
}

impl Json {
    /// Before the first event.
    pub fn new() -> Json {
        Json::default()
    }

    /// Takes in what became known.
    pub fn handle_event(&mut self, event: Event) {
        match event {
            Event::Spawned {
                pid,
                parent,
                node,
                worker,
                resources,
            } => self.write(spawn(pid, parent, &node, &worker, resources)),
            Event::Output { pid, stream, bytes } => self.handle_output(pid, stream, bytes),
            Event::Exited { pid, status } => {
                self.end(pid, Stream::Stdout);
                self.end(pid, Stream::Stderr);
                self.write(exit(pid, status));
            }
        }
    }

    /// The next line to write.
    pub fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    /// No event follows: writes what is still held back.
    pub fn finish(&mut self) {
        let mut voices: Vec<_> = self.held.keys().copied().collect();
        voices.sort();
        for (pid, stream) in voices {
            self.end(pid, stream);
        }
    }

    fn handle_output(&mut self, pid: Pid, stream: Stream, bytes: Vec<u8>) {
        let mut joined = self.held.remove(&(pid, stream)).unwrap_or_default();
        let mut rest: &[u8] = match joined.is_empty() {
            true => &bytes,
            false => {
                joined.extend_from_slice(&bytes);
                &joined
            }
        };
        while rest.len() > OUTPUT_MAX {
            let cut = OUTPUT_MAX - beginning_len(&rest[..OUTPUT_MAX]);
            self.write(output(pid, stream, &rest[..cut]));
            rest = &rest[cut..];
        }
        let (whole, beginning) = rest.split_at(rest.len() - beginning_len(rest));
        if !whole.is_empty() {
            self.write(output(pid, stream, whole));
        }
        if !beginning.is_empty() {
            self.held.insert((pid, stream), beginning.to_vec());
        }
    }

    /// Nothing more comes from this stream of this process.
    fn end(&mut self, pid: Pid, stream: Stream) {
        if let Some(bytes) = self.held.remove(&(pid, stream)) {
            self.write(output(pid, stream, &bytes));
        }
    }

    fn write(&mut self, mut line: String) {
        line.push('\n');
        let (stream, bytes) = (Stream::Stdout, line.into_bytes());
        self.writes.push_back(Write { stream, bytes });
    }
}

fn spawn(pid: Pid, parent: Option<Pid>, node: &str, worker: &str, resources: Resources) -> String {
    let parent = parent.map_or("null".to_string(), |parent| format!("\"{parent}\""));
    let (node, worker) = (text(node), text(worker));
    let Resources { mem, cpu, gpu } = resources;
    let mem = mem.bytes();
    let cpu = cpu.millionths() as f64 / Cpu::CORE.millionths() as f64;
    format!(
        r#"{{"event":"spawn","pid":"{pid}","parent":{parent},"node":{node},"worker":{worker},"resources":{{"mem":{mem},"cpu":{cpu},"gpu":{gpu}}}}}"#
    )
}

fn output(pid: Pid, stream: Stream, bytes: &[u8]) -> String {
    let fd = stream.descriptor();
    let mut line = String::with_capacity(64 + bytes.len() * 4 / 3);
    let _ = write!(line, r#"{{"event":"output","pid":"{pid}","fd":{fd},"#);
    match str::from_utf8(bytes) {
        Ok(utf8) => {
            line += r#""text":"#;
            line += &text(utf8);
        }
        Err(_) => {
            line += r#""base64":""#;
            STANDARD.encode_string(bytes, &mut line);
            line.push('"');
        }
    }
    line.push('}');
    line
}

fn exit(pid: Pid, status: ExitStatus) -> String {
    let reason = status.reason();
    let reason = reason.map_or(String::new(), |reason| {
        format!(r#""reason":"{}","#, reason.word())
    });
    let end = match status.end() {
        End::Code(code) => format!(r#""code":{code}"#),
        End::Signal(_) => {
            let name = status.signal_name().unwrap_or_default();
            format!(r#""signal":"{name}""#)
        }
    };
    format!(r#"{{"event":"exit","pid":"{pid}","status":{{{reason}{end}}}}}"#)
}

/// A text as JSON has it, in quotes.
fn text(text: &str) -> String {
    serde_json::to_string(text).expect("a text can always be written as JSON")
}

/// How many bytes at the end are the beginning of a character whose rest is missing.
fn beginning_len(bytes: &[u8]) -> usize {
    let longest = bytes.len().min(3);
    let is_beginning = |len: &usize| {
        let error = str::from_utf8(&bytes[bytes.len() - len..]).err();
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=longest).find(is_beginning).unwrap_or(0)
}

/// One event carries no more than this, so that whoever reads lines needs no buffer larger than some hundred KiB.
const OUTPUT_MAX: usize = 64 << 10;
