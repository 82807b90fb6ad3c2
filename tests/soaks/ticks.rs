//! The work that goes on while a network fails (`tests/network.rs`).
//!
//! `ticks wait FILE`: a process on the node n1 that writes the time into a file, again and again; its parent on another says
//! how it ended, and when it heard of that. `ticks flood BYTES`: one on n1 with an argument so long that prints without a
//! pause, and goes on when it is asked whether it is there.
//!
//! Deliberately absent: whoever cuts the network.

use deploy::*;
use deploy_tests::story::now_ms;
use std::{env, fs, os::unix::fs::FileExt, thread, time::Duration};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    match args[1].as_str() {
        "wait" => wait(&args[2]),
        "flood" => flood(args[2].parse().unwrap()),
        other => panic!("there is no {other}"),
    }
}

fn wait(file: &str) {
    let child = Builder::new().node("n1").spawn(tick, file.to_string());
    let child = child.unwrap();
    Receiver::<()>::new(child).recv().unwrap();
    println!("it ticks");
    let status = child.wait().unwrap();
    println!("told {} {status}", now_ms());
}

fn tick(parent: Pid, path: String) {
    let file = fs::File::create(path).unwrap();
    let tick = || file.write_all_at(format!("{:020}", now_ms()).as_bytes(), 0);
    tick().unwrap();
    Sender::<()>::new(parent).send(()).unwrap();
    loop {
        tick().unwrap();
        thread::sleep(Duration::from_millis(10));
    }
}

fn flood(bytes: usize) {
    let child = Builder::new().node("n1").spawn(print, vec![7_u8; bytes]);
    let child = child.unwrap();
    let (asks, answers) = (Sender::<u64>::new(child), Receiver::<u64>::new(child));
    for number in 0.. {
        asks.send(number).unwrap();
        assert_eq!(answers.recv().unwrap(), number);
        eprintln!("answer {number}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn print(parent: Pid, argument: Vec<u8>) {
    assert!(argument.iter().all(|byte| *byte == 7));
    thread::spawn(|| {
        for number in 0_u64.. {
            println!("line {number} of a process that has much to say, and on a slow line");
        }
    });
    let (asks, answers) = (Receiver::<u64>::new(parent), Sender::<u64>::new(parent));
    for number in asks.iter() {
        answers.send(number.unwrap()).unwrap();
    }
}
