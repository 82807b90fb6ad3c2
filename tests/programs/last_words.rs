//! Ten thousand messages of many sizes, and the sender ends right after the last: nothing is lost, doubled or out of
//! order, and the end is told after the last message.

//= run exit
//= args exit
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run return
//= args return
//= main: exits 0, out "10000 messages, then closed\n"
//=   worker: exits 0

use deploy::*;
use deploy_tests::say;
use std::{env, process};

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let receiver = Receiver::<(u32, Vec<u8>)>::new(pid);
    let mut count = 0;
    let end = loop {
        match receiver.recv() {
            Ok(message) => assert_eq!(message, nth(count)),
            Err(error) => break say::end(&error),
        }
        count += 1;
    };
    println!("{count} messages, then {end}");
}

fn worker(parent: Pid, (): ()) {
    let sender = Sender::new(parent);
    for index in 0..10_000 {
        sender.send(nth(index)).unwrap();
    }
    if env::args().nth(1).unwrap() == "exit" {
        process::exit(0);
    }
}

/// Most are small, each hundredth is longer than a buffer.
fn nth(index: u32) -> (u32, Vec<u8>) {
    let len = match index % 100 {
        0 => 100_000,
        small => small * small % 257,
    };
    (index, vec![index as u8; len as usize])
}
