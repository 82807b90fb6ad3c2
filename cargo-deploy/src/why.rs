//! `cargo deploy why`: how it came to the ends of processes, and what those that live wait for, in a sentence each.
//!
//! Deliberately absent: guesses. What is not known is not said.

use crate::{cli, failure::Failure, listing};
use deploy_bridge::harmless;
use deploy_wire::{
    client::{Answer, Ask, LifeView},
    exit::{ExitStatus, Reason, Shortage},
    wait::{Awaited, Wait, Waits},
};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// Explains a job or a process.
pub fn why(why: &cli::Why) -> Result<i32, Failure> {
    let is_json = listing::is_json(&why.shown)?;
    let (job, process) = listing::job_and_process(&why.what);
    let is_one = process.is_some();
    let ask = Ask::Why { job, process };
    let lives = listing::ask(why.target.as_deref(), &ask, |answer| match answer {
        Answer::Lives(lives) => Some(lives),
        _ => None,
    })?;
    listing::print(match (is_json, is_one) {
        (true, _) => listing::lines(lives.iter().map(json)),
        (false, true) => lives.iter().map(|life| line(life) + "\n").collect(),
        (false, false) => story(&lives),
    })
}

/// Of a whole job: who is to blame first, and what else there is to say.
fn story(lives: &[LifeView]) -> String {
    if lives.is_empty() {
        return "Its first process has not begun, or has neither printed nor asked for anything yet.\n".to_string();
    }
    let blamed = lives.iter().find(|life| life.is_blamed);
    let head = match blamed {
        Some(life) => format!("The exit code comes from {}:\n", life.pid),
        None => "Nothing has failed by itself.\n".to_string(),
    };
    let sentences = lives.iter().map(|life| format!("  {}\n", line(life)));
    head + &sentences.collect::<String>()
}

/// A sentence for a terminal, whatever processes call their workers, types and files.
fn line(life: &LifeView) -> String {
    harmless(&sentence(life))
}

fn sentence(life: &LifeView) -> String {
    let LifeView {
        pid, worker, node, ..
    } = life;
    let who = format!("{pid} ({worker} on {node})");
    let Some(status) = life.status else {
        return format!("{who} {}.", at_work(&life.waits));
    };
    let how = match (status.reason(), &life.by) {
        (Some(Reason::OutOfMemory(shortage)), _) => format!(
            "was killed because it needed more than the {} of memory that it was granted ({shortage})",
            life.resources.mem
        ),
        (Some(Reason::NodeLost), Some(by)) if node == AT_THE_TERMINAL => {
            format!("was lost with the terminal where it ran (--here), by {by}")
        }
        (Some(Reason::NodeLost), Some(by)) => format!("was lost with its node {node}, by {by}"),
        (Some(Reason::Orphaned), _) => {
            format!("was killed, because what watches over the job's processes on {node} was")
        }
        (Some(Reason::Linked), Some(by)) => format!("was ended by {by}, its parent"),
        (Some(_), Some(by)) => match status.signal_name() {
            Some(signal) => format!("was ended with {signal} by {by}"),
            None => format!("was asked to end by {by}, and {}", by_itself(status)),
        },
        (Some(reason), None) => format!("ended: {reason}"),
        (None, _) => by_itself(status),
    };
    format!("{who} {how}.")
}

/// What a process does that lives, as far as it is known. Of what it waits for the first is said that it has waited for
/// longest.
fn at_work(waits: &Waits) -> String {
    let mut list: Vec<&Wait> = waits.list.iter().collect();
    list.sort_by_key(|wait| Reverse(wait.ms));
    let Some(longest) = list.first() else {
        return "runs".to_string();
    };
    let seconds = longest.ms / 1000;
    let shown = list
        .iter()
        .take(WAITS_SHOWN_MAX)
        .map(|wait| wait.to_string());
    let mut words = shown.collect::<Vec<String>>().join(", or ");
    if let hidden @ 1.. = list.len().saturating_sub(WAITS_SHOWN_MAX) {
        words += &format!(", or {hidden} others");
    }
    match waits.is_all {
        true => format!("does nothing but wait, for {seconds} s now, {words}"),
        false => format!("runs, and has waited for {seconds} s in one place, {words}"),
    }
}

fn by_itself(status: ExitStatus) -> String {
    match (status.signal_name(), status.code()) {
        (_, Some(0)) => "ended well".to_string(),
        (_, Some(101)) => {
            "exited with code 101, as a panic does; its last words are in the log".to_string()
        }
        (_, Some(code)) => format!("exited with code {code}"),
        (Some(signal), None) => {
            format!("was ended by {signal}, which it raised itself or something on its node sent")
        }
        (None, None) => "ended".to_string(),
    }
}

