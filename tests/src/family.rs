//! The family that came, built from a program's JSON lines, and its comparison with the one expected.
//!
//! Siblings are matched as sets: a matching of expected to actual children is looked for, so that ten alike workers
//! and wildcards need no order. Nothing is forgiven that the JSON format promises: one spawn and one exit for each
//! process, all output between them, each parent before its children.

use crate::header::{Ending, Expected};
use crate::pattern::Pattern;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::collections::HashMap;

/// A process that came.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid, as printed.
    pub pid: String,
    /// The path of its function.
    pub worker: String,
    /// How it ended.
    pub end: Ending,
    /// What it wrote to descriptor 1.
    pub out: Vec<u8>,
    /// What it wrote to descriptor 2.
    pub err: Vec<u8>,
    /// What was noted of it, each note a line.
    pub notes: Vec<u8>,
    /// What it spawned, in order.
    pub children: Vec<Process>,
}

/// The initial process with all its descendants; or which promise the lines break.
pub fn parse(lines: &[u8]) -> Result<Process, String> {
    let mut seen = Seen::default();
    for (index, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        seen.take(line).map_err(|why| {
            format!(
                "JSON line {}: {why}: {}",
                index + 1,
                String::from_utf8_lossy(line)
            )
        })?;
    }
    seen.finish()
}

/// What differs; nothing, if the family is the one expected.
pub fn compare(expected: &Expected, actual: &Process) -> Result<(), String> {
    if alike(expected, actual) {
        return Ok(());
    }
    let mut report = String::from("the family is not the one expected.\nExpected:\n");
    show_expected(expected, 1, &mut report);
    report.push_str("Came:\n");
    show_actual(actual, 1, &mut report);
    Err(report)
}

/// Whether the two agree, descendants included.
fn alike(expected: &Expected, actual: &Process) -> bool {
    let named = actual.worker == expected.name
        || (expected.name == "pool_worker" && actual.worker.starts_with("pool of "))
        || actual
            .worker
            .strip_suffix(&expected.name)
            .is_some_and(|path| path.ends_with("::"));
    named
        && expected.end == actual.end
        && expected.out.matches(&actual.out)
        && expected.err.matches(&actual.err)
        && expected.note.matches(&actual.notes)
        && expected.children.len() == actual.children.len()
        && pair_up(actual.children.len(), |e, a| {
            alike(&expected.children[e], &actual.children[a])
        })
}

/// Whether `count` things can each be given another one of `count` that fits (augmenting paths, after Kuhn).
pub(crate) fn pair_up(count: usize, fits: impl Fn(usize, usize) -> bool) -> bool {
    let fits: Vec<Vec<bool>> = (0..count)
        .map(|left| (0..count).map(|right| fits(left, right)).collect())
        .collect();
    let mut taken_by = vec![None; count];
    (0..count).all(|left| place(left, &fits, &mut taken_by, &mut vec![false; count]))
}

/// Finds a place for `left`, moving others where they have another.
fn place(
    left: usize,
    fits: &[Vec<bool>],
    taken_by: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for right in 0..taken_by.len() {
        if !fits[left][right] || tried[right] {
            continue;
        }
        tried[right] = true;
        let free = match taken_by[right] {
            None => true,
            Some(other) => place(other, fits, taken_by, tried),
        };
        if free {
            taken_by[right] = Some(left);
            return true;
        }
    }
    false
}

fn show_expected(process: &Expected, depth: usize, report: &mut String) {
    report.push_str(&format!("{}{process}\n", "  ".repeat(depth)));
    for child in &process.children {
        show_expected(child, depth + 1, report);
    }
}

fn show_actual(process: &Process, depth: usize, report: &mut String) {
    let shown = Expected {
        name: process.worker.clone(),
        end: process.end.clone(),
        out: Pattern::literal(&process.out),
        err: Pattern::literal(&process.err),
        note: Pattern::literal(&process.notes),
        children: Vec::new(),
    };
    report.push_str(&format!("{}{shown}\n", "  ".repeat(depth)));
    for child in &process.children {
        show_actual(child, depth + 1, report);
    }
}

