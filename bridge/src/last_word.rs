//! What is said of a job that failed, when all else has been: who failed first, and why. Of hundreds of ends it is the one
//! that the others follow from.
//!
//! Deliberately absent: how to see the rest, which whoever has the job knows; what is kept of what a process wrote
//! (`last_word/words.rs`).

mod words;

pub(crate) use words::Words;

use crate::style::paint;
use deploy_wire::{
    event::POOL_OF,
    exit::{End, ExitStatus, Reason},
    pid::Pid,
};

/// Who failed first.
#[derive(Debug)]
pub struct LastWord<'f> {
    pub(crate) failed: &'f Failed,
    /// How many failed after it.
    pub(crate) later: u32,
    /// Whose end the exit code comes from.
    pub(crate) exit_code_of: Option<Pid>,
    /// The first process, if it has ended.
    pub(crate) initial: Option<Pid>,
}

/// A process that failed by itself.
#[derive(Debug)]
pub(crate) struct Failed {
    pub pid: Pid,
    pub worker: String,
    pub node: String,
    pub status: ExitStatus,
    pub words: Words,
}

impl LastWord<'_> {
    /// A sentence without a full stop, on one line.
    pub fn sentence(&self, is_coloured: bool) -> String {
        let Failed {
            pid, worker, node, ..
        } = self.failed;
        let mut text = paint(&pid.to_string(), *pid, is_coloured);
        match (worker.as_str(), node.as_str()) {
            ("", _) => {}
            (worker, ALONE) => text += &format!(" ({worker})"),
            (worker, node) => text += &format!(" ({worker} on {node})"),
        }
        text += &format!(" failed first: {}", self.failed.how());
        if self.later > 0 {
            text += &format!("; {} more failed after it", self.later);
        }
        if let Some(other) = self.exit_code_of.filter(|other| other != pid) {
            let painted = paint(&other.to_string(), other, is_coloured);
            text += &format!("; the exit code is that of {painted}");
            if self.initial == Some(other) {
                text += ", the first process";
            }
        }
        text
    }
}

impl Failed {
    fn how(&self) -> String {
        let status = self.status;
        // What another thread panicked with, or this one and went on, did not end the process.
        let is_own = |thread: &str| thread == MAIN || thread == self.worker;
        let panic = match status.end() {
            _ if self.has_returned_panic() => None,
            End::Code(PANICKED) => self.words.panic(is_own),
            End::Signal(ABORTED) if self.words.end_with_panic() => self.words.panic(|_| true),
            _ => None,
        };
        match (status.reason(), status.end(), panic) {
            (Some(Reason::OutOfMemory(shortage)), ..) => {
                format!("it needed more memory than it was granted ({shortage}), and was killed")
            }
            (Some(Reason::Orphaned), ..) => {
                "what watched over it on its node was killed, and it with that".to_string()
            }
            (Some(Reason::NodeLost), ..) => "its node was lost".to_string(),
            (_, End::Code(_), Some(panic)) => format!("it {panic}"),
            (_, End::Code(code), None) => self.after_words(format!("exit code {code}")),
            // An abort says nothing of why, so this is all that is known: where panics abort, it was this one.
            (_, End::Signal(_), Some(panic)) => {
                format!("it was ended by {status}, after it {panic}")
            }
            (_, End::Signal(ABORTED), None) => {
                self.after_words(format!("it was ended by {status}"))
            }
            (_, End::Signal(_), None) => format!("it was ended by {status}"),
        }
    }

    fn after_words(&self, how: String) -> String {
        let is_told = self.has_returned_panic() && self.words.end_with_panic();
        match self.words.line().filter(|_| !is_told) {
            Some(line) => format!("{how}, after it wrote \"{line}\""),
            None => how,
        }
    }

    /// Whether the last panic, if there was any, is no reason: a pool's worker returns it to its caller and goes on, but for
    /// one that aborts, which is always told.
    fn has_returned_panic(&self) -> bool {
        self.worker.starts_with(POOL_OF) && !self.words.end_with_abort()
    }
}

