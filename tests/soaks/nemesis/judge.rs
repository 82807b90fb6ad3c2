//! Whether a job that is over went as it may have, after what was done to it.
//!
//! Deliberately absent: what a process can check by itself, which it does, and panics.

use crate::fault::{Log, What};
use deploy_tests::story::{End, Life, Story};
use std::{collections::HashMap, fs, path::Path};

/// What is known of it.
pub struct Case<'a> {
    pub id: &'a str,
    /// When it was begun; who watches later is told later when processes were born.
    pub begun_ms: u64,
    pub story: &'a Story,
    /// What watchers that were killed had been told.
    pub earlier: &'a [Story],
    pub code: i32,
    pub directory: &'a Path,
    pub log: &'a Log,
}

/// What was compared.
#[derive(Default)]
pub struct Counts {
    pub jobs: u64,
    pub processes: u64,
    pub lines: u64,
    /// Ends that peers and waiters saw.
    pub seen: u64,
    /// Connections lost to the network, as one of the two saw it.
    pub lost: u64,
    /// How many ended so: `SIGKILL lost`.
    pub ends: HashMap<String, u64>,
}

impl Case<'_> {
    /// All that is wrong with it.
    pub fn judge(&self, counts: &mut Counts) -> Vec<String> {
        let mut wrong = self.story.broken.clone();
        counts.jobs += 1;
        for life in &self.story.lives {
            counts.processes += 1;
            let mut told = Vec::new();
            told.extend(self.judge_end(life).err());
            told.extend(self.judge_lines(life, counts).err());
            told.extend(self.judge_sights(life, counts).err());
            told.extend(self.judge_fence(life).err());
            let who = format!("{} ({} on {})", life.pid, life.worker, life.node);
            wrong.extend(told.into_iter().map(|why| format!("{who}: {why}")));
            if let Some(end) = &life.end {
                *counts.ends.entry(shown(end)).or_default() += 1;
            }
        }
        wrong.extend(self.judge_earlier().err());
        wrong.extend(self.judge_code().err());
        wrong
    }

    /// Its one cause is one that it had.
    fn judge_end(&self, life: &Life) -> Result<(), String> {
        let end = life.end.as_ref().ok_or("it has no end")?;
        let was = |is_it: &dyn Fn(&What) -> bool| self.log.was(self.begun_ms, end.told_ms, is_it);
        let node = life.node.as_str();
        let may = match (end.how.as_str(), end.reason.as_str()) {
            ("0", "-") => true,
            ("7", "-") => life.worker.ends_with("brief"),
            ("SIGKILL", "-") => {
                let number = life.process();
                number.is_some_and(|number| was(&|what| *what == What::Process(number)))
            }
            ("SIGKILL", "killed") => life.worker.ends_with("brief") || is_of_pool(life),
            ("SIGKILL", "linked") => {
                let parent = life.parent.as_deref().and_then(|pid| self.story.life(pid));
                parent.is_some_and(|parent| parent.end.is_some())
            }
            ("SIGKILL", "orphaned") => was(&|what| *what == What::Warden(node.to_string())),
            (_, "interrupted") => was(&|what| *what == What::Job(self.id.to_string())),
            ("SIGKILL", "lost") => {
                let silence = self.log.silence_ms(node, self.begun_ms, end.told_ms);
                // A master takes up to 12 s to say so.
                let from_ms = self.begun_ms.saturating_sub(15_000);
                let is_it = |what: &What| match what {
                    What::Daemon(name) => name == node,
                    What::Master => true,
                    _ => false,
                };
                silence >= SILENCE_MS_MIN || self.log.was(from_ms, end.told_ms, is_it)
            }
            _ => false,
        };
        match may {
            true => Ok(()),
            false => Err(format!(
                "it ended with {}, for which there is no cause; its last words: {:?} {:?}",
                shown(end),
                last(&life.out),
                life.err
            )),
        }
    }

    /// What it printed came whole and in order.
    fn judge_lines(&self, life: &Life, counts: &mut Counts) -> Result<(), String> {
        for (expected, said) in life.said("line ").enumerate() {
            if said != expected.to_string() {
                return Err(format!("it printed line {expected}, and line {said} came"));
            }
            counts.lines += 1;
        }
        let is_whole = life.out.is_empty() || life.out.ends_with('\n');
        let has_ended_well = life.end.as_ref().is_some_and(|end| end.how == "0");
        let has_last_word = ["done", "alone"]
            .iter()
            .any(|word| life.said(word).next().is_some());
        match (
            is_whole,
            has_ended_well && !is_of_pool(life) && !life.worker.ends_with("brief"),
        ) {
            (false, _) => Err(format!("its last line is torn: {:?}", last(&life.out))),
            (true, true) if !has_last_word => {
                Err("it ended well, and its last word is missing".into())
            }
            _ => Ok(()),
        }
    }

    /// The ends that it saw are those that were told.
    fn judge_sights(&self, life: &Life, counts: &mut Counts) -> Result<(), String> {
        let sights = life.said("saw ").map(|text| {
            let (pid, text) = text.split_once(' ').unwrap_or_default();
            let (when, status) = text
                .split_once(' ')
                .unwrap_or_default()
                .1
                .split_once(' ')
                .unwrap_or_default();
            (pid, when == "before", status)
        });
        let waits = life.said("waited ").map(|text| {
            let (pid, status) = text.split_once(' ').unwrap_or_default();
            (pid, false, status)
        });
        for (pid, is_before, status) in sights.chain(waits) {
            counts.seen += 1;
            let peer = self
                .story
                .life(pid)
                .ok_or(format!("{pid} was never told of"))?;
            let end = peer.end.as_ref().map(shown).unwrap_or_default();
            if end != status {
                return Err(format!(
                    "it saw {pid} end with {status}, and it ended with {end}"
                ));
            }
            if is_before && end == "0 -" && peer.said("alone").next().is_none() {
                return Err(format!(
                    "{pid} ended well, before all that it had to send came"
                ));
            }
        }
        for text in life.said("lost ") {
            let may_be = match text {
                text if text.contains("the connection to it is gone") => {
                    self.may_be_broken(life, text)
                }
                text if text.contains("and this one was cut") => self.may_be_cut(life, text),
                _ => false,
            };
            if !may_be {
                return Err(format!("it lost {text}"));
            }
            counts.lost += 1;
        }
        Ok(())
    }

    /// Two that could not dial each other are connected by way of the master, and what is relayed ends with a session that is
    /// silent for 4 s: so both must have happened, each for some time.
    fn may_be_broken(&self, life: &Life, text: &str) -> bool {
        let nodes = self.nodes(life, text);
        let is_it = |what: &What| match what {
            What::Silent(node) => nodes.contains(&&**node),
            What::Apart(..) => are_apart(&nodes, what),
            What::Master => true,
            _ => false,
        };
        let to_ms = life.end.as_ref().map_or(u64::MAX, |end| end.told_ms);
        self.log.was(self.begun_ms, to_ms, is_it)
    }

    /// Two are told to be cut off from each other that were, for as long as that takes. A daemon that is stopped and a line
    /// that is slow cut nobody off.
    fn may_be_cut(&self, life: &Life, text: &str) -> bool {
        let nodes = self.nodes(life, text);
        let is_it = |what: &What| are_apart(&nodes, what);
        let to_ms = life.end.as_ref().map_or(u64::MAX / 2, |end| end.told_ms);
        self.log.longest_ms(is_it, self.begun_ms, to_ms) >= CUT_MS_MIN
    }

    /// Where this process is, and the one that it speaks of.
    fn nodes<'a>(&'a self, life: &'a Life, text: &str) -> Vec<&'a str> {
        let pid = text.split(' ').next().unwrap_or_default();
        let both = [Some(life), self.story.life(pid)];
        both.into_iter().flatten().map(|life| &*life.node).collect()
    }

    /// Nothing ran on when its end was told.
    fn judge_fence(&self, life: &Life) -> Result<(), String> {
        let Some(index) = life
            .worker
            .ends_with("member")
            .then(|| self.index(life))
            .flatten()
        else {
            return Ok(());
        };
        let text = fs::read_to_string(self.directory.join(format!("member-{index}")));
        let last_ms: u64 = text
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let told_ms = self.told_ms(&life.pid);
        match last_ms > told_ms + 50 {
            true => Err(format!(
                "it ran {} ms longer than was told",
                last_ms - told_ms
            )),
            false => Ok(()),
        }
    }

    /// Which member it is: they are born in order, and one that could not be has left a line.
    fn index(&self, life: &Life) -> Option<String> {
        life.said("member ").next().map(str::to_string)
    }

    /// When the first of the watchers was told of its end.
    fn told_ms(&self, pid: &str) -> u64 {
        let stories = self.earlier.iter().chain([self.story]);
        let ends = stories.filter_map(|story| story.life(pid)?.end.as_ref());
        ends.map(|end| end.told_ms).min().unwrap_or(u64::MAX - 50)
    }

    /// Who watches later is told the same.
    fn judge_earlier(&self) -> Result<(), String> {
        for earlier in self.earlier {
            if let Some(broken) = earlier.broken.first() {
                return Err(format!("an earlier watcher was told: {broken}"));
            }
            for before in &earlier.lives {
                let now = self
                    .story
                    .life(&before.pid)
                    .ok_or("a process is not told of again")?;
                let same_end = before.end.is_none()
                    || before.end.as_ref().map(shown) == now.end.as_ref().map(shown);
                if !now.out.starts_with(&before.out) || !same_end {
                    return Err(format!("{} is told differently the second time", now.pid));
                }
            }
        }
        Ok(())
    }

    /// The exit code is the one that follows from the ends.
    fn judge_code(&self) -> Result<(), String> {
        let is_failure = |end: &&End| {
            end.how != "0" && matches!(end.reason.as_str(), "-" | "oom" | "lost" | "orphaned")
        };
        let initial = self.story.lives.first().and_then(|life| life.end.as_ref());
        let in_order = self.story.ends.iter();
        let others = in_order.filter_map(|index| self.story.lives[*index].end.as_ref());
        let first = initial.filter(|end| end.how != "0").or_else(|| {
            let mut others = others.filter(|end| is_failure(end));
            others.next()
        });
        let expected = first.map_or(0, |end| end.code);
        match self.code == expected {
            true => Ok(()),
            false => Err(format!(
                "the exit code is {} and should be {expected}",
                self.code
            )),
        }
    }
}

/// `SIGKILL lost`
fn shown(end: &End) -> String {
    format!("{} {}", end.how, end.reason)
}

fn last(text: &str) -> &str {
    text.lines().next_back().unwrap_or_default()
}

fn is_of_pool(life: &Life) -> bool {
    !["main", "member", "brief"]
        .iter()
        .any(|name| life.worker.ends_with(name))
}

/// Whether it cut these two off from each other.
fn are_apart(nodes: &[&str], what: &What) -> bool {
    match what {
        What::Apart(one, other) => nodes.contains(&&**one) && nodes.contains(&&**other),
        _ => false,
    }
}

/// A node that was silent for less is never lost; its master takes 12 s, and it 10.
const SILENCE_MS_MIN: u64 = 7_000;
/// Two that were cut off from each other for less are never told so.
const CUT_MS_MIN: u64 = 10_000;
