//! Identical lines of many processes as one: `[0-6,9] ready`. A pure fold, with no clock and no file; what a line is, and
//! what in it is harmless, is decided before (see `human`).
//!
//! **Who.** A process goes by its number: 0 is the first one, and the others are numbered in the order in which they were
//! started.
//!
//! **When.** A line waits for [`GATHERED_FOR`], counted from the first who says it, and is then shown with all who have said
//! it by then. Lines wait in one queue, each in its place from when it was said first.
//!
//! **Order.** A process joins a line that waits only if that stands behind the last one that it joined; else its line begins
//! another group. So the lines of each process are shown in the order in which it said them, and one that it says twice is
//! shown twice.

use crate::{lane::Write, style::paint};
use deploy_wire::{event::Stream, pid::Pid};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// The lines that wait.
#[derive(Debug)]
pub(crate) struct Fold {
    is_coloured: bool,
    waiting: VecDeque<Group>,
    /// The number of the first group that waits.
    first: u64,
    /// The numbers of the groups of each line, in order.
    places: HashMap<Arc<Line>, VecDeque<u64>>,
    /// The last group that each process has joined, if that waits.
    joined: HashMap<Pid, u64>,
    /// What all that takes up.
    memory: usize,
}

/// What is compared.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Line {
    pub stream: Stream,
    /// It is about the process, and not written by it.
    pub is_note: bool,
    /// Without a newline.
    pub text: Vec<u8>,
}

/// A line, and who has said it.
#[derive(Debug)]
struct Group {
    line: Arc<Line>,
    said_first: Pid,
    who: Vec<Pid>,
    due: Instant,
}

impl Fold {
    /// Before the first line.
    pub fn new(is_coloured: bool) -> Fold {
        Fold {
            is_coloured,
            waiting: VecDeque::new(),
            first: 0,
            places: HashMap::new(),
            joined: HashMap::new(),
            memory: 0,
        }
    }

    /// Takes in what a process says. What there is no room for any more goes to `writes`.
    pub fn handle_line(
        &mut self,
        pid: Pid,
        line: Line,
        now: Instant,
        writes: &mut VecDeque<Write>,
    ) {
        let behind = self.joined.get(&pid).map_or(self.first, |last| last + 1);
        let waiting = self.places.get(&line).and_then(|places| {
            let index = places.partition_point(|place| *place < behind);
            places.get(index).copied()
        });
        let number = waiting.unwrap_or_else(|| self.open(pid, line, now));
        let index = (number - self.first) as usize;
        self.waiting[index].who.push(pid);
        self.joined.insert(pid, number);
        self.memory += MEMBER_LEN;
        while self.memory > MEMORY_MAX {
            self.show_first(writes);
        }
    }

    /// When to call [`Fold::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|group| group.due)
    }

    /// Shows what has waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant, writes: &mut VecDeque<Write>) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.show_first(writes);
        }
    }

    /// Nothing follows.
    pub fn finish(&mut self, writes: &mut VecDeque<Write>) {
        while !self.waiting.is_empty() {
            self.show_first(writes);
        }
    }

    fn open(&mut self, pid: Pid, line: Line, now: Instant) -> u64 {
        let number = self.first + self.waiting.len() as u64;
        let line = Arc::new(line);
        self.memory += line.memory();
        let places = self.places.entry(line.clone()).or_default();
        places.push_back(number);
        self.waiting.push_back(Group {
            line,
            said_first: pid,
            who: Vec::new(),
            due: now + GATHERED_FOR,
        });
        number
    }

    fn show_first(&mut self, writes: &mut VecDeque<Write>) {
        let Some(group) = self.waiting.pop_front() else {
            return;
        };
        let number = self.first;
        self.first += 1;
        self.memory -= group.line.memory() + group.who.len() * MEMBER_LEN;
        for pid in &group.who {
            if self.joined.get(pid) == Some(&number) {
                self.joined.remove(pid);
            }
        }
        if let Some(places) = self.places.get_mut(&group.line) {
            places.pop_front();
            if places.is_empty() {
                self.places.remove(&group.line);
            }
        }
        writes.push_back(group.write(self.is_coloured));
    }
}

impl Line {
    fn memory(&self) -> usize {
        GROUP_LEN + self.text.len()
    }
}

impl Group {
    fn write(&self, is_coloured: bool) -> Write {
        let Line {
            stream,
            is_note,
            text,
        } = &*self.line;
        let who = format!("[{}]", ordinals(self.who.iter().map(|pid| pid.number())));
        let mut bytes = Vec::with_capacity(who.len() + text.len() + 16);
        let mut ours = |text: &str| {
            bytes.extend_from_slice(paint(text, self.said_first, is_coloured).as_bytes());
        };
        if *is_note {
            ours(&format!("{who} {}", String::from_utf8_lossy(text)));
        } else {
            ours(&who);
            bytes.push(b' ');
            bytes.extend_from_slice(text);
        }
        bytes.push(b'\n');
        Write {
            stream: *stream,
            bytes,
        }
    }
}

