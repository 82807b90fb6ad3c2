//! Ten thousand messages of many sizes, and the sender ends right after the last: nothing is lost, doubled or out of
//! order, and the end is told after the last message.

//= run exit
//= args exit 10
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run exit behind megabytes
//= args exit 5242880
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run exit of a task
//= args task 10
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run exit of a task behind megabytes
//= args task 5242880
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run exit behind a sink
//= args sink 10
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run exit behind a sink and megabytes
//= args sink 5242880
//= main: exits 0, out "10000 messages, then exited 0\n"
//=   worker: exits 0

//= run return
//= args return 10
//= main: exits 0, out "10000 messages, then closed\n"
//=   worker: exits 0

use deploy::*;
use deploy_tests::say;
use futures::{SinkExt, executor::block_on};
use serde_bytes::ByteBuf;
use std::{env, process};

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let receiver = Receiver::<(u32, ByteBuf)>::new(pid);
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
    let mut sender = Sender::new(parent);
    let messages = (0..COUNT).map(nth);
    let how = env::args().nth(1).unwrap();
    match how.as_str() {
        "task" => block_on(async {
            for message in messages {
                sender.send_async(message).await.unwrap();
            }
        }),
        "sink" => block_on(async {
            for message in messages {
                sender.feed(message).await.unwrap();
            }
            SinkExt::flush(&mut sender).await.unwrap();
        }),
        _ => messages.for_each(|message| sender.send(message).unwrap()),
    }
    if how != "return" {
        process::exit(0);
    }
}

/// Most are small, each hundredth is longer than a buffer, and the last as long as is asked for.
fn nth(index: u32) -> (u32, ByteBuf) {
    let len = match index {
        LAST => env::args().nth(2).unwrap().parse().unwrap(),
        _ if index.is_multiple_of(100) => 100_000,
        _ => (index % 100).pow(2) % 257,
    };
    (index, ByteBuf::from(vec![index as u8; len as usize]))
}

const COUNT: u32 = 10_000;
const LAST: u32 = COUNT - 1;