/// The processes so far, in order of birth.
#[derive(Default)]
struct Seen {
    processes: Vec<(Option<usize>, bool, Process)>,
    by_pid: HashMap<String, usize>,
}

impl Seen {
    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        if !line.ends_with(b"\n") {
            return Err("the last line has no end".into());
        }
        let line: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let pid = line["pid"].as_str().ok_or("no pid")?;
        match line["event"].as_str() {
            Some("spawn") => self.spawn(pid, &line),
            Some("output") => {
                let bytes = output_bytes(&line)?;
                let process = self.living(pid)?;
                match line["fd"].as_i64() {
                    Some(1) => process.out.extend(bytes),
                    Some(2) => process.err.extend(bytes),
                    _ => return Err("fd is neither 1 nor 2".into()),
                }
                Ok(())
            }
            Some("note") => {
                let text = line["text"].as_str().ok_or("a note without text")?;
                self.living(pid)?
                    .notes
                    .extend(format!("{text}\n").into_bytes());
                Ok(())
            }
            Some("exit") => {
                let end = ending(&line["status"])?;
                self.living(pid)?.end = end;
                let index = self.by_pid[pid];
                self.processes[index].1 = true;
                Ok(())
            }
            _ => Err("an unknown event".into()),
        }
    }

    fn spawn(&mut self, pid: &str, line: &Value) -> Result<(), String> {
        let parent = match &line["parent"] {
            Value::Null => None,
            parent => {
                let parent = parent.as_str().ok_or("parent is no text")?;
                Some(*self.by_pid.get(parent).ok_or("an unknown parent")?)
            }
        };
        let index = self.processes.len();
        if self.by_pid.insert(pid.to_string(), index).is_some() {
            return Err("spawned twice".into());
        }
        let process = Process {
            pid: pid.to_string(),
            worker: line["worker"].as_str().ok_or("no worker")?.to_string(),
            end: Ending::Code(0),
            out: Vec::new(),
            err: Vec::new(),
            notes: Vec::new(),
            children: Vec::new(),
        };
        self.processes.push((parent, false, process));
        Ok(())
    }

    fn living(&mut self, pid: &str) -> Result<&mut Process, String> {
        let index = *self.by_pid.get(pid).ok_or("before its spawn")?;
        match &mut self.processes[index] {
            (_, true, _) => Err("after its exit".into()),
            (_, false, process) => Ok(process),
        }
    }

    fn finish(mut self) -> Result<Process, String> {
        // Children are younger than their parents: from the youngest on, each goes to its parent complete.
        while let Some((parent, ended, mut process)) = self.processes.pop() {
            process.children.reverse();
            if !ended {
                return Err(format!("{} has no exit", process.pid));
            }
            match parent {
                Some(parent) => self.processes[parent].2.children.push(process),
                None if self.processes.is_empty() => return Ok(process),
                None => {
                    return Err(format!(
                        "{} has no parent and is not the first",
                        process.pid
                    ));
                }
            }
        }
        Err("no JSON lines came".into())
    }
}

fn output_bytes(line: &Value) -> Result<Vec<u8>, String> {
    match (&line["text"], &line["base64"]) {
        (Value::String(text), Value::Null) => Ok(text.clone().into_bytes()),
        (Value::Null, Value::String(text)) => BASE64_STANDARD
            .decode(text)
            .map_err(|error| error.to_string()),
        _ => Err("one of text and base64 should be there".into()),
    }
}

