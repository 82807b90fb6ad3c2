//! How far a map is, told on a terminal: seldom, and never on a pipe.
//!
//! Each word is a line of its own: what a process prints moves no cursor. Deliberately absent: how often whoever asks for
//! results does so; a line comes with a result.

use std::{
    io::Write,
    time::{Duration, Instant},
};

pub(crate) struct Progress {
    /// Nothing, where nobody would see it.
    shown: Option<Shown>,
}

struct Shown {
    /// Of what.
    name: &'static str,
    total: Option<usize>,
    done: usize,
    start: Instant,
    /// When the next line is due.
    due: Duration,
}

impl Progress {
    /// Of so many calls, where that is known, of the function with this path.
    pub(crate) fn new(path: &'static str, total: Option<usize>) -> Progress {
        let is_seen = is_seen();
        let name = path.rsplit("::").next().unwrap_or(path);
        let shown = Shown {
            name: if name.contains('{') { "map" } else { name },
            total,
            done: 0,
            start: Instant::now(),
            due: FIRST,
        };
        Progress {
            shown: is_seen.then_some(shown),
        }
    }

    /// One more is done.
    pub(crate) fn step(&mut self, workers: impl FnOnce() -> usize) {
        let Some(shown) = &mut self.shown else { return };
        shown.done += 1;
        let took = shown.start.elapsed();
        if took >= shown.due && shown.total != Some(shown.done) {
            shown.due = took + took.min(BETWEEN_MAX);
            say(&shown.line(took, workers()));
        }
    }

    /// All are done: that is told where anything was.
    pub(crate) fn finish(&mut self, workers: impl FnOnce() -> usize) {
        if let Some(shown) = self.shown.take()
            && shown.start.elapsed() >= FIRST
        {
            say(&shown.line(shown.start.elapsed(), workers()));
        }
    }
}

impl Shown {
    fn line(&self, took: Duration, workers: usize) -> String {
        let Shown {
            name, total, done, ..
        } = self;
        let rate = *done as f64 / took.as_secs_f64();
        let of = total.map_or(String::new(), |total| format!(" of {total}"));
        let rate_digits = if rate < 10.0 { 1 } else { 0 };
        let left = total.map_or(0.0, |total| total.saturating_sub(*done) as f64 / rate);
        let left = match left.round() as u64 {
            0 => String::new(),
            seconds => format!(", {} left", time(seconds)),
        };
        let workers = match workers {
            1 => "1 worker".to_string(),
            many => format!("{many} workers"),
        };
        format!("{name}: {done}{of} done, {rate:.rate_digits$}/s{left}, {workers}")
    }
}

fn time(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Whether what is said is for a person.
#[cfg(feature = "distributed")]
fn is_seen() -> bool {
    crate::process::find().is_some_and(|process| process.stderr_is_terminal)
}

#[cfg(not(feature = "distributed"))]
fn is_seen() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

fn say(line: &str) {
    // A terminal that is gone has nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What is done sooner needs no telling.
const FIRST: Duration = Duration::from_secs(1);

/// Each line comes after twice the time of the one before, until this much lies between two.
const BETWEEN_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_done_rate_time_left_and_workers() {
        let shown = |done, total| Shown {
            name: "square",
            total,
            done,
            start: Instant::now(),
            due: FIRST,
        };
        let line = |done, total, seconds, workers| {
            shown(done, total).line(Duration::from_secs(seconds), workers)
        };
        assert_eq!(
            line(100, Some(400), 1, 8),
            "square: 100 of 400 done, 100/s, 3 s left, 8 workers"
        );
        assert_eq!(
            line(1, Some(4000), 2, 1),
            "square: 1 of 4000 done, 0.5/s, 2 h 13 min left, 1 worker"
        );
        assert_eq!(line(90, None, 60, 2), "square: 90 done, 1.5/s, 2 workers");
        assert_eq!(
            line(4, Some(4), 1, 2),
            "square: 4 of 4 done, 4.0/s, 2 workers"
        );
    }
}
