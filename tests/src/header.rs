//! The header of a program: how to run it, and the family it then must be.
//!
//! ```text
//! //= run three workers                     a name, where a program is run in more than one way
//! //= args 3 "two words"                    its arguments
//! //= env GREETING=hello                    one variable of its environment
//! //= stdin "one\ntwo\n"                    its standard input; empty otherwise
//! //= only alone                            not on a cluster, where what it shows is another matter;
//!                                           or `only cluster`, and not alone
//! //= code 3                                the whole's exit code; 0 otherwise
//! //= main: exits 3, out "total *\n"        the initial process,
//! //=   worker x2: exits 0                  two children of one kind, silent,
//! //=     helper: killed SIGKILL (linked)   each with a child of its own, and why it ended
//! //=   worker: exits 0, err "oops\n"
//! //=   worker: exits 0, note "waits*\n"      what a person is told of it, each note a line
//! ```
//!
//! What is not told must not be: a process without `out` writes nothing to standard output. Siblings come in any
//! order. A process's name is the end of its function's path, or `pool_worker`. A line that begins with a quote goes on with the
//! pattern above it.

use crate::pattern::Pattern;
use std::fmt;

/// One way to run a program.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What it is called, where there are several.
    pub name: String,
    /// Where it shows what it is to show.
    pub place: Place,
    /// The program's arguments.
    pub args: Vec<String>,
    /// What is added to its environment.
    pub env: Vec<(String, String)>,
    /// What it can read on descriptor 0.
    pub stdin: Vec<u8>,
    /// What the shell sees.
    pub code: i32,
    /// The initial process and all that came from it.
    pub family: Expected,
}

impl Run {
    /// What a variable is set to for it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Where a program can be run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Place {
    /// Alone and on a cluster, with the same outcome.
    #[default]
    Everywhere,
    /// On this machine only.
    Alone,
    /// On a cluster only, of any size.
    Cluster,
}

/// A process, as it must be.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The end of its worker's path.
    pub name: String,
    /// How it ended.
    pub end: Ending,
    /// What it wrote to descriptor 1.
    pub out: Pattern,
    /// What it wrote to descriptor 2.
    pub err: Pattern,
    /// What was noted of it.
    pub note: Pattern,
    /// What it spawned.
    pub children: Vec<Expected>,
}

/// How a process ended, in the words of the JSON lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By itself.
    Code(i64),
    /// By a signal of this name.
    Signal {
        /// `SIGKILL`
        name: String,
        /// Why, where that is known.
        reason: Option<String>,
    },
}

impl Default for Ending {
    fn default() -> Ending {
        Ending::Code(0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Code(code) => write!(f, "exits {code}"),
            Ending::Signal { name, reason: None } => write!(f, "killed {name}"),
            Ending::Signal {
                name,
                reason: Some(reason),
            } => write!(f, "killed {name} ({reason})"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.end)?;
        if !self.out.is_empty() {
            write!(f, ", out {}", self.out)?;
        }
        if !self.err.is_empty() {
            write!(f, ", err {}", self.err)?;
        }
        if !self.note.is_empty() {
            write!(f, ", note {}", self.note)?;
        }
        Ok(())
    }
}

impl Expected {
    /// It and all its descendants.
    pub fn all(&self) -> Vec<&Expected> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Expected::all));
        all
    }
}

/// The runs that a program's source asks for, at least one; or what is wrong with which line.
pub fn parse(source: &str) -> Result<Vec<Run>, String> {
    let mut runs: Vec<Draft> = Vec::new();
    for (at, line) in join_lines(source) {
        let fail = |why: String| format!("header line {at}: {why}");
        let word = line.split_whitespace().next().unwrap_or_default();
        if word == "run" || runs.is_empty() {
            runs.push(Draft::default());
        }
        let draft = runs.last_mut().expect("one was pushed if there was none");
        draft.take(word, &line).map_err(fail)?;
    }
    if runs.is_empty() {
        return Err("the program has no header: see deploy-tests' header.rs".into());
    }
    runs.into_iter().map(Draft::finish).collect()
}

/// The header's lines with their numbers, those that go on with the line above joined to it.
fn join_lines(source: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let Some(line) = line.strip_prefix("//=") else {
            continue;
        };
        match lines.last_mut() {
            Some((_, last)) if line.trim_start().starts_with('"') => {
                last.push_str(line);
            }
            _ => lines.push((
                index + 1,
                line.strip_prefix(' ').unwrap_or(line).to_string(),
            )),
        }
    }
    lines
}

/// A run while its lines are read.
#[derive(Default)]
struct Draft {
    run: Run,
    /// Each process with its depth and how many of it there are.
    processes: Vec<(usize, usize, Expected)>,
}

