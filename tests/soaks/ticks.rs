//! The work that goes on while a network fails (`tests/network.rs`, `tests/partitions.rs`).
//!
//! `ticks wait FILE`: a process on the node n1 that writes the time into a file, again and again; its parent on another says
//! how it ended, and when it heard of that. `ticks again DIRECTORY NODE..`: one on each of these nodes, and another each time
//! that one has ended, each with a file of its own, called after its node. `ticks flood BYTES`: one on n1 with an argument so long that prints without a
//! pause, and goes on when it is asked whether it is there.
//!
//! Deliberately absent: whoever cuts the network.

use deploy::*;
use deploy_tests::story::now_ms;
use std::{env, fs, os::unix::fs::FileExt, path::Path, thread, time::Duration};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    match args[1].as_str() {
        "wait" => wait(&args[2]),
        "again" => again(Path::new(&args[2]), &args[3..]),
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

fn again(directory: &Path, nodes: &[String]) {
    thread::scope(|scope| {
        for node in nodes {
            scope.spawn(move || {
                for life in 0.. {
                    live(directory, node, life);
                }
            });
        }
    });
}

/// One life on this node, once there is room.
fn live(directory: &Path, node: &str, life: u64) {
    let path = directory.join(format!("{node}.{life}"));
    let path = path.to_str().expect("the tests' paths are text");
    // While it is away no node has this name, and nothing announces that it is there again.
    let child = loop {
        match Builder::new().node(node).spawn(tick, path.to_string()) {
            Ok(child) => break child,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    };
    if Receiver::<()>::new(child).recv().is_ok() {
        println!("{node}.{life} ticks");
    }
    let status = child.wait().unwrap();
    println!("{node}.{life} told {} {status}", now_ms());
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
