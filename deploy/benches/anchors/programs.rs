//! Whole programs, from the start to the end, as a shell sees them: the same one behind `init` and without the library.

use crate::{itself::itself, samples::median};
use std::{
    io::{self, Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};

/// What to run.
pub enum Run {
    /// A program that prints one line; the milliseconds that it takes.
    Hello(Kind),
    /// A program that prints many lines; how many megabytes of them come a second.
    Lines(Kind),
}

/// With the library or without.
#[derive(Clone, Copy)]
pub enum Kind {
    Plain,
    Deployed,
}

impl Run {
    /// Starts it often enough, and says what it came to.
    pub fn measure(&self) -> Result<f64, String> {
        match *self {
            Run::Hello(kind) => {
                let mut samples = Vec::new();
                for index in 0..HELLOS_WARM_UP + HELLOS {
                    let took = run(kind, "hello", HELLO.len())?;
                    if index >= HELLOS_WARM_UP {
                        samples.push(took.as_secs_f64() * 1e3);
                    }
                }
                Ok(median(&mut samples))
            }
            Run::Lines(kind) => {
                let took = run(kind, "lines", BLOCK_BYTES * BLOCKS)?;
                Ok((BLOCK_BYTES * BLOCKS) as f64 / 1e6 / took.as_secs_f64())
            }
        }
    }
}

/// Prints, in a program that was started for it.
pub fn print(what: &str) {
    match what {
        "hello" => print!("{HELLO}"),
        "lines" => print_lines().expect("whoever measures reads"),
        _ => panic!("there is nothing to print called {what}"),
    }
}

fn print_lines() -> io::Result<()> {
    let line = [&[b'x'; LINE_BYTES - 1], &b"\n"[..]].concat();
    let block = line.repeat(BLOCK_BYTES / LINE_BYTES);
    let mut stdout = io::stdout().lock();
    (0..BLOCKS).try_for_each(|_| stdout.write_all(&block))?;
    stdout.flush()
}

/// How long the program runs, which is to print so many bytes.
fn run(kind: Kind, what: &str, bytes: usize) -> Result<Duration, String> {
    let kind = match kind {
        Kind::Plain => "--plain",
        Kind::Deployed => "--deployed",
    };
    let mut buffer = vec![0; READ_BYTES];
    let start = Instant::now();
    let mut child = itself()
        .args([kind, what])
        .stdout(Stdio::piped())
        .stderr(Stdio::null()) // The notes of the library.
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let mut count = 0;
    loop {
        match stdout.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) => return Err(error.to_string()),
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let took = start.elapsed();
    match status.success() && count == bytes {
        true => Ok(took),
        false => Err(format!("it printed {count} bytes of {bytes}, {status}")),
    }
}

const HELLO: &str = "Hello, world!\n";

const HELLOS: usize = 15;

const HELLOS_WARM_UP: usize = 2;

const LINE_BYTES: usize = 64;

/// What the program writes at once.
const BLOCK_BYTES: usize = 64 << 10;

/// 512 MiB: so long that starting and ending the program count for little.
const BLOCKS: usize = 8192;

const READ_BYTES: usize = 64 << 10;
