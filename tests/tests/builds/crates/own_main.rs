//! A test with `harness = false`, which is a program like any other.

use deploy::*;

fn main() {
    init(Resources::default());
    let pid = spawn(worker, 4, Resources::default()).unwrap();
    assert_eq!(Receiver::<u64>::new(pid).recv().unwrap(), 12);
}

fn worker(parent: Pid, number: u64) {
    println!("three times {number}");
    Sender::<u64>::new(parent).send(number * 3).unwrap();
}
