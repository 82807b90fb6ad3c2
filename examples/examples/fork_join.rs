//! The lowest hash of a text with a number behind it, looked for by many processes: fork, compute, join.
//!
//! Each process gets a share of the numbers as its argument, and answers with the best one that it found. All of them
//! run before the first answer is awaited, so that they work at the same time.
//!
//! ```text
//! cargo run --release -p deploy-examples --example fork_join
//! cargo run --release -p deploy-examples --example fork_join -- 'some text' 100000000 8
//! ```

use deploy::*;
use serde::{Deserialize, Serialize};
use std::{env, error::Error, ops::Range, process, thread};

fn main() -> Result<(), Box<dyn Error>> {
    init(Resources::default());
    let Some((text, numbers, processes)) = arguments() else {
        eprintln!("usage: fork_join [TEXT [NUMBERS [PROCESSES]]], both at least 1");
        process::exit(2);
    };

    // Fork: one process for each share of the numbers.
    let mut workers = Vec::new();
    for index in 0..processes {
        let share = Share {
            text: text.clone(),
            numbers: bound(numbers, index, processes)..bound(numbers, index + 1, processes),
        };
        workers.push(spawn(search, share, Resources::default())?);
    }

    // Join: the best of their answers. A share without numbers has none.
    let mut lowest = None;
    for worker in workers {
        let found = Receiver::<Option<Found>>::new(worker).recv()?;
        lowest = lowest.into_iter().chain(found).min();
    }
    let lowest = lowest.ok_or("no number was tried")?;
    println!(
        "lowest of {numbers}: {:016x}, for \"{text}{}\"",
        lowest.hash, lowest.number
    );
    Ok(())
}

/// What one process is to search.
#[derive(Serialize, Deserialize)]
struct Share {
    text: String,
    numbers: Range<u64>,
}

/// A number and its hash; the order of the fields is the order of the values.
#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    hash: u64,
    number: u64,
}

/// What each process runs.
fn search(parent: Pid, share: Share) {
    let found = share.numbers.map(|number| Found {
        hash: hash(format!("{}{number}", share.text).as_bytes()),
        number,
    });
    let sent = Sender::new(parent).send(found.min());
    sent.expect("the parent waits for the answer");
}

/// FNV-1a of 64 bits, stirred once more so that the last byte changes the highest bits too.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where the share of the process `index` begins.
fn bound(numbers: u64, index: u64, processes: u64) -> u64 {
    (u128::from(numbers) * u128::from(index) / u128::from(processes)) as u64
}

/// Text, numbers, processes; nothing if they make no sense.
fn arguments() -> Option<(String, u64, u64)> {
    let mut arguments = env::args().skip(1);
    let text = arguments.next().unwrap_or_else(|| "deploy".to_string());
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let mut number = |default| match arguments.next() {
        Some(argument) => argument.parse().ok().filter(|number| *number > 0),
        None => Some(default),
    };
    Some((text, number(1_000_000)?, number(cores)?))
}
