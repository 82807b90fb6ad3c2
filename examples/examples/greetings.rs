//! The README's program: ten workers are each spawned with an argument, greet, and answer over a channel.
//!
//! ```text
//! cargo run -p deploy-examples --example greetings
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "an example shows what a first program looks like"
)]

use deploy::*;
use serde::{Deserialize, Serialize};

fn main() {
    init(Resources::default());
    let mut total = 0;
    for index in 0..10 {
        let greeting = format!("hello worker {}!", index);
        let worker_arg = WorkerArg { index, greeting };
        let pid = spawn(worker, worker_arg, Resources::default()).expect("Out of resources!");
        let receiver = Receiver::<usize>::new(pid);
        total += receiver.recv().unwrap();
    }
    println!("total {}!", total);
}

#[derive(Serialize, Deserialize)]
struct WorkerArg {
    index: usize,
    greeting: String,
}

fn worker(parent: Pid, worker_arg: WorkerArg) {
    println!("{}", worker_arg.greeting);
    let sender = Sender::<usize>::new(parent);
    sender.send(worker_arg.index * 100).unwrap();
}