/// The exit code of a program whose `main` panicked, and of a worker.
const PANICKED: i32 = 101;
const ABORTED: i32 = 6;
/// What the standard library calls the first thread.
const MAIN: &str = "main";
/// The node of a program that runs alone, which nobody asks about.
const ALONE: &str = "local";
#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;
    use deploy_wire::{
        event::{Event, Stream},
        exit::Shortage,
        pid::Job,
        resources::{Mem, Resources},
    };

    fn pid(number: u32) -> Pid {
        Pid::new(Job::from_bits(5), number)
    }

    fn wrote(number: u32, text: &str) -> Event {
        Event::Output {
            pid: pid(number),
            stream: Stream::Stderr,
            bytes: text.as_bytes().to_vec(),
        }
    }

    fn exited(number: u32, end: End) -> Event {
        let status = ExitStatus::new(end);
        let pid = pid(number);
        Event::Exited { pid, status }
    }

    /// A family of an initial process and two workers to whom this happens leaves this last word.
    fn check(events: &[Event], expect: Option<&str>) {
        check_with("hello::work", events, expect);
    }

    /// The same, where the second worker runs this.
    fn check_with(second: &str, events: &[Event], expect: Option<&str>) {
        let mut family = Family::new();
        for (number, worker) in [(0, "hello::main"), (1, "hello::work"), (2, second)] {
            family.handle_event(&Event::Spawned {
                pid: pid(number),
                parent: (number > 0).then(|| pid(0)),
                node: format!("n{number}"),
                worker: worker.into(),
                resources: Resources::default(),
            });
        }
        events.iter().for_each(|event| family.handle_event(event));
        let said = family.last_word().map(|word| {
            let text = word.sentence(false);
            (0..3).fold(text, |text, number| {
                text.replace(&pid(number).to_string(), &format!("<{number}>"))
            })
        });
        assert_eq!(said.as_deref(), expect);
    }

    #[test]
    fn the_first_to_fail_is_named_with_its_reason() {
        let panic = "\nthread 'hello::work' (7) panicked at src/main.rs:3:5:\nno \x1b[31mroom\nnote: run with `RUST_BACKTRACE=1`\n";
        check(
            &[
                wrote(2, panic),
                exited(2, End::Code(101)),
                exited(1, End::Signal(11)),
                exited(0, End::Code(1)),
            ],
            Some(
                "<2> (hello::work on n2) failed first: it panicked at src/main.rs:3:5: no \u{fffd}[31mroom; 2 more failed after it; the exit code is that of <0>, the first process",
            ),
        );
        let later = exited(0, End::Code(0));
        let check_one = |end: Event, how: &str| {
            let expected = format!("<1> (hello::work on n1) failed first: {how}");
            check(&[end, later.clone()], Some(&expected));
        };
        check_one(exited(1, End::Code(3)), "exit code 3");
        check_one(exited(1, End::Signal(11)), "it was ended by SIGSEGV");
        let shortage = Shortage {
            limit: 64 * Mem::MIB,
            peak: 63 * Mem::MIB,
        };
        let status = ExitStatus::new(End::Signal(9)).because(Reason::OutOfMemory(shortage));
        let pid = pid(1);
        check_one(
            Event::Exited { pid, status },
            "it needed more memory than it was granted (limit 64MiB, peak 63.0MiB), and was killed",
        );
        check(
            &[
                wrote(1, "one\ntwo\n\n"),
                exited(1, End::Code(2)),
                later.clone(),
            ],
            Some("<1> (hello::work on n1) failed first: exit code 2, after it wrote \"two\""),
        );
    }

    #[test]
    fn a_panic_that_was_survived_is_not_the_cause() {
        let panic_of = |thread: &str, behind: &str| {
            format!("\nthread '{thread}' (7) panicked at src/main.rs:3:5:\nno room\n{behind}")
        };
        let note = "note: run with `RUST_BACKTRACE=1` environment variable\n";
        let check_one = |text: &str, end: End, how: &str| {
            let expected = format!("<1> (hello::work on n1) failed first: {how}");
            // Read at once, or in pieces.
            let (all, last) = (exited(1, end), exited(0, End::Code(0)));
            check(
                &[wrote(1, text), all.clone(), last.clone()],
                Some(&expected),
            );
            let pieces = text.as_bytes().chunks(7);
            let pieces = pieces.map(|piece| wrote(1, std::str::from_utf8(piece).unwrap()));
            let events: Vec<Event> = pieces.chain([all, last]).collect();
            check(&events, Some(&expected));
        };
        let (panicked, aborted) = (End::Code(101), End::Signal(6));
        let at = "panicked at src/main.rs:3:5: no room";
        let own = panic_of("hello::work", note);
        check_one(&own, panicked, &format!("it {at}"));
        check_one(&panic_of("main", ""), panicked, &format!("it {at}"));
        let helpers = panic_of("helper", note);
        check_one(
            &helpers,
            panicked,
            "exit code 101, after it wrote \"no room\"",
        );
        // Where panics abort; or it was caught, and the abort has another reason that nobody told.
        let after = format!("it was ended by SIGABRT, after it {at}");
        for text in [&own, &helpers, &panic_of("helper", "")] {
            check_one(text, aborted, &after);
        }
        let went_on = format!("{own}going on\n");
        let after = "it was ended by SIGABRT, after it wrote \"going on\"";
        check_one(&went_on, aborted, after);
        check_one(&went_on, End::Signal(11), "it was ended by SIGSEGV");
        let frames = "   7: core::ops::function::FnOnce::call_once\n".repeat(100);
        let long = panic_of(
            "hello::work",
            &format!("stack backtrace:\n{frames}note: Some details are omitted\n"),
        );
        check_one(&long, panicked, &format!("it {at}"));
        check_one(
            &long,
            aborted,
            &format!("it was ended by SIGABRT, after it {at}"),
        );
    }

    #[test]
    fn a_panic_that_a_pool_has_returned_is_not_the_cause() {
        let check_one = |behind: &str, end: End, how: &str| {
            let text = format!(
                "\nthread 'pool of hello::square' (7) panicked at src/main.rs:3:5:\nno room\n{behind}"
            );
            let expected = format!("<2> (pool of hello::square on n2) failed first: {how}");
            let events = [wrote(2, &text), exited(2, end), exited(0, End::Code(0))];
            check_with("pool of hello::square", &events, Some(&expected));
        };
        let aborted = End::Signal(6);
        let note = "note: run with `RUST_BACKTRACE=1` environment variable\n";
        for behind in ["", note] {
            check_one(behind, aborted, "it was ended by SIGABRT");
            check_one(behind, End::Code(101), "exit code 101");
        }
        check_one(
            &format!("{note}no database\n"),
            aborted,
            "it was ended by SIGABRT, after it wrote \"no database\"",
        );
        for behind in ["", note] {
            check_one(
                &format!("{behind}thread caused non-unwinding panic. aborting.\n"),
                aborted,
                "it was ended by SIGABRT, after it panicked at src/main.rs:3:5: no room",
            );
        }
    }

    #[test]
    fn a_pool_answers_for_its_workers() {
        let died = exited(2, End::Signal(11));
        let check = |events: &[Event], expect| {
            check_with("pool of hello::square", events, expect);
        };
        let is_first = "<1> (hello::work on n1) failed first: exit code 3";
        let before = format!("{is_first}; the exit code is that of <2>");
        check(
            &[
                died.clone(),
                exited(1, End::Code(3)),
                exited(0, End::Code(0)),
            ],
            Some(&before),
        );
        let both = format!("{is_first}; 1 more failed after it");
        check(
            &[
                exited(1, End::Code(3)),
                died.clone(),
                exited(0, End::Code(0)),
            ],
            Some(&both),
        );
        check(&[died.clone(), exited(0, End::Code(101))], None);
        let alone = "<2> (pool of hello::square on n2) failed first: it was ended by SIGSEGV";
        check(&[died, exited(0, End::Code(0))], Some(alone));
    }

    #[test]
    fn what_is_plain_to_see_is_not_said() {
        check(&[exited(0, End::Code(0))], None);
        check(&[exited(1, End::Code(0)), exited(0, End::Code(7))], None);
        let status = ExitStatus::new(End::Signal(9)).because(Reason::Killed);
        let killed = Event::Exited {
            pid: pid(1),
            status,
        };
        check(&[killed, exited(0, End::Code(0))], None);
    }
}