fn ending(status: &Value) -> Result<Ending, String> {
    let reason = status["reason"].as_str().map(str::to_string);
    match (status["code"].as_i64(), status["signal"].as_str()) {
        (Some(code), None) => Ok(Ending::Code(code)),
        (None, Some(name)) => Ok(Ending::Signal {
            name: name.to_string(),
            reason,
        }),
        _ => Err("the status has neither code nor signal".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"event":"spawn","pid":"0000001","parent":null,"node":"local","worker":"p::main"}
{"event":"spawn","pid":"0000002","parent":"0000001","node":"local","worker":"p::worker"}
{"event":"spawn","pid":"0000003","parent":"0000001","node":"local","worker":"p::worker"}
{"event":"output","pid":"0000003","fd":1,"text":"thr"}
{"event":"output","pid":"0000003","fd":1,"text":"ee"}
{"event":"output","pid":"0000003","fd":2,"base64":"AP8="}
{"event":"exit","pid":"0000001","status":{"code":3}}
{"event":"exit","pid":"0000002","status":{"reason":"linked","signal":"SIGKILL"}}
{"event":"exit","pid":"0000003","status":{"signal":"SIGABRT"}}
"#;

    fn expected(header: &str) -> Expected {
        let source: String = header.lines().map(|line| format!("//= {line}\n")).collect();
        crate::header::parse(&source).unwrap().remove(0).family
    }

    #[test]
    fn the_right_family_passes_and_every_wrong_one_fails() {
        let came = parse(LINES.as_bytes()).unwrap();
        let check = |header: &str, expect: bool| {
            let result = compare(&expected(header), &came);
            assert_eq!(result.is_ok(), expect, "{header}\n{result:?}");
        };
        let three = r#"  worker: killed SIGABRT, out "three", err "\x00\xff""#;
        let two = "  worker: killed SIGKILL (linked)";
        check(&format!("main: exits 3\n{three}\n{two}"), true);
        check(&format!("main: exits 3\n{two}\n{three}"), true);
        check(&format!("main: exits 0\n{two}\n{three}"), false);
        check(&format!("mai: exits 3\n{two}\n{three}"), false);
        check(&format!("main: exits 3, out \"x\"\n{two}\n{three}"), false);
        check(&format!("main: exits 3\n{two}"), false);
        check(&format!("main: exits 3\n{two}\n{two}"), false);
        check(&format!("main: exits 3\n{two}\n{three}\n{two}"), false);
        check(&format!("main: exits 3\n{two}\n  {three}"), false);
        let untold = "  worker: killed SIGKILL";
        check(&format!("main: exits 3\n{untold}\n{three}"), false);
        let silent = "  worker: killed SIGABRT, out \"three\"";
        check(&format!("main: exits 3\n{two}\n{silent}"), false);
    }

    #[test]
    fn broken_promises_are_told() {
        let check = |from: &str, to: &str, expect: &str| {
            let lines = LINES.replacen(from, to, 1);
            assert_ne!(lines, LINES);
            let error = parse(lines.as_bytes()).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        let exit = "{\"event\":\"exit\",\"pid\":\"0000002\",\"status\":{\"reason\":\"linked\",\"signal\":\"SIGKILL\"}}\n";
        check(exit, "", "0000002 has no exit");
        check(exit, &exit.repeat(2), "after its exit");
        check("\"fd\":2", "\"fd\":3", "neither 1 nor 2");
        check(
            "\"parent\":\"0000001\"",
            "\"parent\":\"0000009\"",
            "unknown parent",
        );
        check(
            "\"pid\":\"0000003\"",
            "\"pid\":\"0000002\"",
            "spawned twice",
        );
        check(
            "\"parent\":\"0000001\"",
            "\"parent\":null",
            "is not the first",
        );
        check("{\"code\":3}", "{}", "neither code nor signal");
        check(
            "{\"event\":\"exit\"",
            "x\n{\"event\":\"exit\"",
            "JSON line 7",
        );
        assert!(parse(b"").is_err());
        assert!(parse(LINES.trim_end().as_bytes()).is_err());
    }

    #[test]
    fn matching_gives_way_where_it_must() {
        let fits = [
            [true, true, false],
            [true, false, false],
            [true, true, true],
        ];
        assert!(pair_up(3, |left, right| fits[left][right]));
        let short = [
            [true, false, false],
            [true, false, false],
            [true, true, true],
        ];
        assert!(!pair_up(3, |left, right| short[left][right]));
    }
}
