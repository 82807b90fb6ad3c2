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
    exit::{End, ExitStatus, Reason},
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
            Event::Noted { pid, text } => self.write(note(pid, &text)),
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

fn note(pid: Pid, line: &str) -> String {
    let line = text(line);
    format!(r#"{{"event":"note","pid":"{pid}","text":{line}}}"#)
}

fn exit(pid: Pid, status: ExitStatus) -> String {
    let reason = status.reason().map_or(String::new(), |reason| {
        format!(r#""reason":"{}","#, reason.word())
    });
    let end = match status.end() {
        End::Code(code) => format!(r#""code":{code}"#),
        End::Signal(_) => {
            let name = status.signal_name().unwrap_or_default();
            format!(r#""signal":"{name}""#)
        }
    };
    // Beside the status, which has the same words for every reason.
    let memory = match status.reason() {
        Some(Reason::OutOfMemory(shortage)) => {
            let (limit, peak) = (shortage.limit.bytes(), shortage.peak.bytes());
            format!(r#","memory":{{"limit":{limit},"peak":{peak}}}"#)
        }
        _ => String::new(),
    };
    format!(r#"{{"event":"exit","pid":"{pid}","status":{{{reason}{end}}}{memory}}}"#)
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

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{exit::Shortage, pid::Job, resources::Mem};
    use proptest::prelude::*;
    use serde_json::Value;

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(5), number)
    }

    fn output(stream: Stream, bytes: &[u8]) -> Event {
        let (pid, bytes) = (pid(0), bytes.to_vec());
        Event::Output { pid, stream, bytes }
    }

    fn lines(events: impl IntoIterator<Item = Event>) -> String {
        let mut json = Json::new();
        events
            .into_iter()
            .for_each(|event| json.handle_event(event));
        json.finish();
        let writes = std::iter::from_fn(|| json.poll_write());
        let bytes = writes.flat_map(|write| {
            assert_eq!(write.stream, Stream::Stdout);
            write.bytes
        });
        String::from_utf8(bytes.collect()).unwrap()
    }

    /// The events give these lines, where `A` and `B` stand for the pids.
    fn check(events: impl IntoIterator<Item = Event>, expect: &[&str]) {
        let [a, b] = [0, 1].map(|number| pid(number).to_string());
        let found = lines(events).replace(&a, "A").replace(&b, "B");
        assert_eq!(found.lines().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn lines_are_as_the_contract_has_them() {
        let spawned = |number, parent, resources| Event::Spawned {
            pid: pid(number),
            parent,
            node: "local".into(),
            worker: "hello::main".into(),
            resources,
        };
        let more = Resources {
            mem: 3 * Mem::B,
            cpu: 34 * Cpu::CORE,
            gpu: 2,
        };
        check(
            [
                spawned(0, None, Resources::default()),
                spawned(1, Some(pid(0)), more),
                output(Stream::Stdout, b"hello worker 0!\n"),
                output(Stream::Stderr, b"\0\xff"),
                output(Stream::Stdout, b"\"\\\x1b\x7f\n\n"),
                Event::Noted {
                    pid: pid(0),
                    text: "waits\n".into(),
                },
            ],
            &[
                r#"{"event":"spawn","pid":"A","parent":null,"node":"local","worker":"hello::main","resources":{"mem":268435456,"cpu":0.0625,"gpu":0}}"#,
                r#"{"event":"spawn","pid":"B","parent":"A","node":"local","worker":"hello::main","resources":{"mem":3,"cpu":34,"gpu":2}}"#,
                r#"{"event":"output","pid":"A","fd":1,"text":"hello worker 0!\n"}"#,
                r#"{"event":"output","pid":"A","fd":2,"base64":"AP8="}"#,
                "{\"event\":\"output\",\"pid\":\"A\",\"fd\":1,\"text\":\"\\\"\\\\\\u001b\x7f\\n\\n\"}",
                r#"{"event":"note","pid":"A","text":"waits\n"}"#,
            ],
        );
    }

    #[test]
    fn ends_say_how_and_why() {
        let exited = |status| Event::Exited {
            pid: pid(1),
            status,
        };
        let killed = ExitStatus::new(End::Signal(9));
        let shortage = Shortage {
            limit: 64 * Mem::MIB,
            peak: 63 * Mem::MIB,
        };
        check(
            [
                exited(ExitStatus::new(End::Code(0))),
                exited(killed),
                exited(killed.because(Reason::Killed)),
                exited(killed.because(Reason::OutOfMemory(shortage))),
            ],
            &[
                r#"{"event":"exit","pid":"B","status":{"code":0}}"#,
                r#"{"event":"exit","pid":"B","status":{"signal":"SIGKILL"}}"#,
                r#"{"event":"exit","pid":"B","status":{"reason":"killed","signal":"SIGKILL"}}"#,
                r#"{"event":"exit","pid":"B","status":{"reason":"oom","signal":"SIGKILL"},"memory":{"limit":67108864,"peak":66060288}}"#,
            ],
        );
    }

    #[test]
    fn a_character_cut_in_two_stays_text() {
        let crab = "🦀".as_bytes();
        check(
            [
                output(Stream::Stdout, &crab[..1]),
                output(Stream::Stdout, &crab[1..3]),
                output(Stream::Stderr, b"x"),
                output(Stream::Stdout, &crab[3..]),
                output(Stream::Stdout, &[b'y', crab[0]]),
                Event::Exited {
                    pid: pid(0),
                    status: ExitStatus::new(End::Code(0)),
                },
            ],
            &[
                r#"{"event":"output","pid":"A","fd":2,"text":"x"}"#,
                r#"{"event":"output","pid":"A","fd":1,"text":"🦀"}"#,
                r#"{"event":"output","pid":"A","fd":1,"text":"y"}"#,
                r#"{"event":"output","pid":"A","fd":1,"base64":"8A=="}"#,
                r#"{"event":"exit","pid":"A","status":{"code":0}}"#,
            ],
        );
    }

    #[test]
    fn a_flood_is_cut_into_events_between_characters() {
        let flood = format!("x{}", "é".repeat(OUTPUT_MAX));
        let lines = lines([output(Stream::Stdout, flood.as_bytes())]);
        assert!(
            lines
                .lines()
                .all(|line| line.len() < OUTPUT_MAX + 64 && line.contains("text"))
        );
        assert_eq!(lines.lines().count(), 3);
    }

    fn bytes_of(line: &Value) -> Vec<u8> {
        match (&line["text"], &line["base64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(base64)) => STANDARD.decode(base64).unwrap(),
            _ => panic!("{line} has to have either text or base64"),
        }
    }

    proptest! {
        #[test]
        fn every_byte_comes_back_in_order(
            chunks in proptest::collection::vec(
                (0..3u32, any::<bool>(), prop_oneof![
                    proptest::collection::vec(any::<u8>(), 1..8),
                    "[a-zé日🦀]{1,4}".prop_map(String::into_bytes),
                    Just(vec![0xf0]), Just(vec![0x9f, 0xa6]), Just(vec![0x80]),
                ]),
                0..40,
            ),
        ) {
            let mut written: HashMap<(String, i64), Vec<u8>> = HashMap::new();
            let mut events = Vec::new();
            for (number, first, bytes) in chunks {
                let (pid, stream) = (pid(number), if first { Stream::Stdout } else { Stream::Stderr });
                let fd = stream.descriptor().into();
                written.entry((pid.to_string(), fd)).or_default().extend(&bytes);
                events.push(Event::Output { pid, stream, bytes });
            }
            let status = ExitStatus::new(End::Code(0));
            events.extend((0..3).map(|number| Event::Exited { pid: pid(number), status }));
            let mut read: HashMap<(String, i64), Vec<u8>> = HashMap::new();
            let mut ended = Vec::new();
            for line in lines(events).lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                let pid = line["pid"].as_str().unwrap().to_string();
                prop_assert!(!ended.contains(&pid), "{line} after the end");
                match line["event"].as_str() {
                    Some("exit") => ended.push(pid),
                    _ => read.entry((pid, line["fd"].as_i64().unwrap())).or_default().extend(bytes_of(&line)),
                }
            }
            prop_assert_eq!(read, written);
            prop_assert_eq!(ended.len(), 3);
        }
    }
}