impl Draft {
    fn take(&mut self, word: &str, line: &str) -> Result<(), String> {
        let rest = line.trim_start()[word.len()..].trim_start();
        let text = |rest| match Pattern::parse(rest)? {
            (pattern, "") => Ok(pattern),
            (_, left) => Err(format!("{left:?} is too much")),
        };
        match word {
            "run" => self.run.name = rest.to_string(),
            "only" => {
                self.run.place = match rest {
                    "alone" => Place::Alone,
                    "cluster" => Place::Cluster,
                    _ => return Err("`alone` or `cluster` should follow".to_string()),
                }
            }
            "args" => self.run.args = words(rest)?,
            "env" => {
                let (name, value) = rest.split_once('=').ok_or("NAME=value should follow")?;
                self.run.env.push((name.to_string(), value.to_string()));
            }
            "stdin" => {
                self.run.stdin = text(rest)?.to_bytes().ok_or("it has a star")?;
            }
            "code" => self.run.code = rest.parse().map_err(|_| "a number should follow")?,
            _ => {
                let indent = line.len() - line.trim_start().len();
                let (count, process) = parse_process(line.trim_start())?;
                if !indent.is_multiple_of(2) {
                    return Err("two spaces stand before each generation".into());
                }
                self.processes.push((indent / 2, count, process));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Run, String> {
        let mut processes = self.processes.into_iter().peekable();
        let mut firsts = gather(&mut processes, 0);
        match (firsts.pop(), firsts.pop(), processes.next()) {
            (Some(first), None, None) => self.run.family = first,
            _ => {
                return Err(format!(
                    "run {:?}: one initial process should stand at the left, all others below it",
                    self.run.name
                ));
            }
        }
        Ok(self.run)
    }
}

/// The processes of this generation up to the next one further left, with their descendants.
fn gather(
    processes: &mut std::iter::Peekable<impl Iterator<Item = (usize, usize, Expected)>>,
    depth: usize,
) -> Vec<Expected> {
    let mut siblings = Vec::new();
    while let Some((_, count, mut process)) = processes.next_if(|(at, ..)| *at == depth) {
        process.children = gather(processes, depth + 1);
        siblings.extend(std::iter::repeat_n(process, count));
    }
    siblings
}

/// `worker x10: exits 0, out "..", err ".."`
fn parse_process(line: &str) -> Result<(usize, Expected), String> {
    let (head, facts) = line
        .split_once(": ")
        .ok_or_else(|| format!("{line:?} is neither a setting nor `name: how it ends`"))?;
    let (name, count) = match head.rsplit_once(" x") {
        Some((name, count)) => (
            name,
            count
                .parse()
                .map_err(|_| format!("{count:?} is no number"))?,
        ),
        None => (head, 1),
    };
    let (end, mut rest) = match facts.split_once(',') {
        Some((end, rest)) => (end, rest.trim_start()),
        None => (facts, ""),
    };
    let mut process = Expected {
        name: name.to_string(),
        end: parse_end(end)?,
        ..Expected::default()
    };
    while !rest.is_empty() {
        let (stream, source) = rest.split_at(rest.find([' ', '"']).unwrap_or(rest.len()));
        let (pattern, after) = Pattern::parse(source)?;
        match stream {
            "out" => process.out = pattern,
            "err" => process.err = pattern,
            "note" => process.note = pattern,
            _ => return Err(format!("{stream:?} is neither out nor err nor note")),
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    Ok((count, process))
}

/// `exits 3`, `killed SIGKILL`, `killed SIGKILL (linked)`
fn parse_end(text: &str) -> Result<Ending, String> {
    let unknown = || format!("{text:?} is neither `exits CODE` nor `killed SIGNAL (reason)`");
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["exits", code] => code.parse().map(Ending::Code).map_err(|_| unknown()),
        ["killed", name] => Ok(Ending::Signal {
            name: name.to_string(),
            reason: None,
        }),
        ["killed", name, reason] => Ok(Ending::Signal {
            name: name.to_string(),
            reason: Some(reason.trim_matches(['(', ')']).to_string()),
        }),
        _ => Err(unknown()),
    }
}

/// Words, or texts in quotes.
fn words(mut rest: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    while !rest.is_empty() {
        if rest.starts_with('"') {
            let end = rest[1..].find('"').ok_or("a quote has no end")? + 1;
            words.push(rest[1..end].to_string());
            rest = rest[end + 1..].trim_start();
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            words.push(rest[..end].to_string());
            rest = rest[end..].trim_start();
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_runs_and_families() {
        let source = r#"
//! A program.
//= args 3 "two words"
//= env A=b=c
//= stdin "one\n"
//= code 3
//= main: exits 3, out "a, b\n"
//=     "and on\n", err "oops"
//=   worker x2: exits 0
//=     helper: killed SIGKILL (linked)
//=   other: killed SIGABRT
//= run again
//= main: exits 0
fn main() {}
"#;
        let runs = parse(source).unwrap();
        assert_eq!(runs.len(), 2);
        let first = &runs[0];
        assert_eq!(first.args, ["3", "two words"]);
        assert_eq!(first.env, [("A".to_string(), "b=c".to_string())]);
        assert_eq!(
            (first.stdin.as_slice(), first.code),
            (b"one\n".as_slice(), 3)
        );
        let shown: Vec<String> = first.family.all().iter().map(|p| p.to_string()).collect();
        assert_eq!(
            shown,
            [
                r#"main: exits 3, out "a, b\nand on\n", err "oops""#,
                "worker: exits 0",
                "helper: killed SIGKILL (linked)",
                "worker: exits 0",
                "helper: killed SIGKILL (linked)",
                "other: killed SIGABRT",
            ]
        );
        assert_eq!((runs[1].name.as_str(), runs[1].code), ("again", 0));
    }

    #[test]
    fn wrong_headers_are_refused_with_their_line() {
        let check = |header: &str, expect: &str| {
            let source: String = header.lines().map(|l| format!("//= {l}\n")).collect();
            let error = parse(&source).unwrap_err();
            assert!(error.contains(expect), "{header:?}: {error}");
        };
        check("", "no header");
        check("main", "line 1");
        check("main: exits", "neither `exits CODE`");
        check("main: exits 0\n   worker: exits 0", "line 2: two spaces");
        check("main: exits 0\n    worker: exits 0", "one initial process");
        check("main: exits 0\nmain: exits 0", "one initial process");
        check("main: exits 0, all \"\"", "neither out nor err");
        check("main: exits 0, out x", "text in quotes");
        check("stdin \"*\"", "a star");
    }
}
