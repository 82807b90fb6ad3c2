//! A line on standard error, for whoever still reads there.
//!
//! `eprintln!` panics where nobody does, on a pipe whose reader has gone, a terminal that was hung up, a full disk: it has
//! an exit code become 101, and a daemon lose the thread that only meant to note something.

use std::{
    fmt::Arguments,
    io::{self, Write},
};

/// Writes a line to standard error, as `eprintln!`, or nothing where that cannot be written.
#[macro_export]
macro_rules! tell {
    ($($words:tt)+) => { $crate::tell::line(format_args!($($words)+)) };
}

/// What [`tell!`](crate::tell!) does.
pub fn line(words: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{words}");
}
