//! A job as its watcher tells it, in JSON lines: who lived where, what they said, and how they ended.
//!
//! Deliberately absent: what of it is right, but for what the format itself promises.

use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

/// All that was told so far.
#[derive(Clone, Default, Debug)]
pub struct Story {
    /// In the order in which they were born.
    pub lives: Vec<Life>,
    by_pid: HashMap<String, usize>,
    /// What breaks a promise of the format.
    pub broken: Vec<String>,
    /// Processes in the order in which they ended.
    pub ends: Vec<usize>,
}

/// One process.
#[derive(Clone, Default, Debug)]
pub struct Life {
    /// Its pid, as it prints.
    pub pid: String,
    /// Its parent's.
    pub parent: Option<String>,
    /// Where it lived.
    pub node: String,
    /// The path of its function.
    pub worker: String,
    /// What it wrote, in lines; the last may have no end.
    pub out: String,
    /// The same on standard error.
    pub err: String,
    /// How it ended, if it has.
    pub end: Option<End>,
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// `0`, `SIGKILL`
    pub how: String,
    /// `lost`, or `-`.
    pub reason: String,
    /// As a shell shows it.
    pub code: i32,
    /// When that was told.
    pub told_ms: u64,
}

impl Story {
    /// Takes the next line.
    pub fn take(&mut self, line: &str) {
        if let Err(why) = self.try_take(line) {
            self.broken.push(format!("{why}: {line}"));
        }
    }

    fn try_take(&mut self, line: &str) -> Result<(), String> {
        let event: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let pid = event["pid"].as_str().ok_or("no pid")?.to_string();
        if event["event"] == "spawn" {
            let life = Life {
                pid: pid.clone(),
                parent: event["parent"].as_str().map(str::to_string),
                node: event["node"].as_str().ok_or("no node")?.to_string(),
                worker: event["worker"].as_str().ok_or("no worker")?.to_string(),
                ..Life::default()
            };
            self.lives.push(life);
            return match self.by_pid.insert(pid, self.lives.len() - 1) {
                None => Ok(()),
                Some(_) => Err("born twice".to_string()),
            };
        }
        let index = *self.by_pid.get(&pid).ok_or("before its spawn")?;
        let life = &mut self.lives[index];
        if life.end.is_some() {
            return Err("after its exit".to_string());
        }
        match event["event"].as_str() {
            Some("output") => {
                let text = event["text"].as_str().ok_or("not text")?;
                match event["fd"].as_i64() {
                    Some(1) => life.out.push_str(text),
                    _ => life.err.push_str(text),
                }
            }
            Some("exit") => {
                life.end = Some(end(&event["status"])?);
                self.ends.push(index);
            }
            Some("note") => {}
            _ => return Err("an unknown event".to_string()),
        }
        Ok(())
    }

    /// The process of this pid.
    pub fn life(&self, pid: &str) -> Option<&Life> {
        self.by_pid.get(pid).map(|index| &self.lives[*index])
    }

    /// Whether all that was born has ended.
    pub fn is_over(&self) -> bool {
        !self.lives.is_empty() && self.lives.iter().all(|life| life.end.is_some())
    }
}

impl Life {
    /// What stands behind these words in a whole line.
    pub fn said<'a>(&'a self, words: &'a str) -> impl Iterator<Item = &'a str> {
        let whole = self.out.split_inclusive('\n');
        let whole = whole.filter_map(|line| line.strip_suffix('\n'));
        whole.filter_map(move |line| line.strip_prefix(words))
    }

    /// Its number on its host, if it has said so.
    pub fn process(&self) -> Option<u32> {
        self.said("born ").next()?.parse().ok()
    }
}

fn end(status: &Value) -> Result<End, String> {
    let reason = status["reason"].as_str().unwrap_or("-").to_string();
    let (how, code) = match (status["code"].as_i64(), status["signal"].as_str()) {
        (Some(code), None) => (code.to_string(), code as i32),
        (None, Some(signal)) => {
            let number: Signal = signal.parse().map_err(|_| "an unknown signal")?;
            (signal.to_string(), 128 + number as i32)
        }
        _ => return Err("neither code nor signal".to_string()),
    };
    Ok(End {
        how,
        reason,
        code,
        told_ms: now_ms(),
    })
}

/// Milliseconds since 1970, which all processes of a machine agree on.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is later than 1970").as_millis() as u64
}
