//! What processes do that are connected by way of the master (`tests/here.rs`, `tests/relay.rs`): `apart TASK THERE [HERE]`.
//! The task is done by the initial process, or by one that it starts on node `HERE`, with others on node `THERE`.
//!
//! `stream`: values flow without end, and each side says in the end how it ended. `beside`: nobody reads one channel, with
//! 100 MB offered, and on another one turns of talk go on meanwhile; the longest turn is printed.
//!
//! Deliberately absent: whoever cuts.

use deploy::*;
use std::{
    env, thread,
    time::{Duration, Instant},
};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().skip(1).collect();
    let (task, there) = (args[0].clone(), args[1].clone());
    match args.get(2) {
        None => run(pid(), (task, there)),
        Some(here) => {
            let arg = (task, there);
            let process = on(here).spawn(run, arg).unwrap();
            process.wait().unwrap();
        }
    }
}

fn on(node: &str) -> Builder {
    Builder::new().node(node)
}

fn run(_: Pid, (task, there): (String, String)) {
    match &task[..] {
        "stream" => stream(&there),
        "beside" => beside(&there),
        _ => panic!("there is no task {task}"),
    }
}

/// Values from there, in order, as long as they come.
fn stream(there: &str) {
    let source = on(there).spawn(source, ()).unwrap();
    let receiver = Receiver::<Vec<u64>>::new(source);
    let mut due = Instant::now() + TOLD_EVERY;
    for number in 0.. {
        match receiver.recv() {
            Ok(value) => assert_eq!(value, vec![number; LEN]),
            Err(error) => return println!("reader: {}", said(&error)),
        }
        if Instant::now() > due {
            println!("it flows");
            due = Instant::now() + TOLD_EVERY;
        }
    }
}

fn source(parent: Pid, (): ()) {
    let sender = Sender::<Vec<u64>>::new(parent);
    for number in 0.. {
        if let Err(error) = sender.send(vec![number; LEN]) {
            return println!("source: {}", said(&error));
        }
    }
}

/// The kind of an end, and the words for it.
fn said(error: &ChannelError) -> String {
    let kind = match error {
        ChannelError::Closed => "closed",
        ChannelError::Exited(_) => "exited",
        ChannelError::Lost(_) => "lost",
        _ => "broken",
    };
    format!("{kind}: {error}")
}

fn beside(there: &str) {
    let offering = on(there).spawn(offer, ()).unwrap();
    let unread = Receiver::<Vec<u64>>::new(offering);
    // It flows, and so its window has grown; from here on nobody reads.
    for number in 0..100 {
        assert_eq!(unread.recv().unwrap(), vec![number; LEN]);
    }
    let peer = on(there).spawn(answer, ()).unwrap();
    let (sender, receiver) = (Sender::<u64>::new(peer), Receiver::<u64>::new(peer));
    let mut longest = Duration::ZERO;
    for turn in 0..TURNS {
        let begun = Instant::now();
        sender.send(turn).unwrap();
        assert_eq!(receiver.recv().unwrap(), turn);
        longest = longest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(1)); // As somebody talks who has something else to do.
    }
    for number in 100..OFFERED {
        assert_eq!(unread.recv().unwrap(), vec![number; LEN]);
    }
    assert_eq!(unread.recv(), Err(ChannelError::Closed));
    println!("{}", longest.as_millis());
}

/// 100 MB.
fn offer(parent: Pid, (): ()) {
    let sender = Sender::<Vec<u64>>::new(parent);
    for number in 0..OFFERED {
        sender.send(vec![number; LEN]).unwrap();
    }
}

fn answer(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    while let Ok(turn) = receiver.recv() {
        sender.send(turn).unwrap();
    }
}

/// Values of a frame's length.
const LEN: usize = 4 << 10;
/// How many of them are 100 MB.
const OFFERED: u64 = 100_000_000 / (LEN as u64 * 8);
const TURNS: u64 = 300;
/// Who waits for it waits no longer than that.
const TOLD_EVERY: Duration = Duration::from_millis(100);