/// `0-6,9`
fn ordinals(numbers: impl Iterator<Item = u32>) -> String {
    let numbers: BTreeSet<u32> = numbers.collect();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = |(first, last)| match first == last {
        true => format!("{first}"),
        false => format!("{first}-{last}"),
    };
    let ranges: Vec<String> = ranges.into_iter().map(shown).collect();
    ranges.join(",")
}

/// Long enough for processes on several machines that do the same at the same time, and too short for a person to wait.
const GATHERED_FOR: Duration = Duration::from_millis(150);
/// More than a terminal shows in that time; a flood is shown sooner, and folded less.
const MEMORY_MAX: usize = 1 << 20;
/// What a group takes beside its text.
const GROUP_LEN: usize = 192;
/// What somebody who says a line takes.
const MEMBER_LEN: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::pid::Job;
    use proptest::prelude::*;

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(5), number)
    }

    fn line(text: &str) -> Line {
        Line {
            stream: Stream::Stdout,
            is_note: false,
            text: text.as_bytes().to_vec(),
        }
    }

    fn texts(writes: &mut VecDeque<Write>) -> Vec<String> {
        let text = |write: Write| String::from_utf8(write.bytes).unwrap();
        writes.drain(..).map(text).collect()
    }

    /// These lines, all said at once, are shown so.
    fn check(said: &[(u32, &str)], expect: &[&str]) {
        let (mut fold, mut writes, now) = (Fold::new(false), VecDeque::new(), Instant::now());
        for (number, text) in said {
            fold.handle_line(pid(*number), line(text), now, &mut writes);
        }
        fold.handle_timeout(now + GATHERED_FOR - Duration::from_millis(1), &mut writes);
        assert_eq!(texts(&mut writes), Vec::<String>::new());
        fold.handle_timeout(now + GATHERED_FOR, &mut writes);
        assert_eq!(texts(&mut writes), expect);
    }

    #[test]
    fn the_same_line_of_many_is_one() {
        let mut said: Vec<(u32, &str)> = (0..7).map(|number| (number, "ready")).collect();
        said.extend([(9, "ready"), (8, "late"), (3, "done")]);
        let expect = ["[0-6,9] ready\n", "[8] late\n", "[3] done\n"];
        check(&said, &expect);
    }

    #[test]
    fn who_says_it_twice_is_shown_twice_and_in_order() {
        check(
            &[(1, "b"), (2, "a"), (2, "b"), (1, "b"), (3, "b")],
            &["[1,3] b\n", "[2] a\n", "[1-2] b\n"],
        );
    }

    #[test]
    fn a_flood_is_bounded() {
        let (mut fold, mut writes, now) = (Fold::new(false), VecDeque::new(), Instant::now());
        for number in 0..200_000_u32 {
            let text = format!("{}", number / 3);
            fold.handle_line(pid(number % 3), line(&text), now, &mut writes);
            assert!(fold.memory <= MEMORY_MAX && fold.joined.len() <= 3);
        }
        fold.finish(&mut writes);
        assert_eq!(
            (fold.memory, fold.joined.len(), fold.places.len()),
            (0, 0, 0)
        );
        assert!((66_667..66_700).contains(&writes.len()), "{}", writes.len());
    }

    /// `[0-2,5] text` taken apart.
    fn unfolded(shown: &str) -> (Vec<u32>, String) {
        let (who, text) = shown.strip_prefix('[').unwrap().split_once("] ").unwrap();
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u32>().unwrap()..=last.parse().unwrap()
        };
        (
            who.split(',').flat_map(range).collect(),
            text.trim_end().to_string(),
        )
    }

    proptest! {
        #[test]
        fn each_process_is_shown_saying_what_it_said_in_order_and_in_time(
            said in proptest::collection::vec((0..6_u32, "[abc]{0,2}", 0..90_u64), 0..80),
        ) {
            let (mut fold, mut writes, mut now) = (Fold::new(false), VecDeque::new(), Instant::now());
            let mut owed: HashMap<u32, VecDeque<(String, Instant)>> = HashMap::new();
            for step in said.into_iter().map(Some).chain([None]) {
                if let Some((number, text, pause_ms)) = step {
                    fold.handle_line(pid(number), line(&text), now, &mut writes);
                    owed.entry(number).or_default().push_back((text, now));
                    now += Duration::from_millis(pause_ms);
                    fold.handle_timeout(now, &mut writes);
                } else {
                    fold.finish(&mut writes);
                }
                for shown in texts(&mut writes) {
                    let (who, text) = unfolded(&shown);
                    for number in who {
                        let next = owed.get_mut(&number).and_then(VecDeque::pop_front);
                        prop_assert_eq!(next.map(|(text, _)| text), Some(text.clone()));
                    }
                }
                let late = owed.values().flatten().any(|(_, at)| *at + GATHERED_FOR <= now);
                prop_assert!(!late, "a line waits for too long");
            }
            prop_assert!(owed.values().all(VecDeque::is_empty));
        }
    }
}
