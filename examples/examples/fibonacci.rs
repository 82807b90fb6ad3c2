//! A tree of processes: each number of Fibonacci is the sum of two others, which two other processes find.
//!
//! Below a threshold a process computes by itself, because starting one takes longer than the sum. The tree comes in
//! two forms: `blocking`, where a process waits for one child and then for the other, and `async`, where one task waits
//! for both, on an executor of your choice (here that of `futures`).
//!
//! ```text
//! cargo run -p deploy-examples --example fibonacci
//! cargo run -p deploy-examples --example fibonacci -- async 30 26
//! ```

use deploy::*;
use futures::{executor::block_on, future::try_join};
use serde::{Deserialize, Serialize};
use std::{env, error::Error, process};

fn main() -> Result<(), Box<dyn Error>> {
    init(Resources::default());
    let Some((form, task)) = arguments() else {
        eprintln!("usage: fibonacci [blocking|async [NUMBER, at most 93 [THRESHOLD]]]");
        process::exit(2);
    };
    let value = match form {
        Form::Blocking => blocking(task)?,
        Form::Async => block_on(concurrent(task))?,
    };
    println!("fibonacci({}) = {value}", task.number);
    Ok(())
}

/// Which number, and up to which one a process computes by itself.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Task {
    number: u32,
    threshold: u32,
}

impl Task {
    /// The same for another number.
    fn less(self, by: u32) -> Task {
        Task {
            number: self.number - by,
            ..self
        }
    }
}

/// The number, by a thread that waits for its two children.
fn blocking(task: Task) -> Result<u64, Box<dyn Error>> {
    if task.number <= task.threshold {
        return Ok(alone(task.number));
    }
    // Both are started before either is waited for.
    let one = spawn(blocking_worker, task.less(1), Resources::default())?;
    let two = spawn(blocking_worker, task.less(2), Resources::default())?;
    Ok(Receiver::<u64>::new(one).recv()? + Receiver::<u64>::new(two).recv()?)
}

fn blocking_worker(parent: Pid, task: Task) {
    let value = blocking(task).expect("the children answer");
    let sent = Sender::new(parent).send(value);
    sent.expect("the parent waits for the number");
}

/// The number, by a task that waits for both children at once.
async fn concurrent(task: Task) -> Result<u64, Box<dyn Error>> {
    if task.number <= task.threshold {
        return Ok(alone(task.number));
    }
    let one = spawn(async_worker, task.less(1), Resources::default())?;
    let two = spawn(async_worker, task.less(2), Resources::default())?;
    let (one, two) = (Receiver::<u64>::new(one), Receiver::<u64>::new(two));
    // The first one that fails ends the waiting for the other.
    let (one, two) = try_join(one.recv_async(), two.recv_async()).await?;
    Ok(one + two)
}

/// A worker is a plain function: it brings its own executor.
fn async_worker(parent: Pid, task: Task) {
    block_on(async {
        let value = concurrent(task).await.expect("the children answer");
        let sent = Sender::new(parent).send_async(value).await;
        sent.expect("the parent waits for the number");
    });
}

/// The number, without help.
fn alone(number: u32) -> u64 {
    let (mut this, mut next) = (0_u64, 1_u64);
    for _ in 0..number {
        (this, next) = (next, this.wrapping_add(next));
    }
    this
}

enum Form {
    Blocking,
    Async,
}

/// The form, the number and the threshold; nothing if they make no sense.
fn arguments() -> Option<(Form, Task)> {
    let mut arguments = env::args().skip(1);
    let form = match arguments.next().as_deref() {
        None | Some("blocking") => Form::Blocking,
        Some("async") => Form::Async,
        Some(_) => return None,
    };
    // The 94th number of Fibonacci does not fit 64 bits.
    let number = arguments.next().map_or(Ok(20), |text| text.parse()).ok()?;
    let default = Ok(u32::saturating_sub(number, 3).max(1));
    let threshold = arguments.next().map_or(default, |text| text.parse()).ok()?;
    let task = Task { number, threshold };
    (number <= 93 && threshold >= 1).then_some((form, task))
}
