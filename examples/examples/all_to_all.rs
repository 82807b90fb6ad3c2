//! Processes that all talk to each other: each learns of its siblings, and sends to and hears from every one.
//!
//! A [`Pid`] is a value like any other. Whoever has one can open a channel to that process, whether it is a parent, a
//! child or a sibling, and the two ends may be made in any order.
//!
//! ```text
//! cargo run -p deploy-examples --example all_to_all
//! cargo run -p deploy-examples --example all_to_all -- 100
//! ```

use deploy::*;
use std::{env, error::Error, process};

fn main() -> Result<(), Box<dyn Error>> {
    init(Resources::default());
    let count = env::args().nth(1).map_or(Ok(10), |count| count.parse());
    let Ok(count @ 1..) = count else {
        eprintln!("usage: all_to_all [PROCESSES], at least 1");
        process::exit(2);
    };

    let mut workers = Vec::new();
    for index in 0..count {
        workers.push(spawn(talk, index, Resources::default())?);
    }
    // Nobody knows its siblings until all of them exist; so everybody is told now.
    for worker in &workers {
        Sender::new(*worker).send(workers.clone())?;
    }
    let mut checksum = 0_u64;
    for worker in &workers {
        checksum = checksum.wrapping_add(Receiver::<u64>::new(*worker).recv()?);
    }
    let messages = count * (count - 1);
    println!("{count} processes, {messages} messages, checksum {checksum:016x}");
    Ok(())
}

/// What each process runs; `index` is its place among its siblings.
fn talk(parent: Pid, index: u64) {
    let siblings: Vec<Pid> = Receiver::new(parent).recv().expect("the parent tells all");
    let others = || (0..).zip(&siblings).filter(|(_, other)| **other != pid());

    // Everybody sends before anybody receives. That is no deadlock: a channel takes 64 KiB that nobody has received. What
    // was sent arrives, also when its sender is dropped at once, as here.
    for (to, other) in others() {
        let sent = Sender::new(*other).send(message(index, to));
        sent.expect("the sibling lives");
    }
    let mut sum = 0_u64;
    for (from, other) in others() {
        let heard: u64 = Receiver::new(*other).recv().expect("the sibling sends");
        assert_eq!(heard, message(from, index), "from {other}");
        sum = sum.wrapping_add(heard);
    }
    let sent = Sender::new(parent).send(sum);
    sent.expect("the parent waits for the sum");
}

/// What the process `from` has to say to the process `to`: something that is said only once.
fn message(from: u64, to: u64) -> u64 {
    (from * 0x1_0000 + to + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
