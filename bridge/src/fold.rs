//! Identical lines of many processes as one: `[0-6,9] ready`. A pure fold, with no clock and no file; what a line is, and
//! what in it is harmless, is decided before (see `human`).
//!
//! **Who.** A process goes by its number: 0 is the first one, and the others are numbered in the order in which they were
//! started.
//!
//! **When.** A line waits for [`GATHERED_FOR`], counted from the first who says it, and is then shown with all who have said
//! it by then. Lines wait in one queue; what stands before a line that is due is shown before it.
//!
//! **Order.** A process joins a line that waits only behind the last one that it joined. One that stands before that moves to
//! the end of the queue if nobody in it has said anything else since; if somebody has, another group begins. So the lines of
//! each process are shown in the order in which it said them, and one that it says twice is shown twice.

use crate::{lane::Write, style::paint};
use deploy_wire::{event::Stream, pid::Pid};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// The lines that wait.
#[derive(Debug)]
pub(crate) struct Fold {
    is_coloured: bool,
    groups: HashMap<Id, Group>,
    /// The next group's name, and the next place at the end of the queue.
    next: u64,
    queue: BTreeMap<Place, Id>,
    dues: BTreeSet<(Instant, Id)>,
    /// The groups of each line, in their order in the queue.
    alike: HashMap<Arc<Line>, VecDeque<Id>>,
    /// The last group that each process has joined, if that waits.
    joined: HashMap<Pid, Id>,
    /// What all that takes up.
    memory: usize,
}

/// What a group keeps when it moves.
type Id = u64;
/// Where it stands.
type Place = u64;

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
    /// How many of them have said something else since.
    gone_on: usize,
    place: Place,
    due: Instant,
}

impl Fold {
    /// Before the first line.
    pub fn new(is_coloured: bool) -> Fold {
        Fold {
            is_coloured,
            groups: HashMap::new(),
            next: 0,
            queue: BTreeMap::new(),
            dues: BTreeSet::new(),
            alike: HashMap::new(),
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
        let id = match self.waiting(pid, &line) {
            Some(id) => id,
            None => self.open(pid, line, now),
        };
        if let Some(group) = self
            .joined
            .insert(pid, id)
            .and_then(|last| self.groups.get_mut(&last))
        {
            group.gone_on += 1;
        }
        let group = self.groups.get_mut(&id).expect("it waits");
        group.who.push(pid);
        self.memory += MEMBER_LEN;
        while self.memory > MEMORY_MAX {
            self.show_first(writes);
        }
    }

    /// When to call [`Fold::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.dues.first().map(|(due, _)| *due)
    }

    /// Shows what has waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant, writes: &mut VecDeque<Write>) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.show_first(writes);
        }
    }

    /// Nothing follows.
    pub fn finish(&mut self, writes: &mut VecDeque<Write>) {
        while !self.queue.is_empty() {
            self.show_first(writes);
        }
    }

    /// The group of this line that the process may join, at its end of the queue if need be.
    fn waiting(&mut self, pid: Pid, line: &Line) -> Option<Id> {
        let last = self.joined.get(&pid).copied();
        let behind = last.map(|last| self.groups[&last].place);
        let alike = self.alike.get_mut(line)?;
        let is_before = |id: &Id| behind.is_some_and(|last| self.groups[id].place <= last);
        let index = alike.partition_point(is_before);
        if let Some(id) = alike.get(index) {
            return Some(*id);
        }
        let id = *alike.back()?;
        let group = self.groups.get_mut(&id).expect("it waits");
        if group.gone_on > 0 || last == Some(id) {
            return None;
        }
        self.queue.remove(&group.place);
        group.place = self.next;
        self.queue.insert(self.next, id);
        self.next += 1;
        Some(id)
    }

    fn open(&mut self, pid: Pid, line: Line, now: Instant) -> Id {
        let id = self.next;
        self.next += 1;
        let line = Arc::new(line);
        let due = now + GATHERED_FOR;
        self.memory += line.memory();
        self.alike.entry(line.clone()).or_default().push_back(id);
        self.queue.insert(id, id);
        self.dues.insert((due, id));
        let group = Group {
            line,
            said_first: pid,
            who: Vec::new(),
            gone_on: 0,
            place: id,
            due,
        };
        self.groups.insert(id, group);
        id
    }

    fn show_first(&mut self, writes: &mut VecDeque<Write>) {
        let Some((_, id)) = self.queue.pop_first() else {
            return;
        };
        let group = self.groups.remove(&id).expect("it is in the queue");
        self.dues.remove(&(group.due, id));
        self.memory -= group.line.memory() + group.who.len() * MEMBER_LEN;
        for pid in &group.who {
            if self.joined.get(pid) == Some(&id) {
                self.joined.remove(pid);
            }
        }
        if let Some(alike) = self.alike.get_mut(&group.line) {
            // The first in the queue is the first of its line.
            alike.pop_front();
            if alike.is_empty() {
                self.alike.remove(&group.line);
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
const GROUP_LEN: usize = 384;
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
            &["[2] a\n", "[1-3] b\n", "[1] b\n"],
        );
        check(
            &[(1, "b"), (1, "c"), (2, "a"), (2, "b")],
            &["[1] b\n", "[1] c\n", "[2] a\n", "[2] b\n"],
        );
    }

    #[test]
    fn what_all_say_in_the_end_is_one_whatever_each_said_before() {
        let mut said = Vec::new();
        let lines = ["0", "1", "2", "3"];
        for (number, text) in (0..).zip(lines) {
            said.extend([(number, text), (number, "done")]);
        }
        let expect = ["[0] 0\n", "[1] 1\n", "[2] 2\n", "[3] 3\n", "[0-3] done\n"];
        check(&said, &expect);
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
            (fold.memory, fold.joined.len(), fold.alike.len()),
            (0, 0, 0)
        );
        assert_eq!(fold.groups.len() + fold.queue.len() + fold.dues.len(), 0);
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
