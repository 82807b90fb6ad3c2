//! `init` inside `#[tokio::main]`, and a worker that starts a runtime of its own.

//= main: exits 0, out "total 6\n"
//=   worker: exits 0, out "runtime 1\n"
//=   worker: exits 0, out "runtime 2\n"
//=   worker: exits 0, out "runtime 3\n"

use deploy::*;
use std::time::Duration;

#[tokio::main]
async fn main() {
    init(Resources::default());
    let waits = (1..=3).map(|index| {
        let pid = spawn(worker, index, Resources::default()).unwrap();
        tokio::task::spawn_blocking(move || Receiver::<u32>::new(pid).recv().unwrap())
    });
    let waits: Vec<_> = waits.collect();
    let mut total = 0;
    for wait in waits {
        total += wait.await.unwrap();
    }
    println!("total {total}");
}

fn worker(parent: Pid, index: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let slept = runtime.block_on(async move {
        tokio::spawn(tokio::time::sleep(Duration::from_millis(1)))
            .await
            .unwrap();
        index
    });
    println!("runtime {slept}");
    Sender::new(parent).send(slept).unwrap();
}
