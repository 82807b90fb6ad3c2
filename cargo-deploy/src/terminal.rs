//! The terminal of the person, where lines are drawn over: whether that can be done, how long they may be, and how many.
//!
//! Deliberately absent: colours (`deploy-bridge`), and what is drawn.

use std::{
    env,
    io::{self, IsTerminal},
    os::fd::AsFd,
};
use terminal_size::{Height, Width, terminal_size_of};

/// Whether standard error is a terminal where a line can be written over.
pub fn can_redraw() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How many rows this terminal has; no end of them where that is not known.
pub fn rows(terminal: &impl AsFd) -> usize {
    match terminal_size_of(terminal) {
        Some((_, Height(rows))) if rows > 0 => rows.into(),
        _ => usize::MAX,
    }
}

/// As much of a line as a row of this terminal holds; all of it where that is not known.
pub fn cut(line: &str, terminal: &impl AsFd) -> String {
    match terminal_size_of(terminal) {
        // Some terminals go to the next row when the last place of one is taken.
        Some((Width(columns), _)) if columns > 1 => {
            line.chars().take(usize::from(columns) - 1).collect()
        }
        _ => line.to_string(),
    }
}
