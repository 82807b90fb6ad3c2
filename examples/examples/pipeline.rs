//! Stages linked by channels, one of which waits for several at once.
//!
//! ```text
//!   count (odd)  \
//!                  merge --> square --> main
//!   count (even) /   ^                   |
//!                    +----- commands ----+
//! ```
//!
//! - `merge` takes from whichever side has something, by [`select!`], and hears commands also while it waits to send.
//! - The counters never stop by themselves, and yet no memory fills: where a stage is slow, `send` of the one before it
//!   blocks. That is back-pressure, and it reaches from `main` to the counters.
//! - When `main` has enough it says so. `merge` ends; the channels to it are then at an end, which is how its neighbours
//!   learn of it.
//!
//! ```text
//! cargo run -p deploy-examples --example pipeline
//! cargo run -p deploy-examples --example pipeline -- 100000
//! ```

use deploy::*;
use serde::{Deserialize, Serialize};
use std::{env, error::Error, process};

fn main() -> Result<(), Box<dyn Error>> {
    init(Resources::default());
    let wanted = env::args().nth(1).map_or(Ok(1000), |count| count.parse());
    let Ok(wanted @ 1..=1_000_000) = wanted else {
        eprintln!("usage: pipeline [COUNT], from 1 to 1000000");
        process::exit(2);
    };

    let merge = spawn(merge, (), Resources::default())?;
    let plan = Plan {
        sources: [
            spawn(count, (merge, 1), Resources::default())?,
            spawn(count, (merge, 2), Resources::default())?,
        ],
        next: spawn(square, merge, Resources::default())?,
    };
    let commands = Sender::<Command>::new(merge);
    let squares = Receiver::<u64>::new(plan.next);
    commands.send(Command::Begin(plan))?;

    // The first squares of either kind, however the two are mixed.
    let (mut odd, mut even) = (Sum::default(), Sum::default());
    while odd.count < wanted || even.count < wanted {
        let square = squares.recv()?;
        let sum = if square % 2 == 1 { &mut odd } else { &mut even };
        if sum.count < wanted {
            sum.count += 1;
            sum.total += square;
        }
    }
    commands.send(Command::Stop)?;
    println!("the first {wanted} odd squares are {} in sum", odd.total);
    println!("the first {wanted} even squares are {} in sum", even.total);
    Ok(())
}

#[derive(Default)]
struct Sum {
    count: u64,
    total: u64,
}

/// What `main` tells `merge`.
#[derive(Serialize, Deserialize)]
enum Command {
    Begin(Plan),
    Stop,
}

/// The neighbours of `merge`.
#[derive(Serialize, Deserialize)]
struct Plan {
    sources: [Pid; 2],
    next: Pid,
}

/// Counts from `first` in steps of two, until nobody listens any more.
fn count(_parent: Pid, (listener, first): (Pid, u64)) {
    let sender = Sender::new(listener);
    for number in (first..).step_by(2) {
        if sender.send(number).is_err() {
            break;
        }
    }
}

/// Merges two streams into one, and does what it is told meanwhile.
fn merge(parent: Pid, (): ()) {
    let commands = Receiver::<Command>::new(parent);
    let Ok(Command::Begin(plan)) = commands.recv() else {
        return;
    };
    let [odd, even] = plan.sources.map(Receiver::<u64>::new);
    let next = Sender::<u64>::new(plan.next);
    let (mut merged, mut held) = (0, None);
    loop {
        // Without a number it waits for one, with a number for room to send it, and for commands always.
        held = match held {
            None => {
                let number = select! {
                    recv(odd) -> number => number,
                    recv(even) -> number => number,
                    recv(commands) -> _stop => break,
                };
                let Ok(number) = number else { break };
                Some(number)
            }
            Some(number) => {
                let sent = select! {
                    send(next, number) -> sent => sent,
                    recv(commands) -> _stop => break,
                };
                let Ok(()) = sent else { break };
                merged += 1;
                None
            }
        };
    }
    println!("merged {merged} numbers");
}

/// Squares what comes, and passes it on, until either side has ended.
fn square(parent: Pid, source: Pid) {
    let sender = Sender::new(parent);
    for number in Receiver::<u64>::new(source).iter().map_while(Result::ok) {
        if sender.send(number * number).is_err() {
            break;
        }
    }
}