fn json(life: &LifeView) -> Value {
    let status = life.status.map(|status| {
        json!({
            "code": status.code(),
            "signal": status.signal_name(),
            "reason": status.reason().map(Reason::word),
            "limit": shortage(status).map(|shortage| shortage.limit.bytes()),
            "peak": shortage(status).map(|shortage| shortage.peak.bytes()),
        })
    });
    json!({
        "pid": life.pid.to_string(),
        "parent": life.parent.map(|parent| parent.to_string()),
        "node": life.node,
        "worker": life.worker,
        "resources": listing::resources_json(life.resources),
        "status": status,
        "by": life.by,
        "waits": life.waits.list.iter().map(wait_json).collect::<Vec<Value>>(),
        "only_waits": life.waits.is_all,
        "blamed": life.is_blamed,
        "sentence": sentence(life),
    })
}

fn shortage(status: ExitStatus) -> Option<Shortage> {
    match status.reason()? {
        Reason::OutOfMemory(shortage) => Some(shortage),
        _ => None,
    }
}

fn wait_json(wait: &Wait) -> Value {
    json!({
        "for": match wait.what {
            Awaited::Value => "value",
            Awaited::Room => "room",
            Awaited::Arrival => "arrival",
            Awaited::End => "end",
            Awaited::Answer => "answer",
            Awaited::Delivery => "delivery",
        },
        "peer": wait.peer.to_string(),
        "type": wait.type_name,
        "place": wait.place,
        "seconds": wait.ms as f64 / 1000.0,
    })
}

/// What is called a node where the first process runs at the person's terminal.
const AT_THE_TERMINAL: &str = "here";
/// What fits on a line.
const WAITS_SHOWN_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::{
        exit::{End, Shortage},
        pid::{Job, Pid},
        resources::{Mem, Resources},
    };

    fn life() -> LifeView {
        LifeView {
            pid: Pid::new(Job::from_bits(5), 1),
            parent: None,
            node: "n1".into(),
            worker: "hello::worker".into(),
            resources: Resources::default(),
            status: None,
            by: None,
            is_blamed: false,
            waits: Waits::default(),
        }
    }

    /// The sentence for this end, from behind who it is about.
    fn check(status: ExitStatus, by: Option<&str>, expected: &str) {
        let life = LifeView {
            status: Some(status),
            by: by.map(str::to_string),
            ..life()
        };
        let said = sentence(&life);
        let (_, how) = said.split_once("(hello::worker on n1) ").unwrap();
        assert_eq!(how, expected);
    }

    #[test]
    fn a_name_commands_no_terminal() {
        let worker = "a\x1b[2J\u{202e}\n  0000000 (b on n1) ended well.".to_string();
        let life = LifeView { worker, ..life() };
        let said = story(&[life]);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(!said.contains(['\x1b', '\u{202e}']), "{said:?}");
    }

    #[test]
    fn each_end_is_a_sentence() {
        let signal = ExitStatus::new(End::Signal(9));
        let code = |code| ExitStatus::new(End::Code(code));
        check(code(0), None, "ended well.");
        check(code(3), None, "exited with code 3.");
        check(
            signal.because(Reason::OutOfMemory(Shortage {
                limit: 256 * Mem::MIB,
                peak: 255 * Mem::MIB,
            })),
            None,
            "was killed because it needed more than the 256MiB of memory that it was granted (limit 256MiB, peak \
             255.0MiB).",
        );
        check(
            signal.because(Reason::Killed),
            Some("process 3fecd01"),
            "was ended with SIGKILL by process 3fecd01.",
        );
        check(
            signal.because(Reason::Interrupted),
            Some("ada"),
            "was ended with SIGKILL by ada.",
        );
        check(
            signal.because(Reason::NodeLost),
            Some("12 s of silence"),
            "was lost with its node n1, by 12 s of silence.",
        );
    }

    #[test]
    fn who_lives_runs_or_waits() {
        let wait = |peer, ms| Wait {
            what: Awaited::Value,
            peer: Pid::new(Job::from_bits(5), peer),
            type_name: "u64".into(),
            place: Some("src/main.rs:7".into()),
            ms,
        };
        let waits = |list, is_all| at_work(&Waits { list, is_all });
        assert_eq!(waits(vec![], false), "runs");
        let (one, two) = (wait(1, 2100), wait(2, 14_000));
        let (first, second) = (one.peer, two.peer);
        assert_eq!(
            waits(vec![one.clone()], false),
            format!(
                "runs, and has waited for 2 s in one place, to receive u64 from {first} (src/main.rs:7)"
            )
        );
        assert_eq!(
            waits(vec![one, two], true),
            format!(
                "does nothing but wait, for 14 s now, to receive u64 from {second} (src/main.rs:7), or to receive u64 \
                 from {first} (src/main.rs:7)"
            )
        );
    }

    #[test]
    fn a_job_in_which_nothing_failed_says_so() {
        assert!(story(&[]).starts_with("Its first process has not begun, or "));
    }
}
