//! Receiving without waiting, and with a limit.

//= main: exits 0, out
//=     "at once: empty\n"
//=     "within 20 ms: timeout, after at least 20 ms: true\n"
//=     "within a minute: 1\n"
//=     "at once: 2\n"
//=     "all others: [3, 4, 5]\n"
//=     "at once: closed\n"
//=     "within a minute: closed\n"
//=     "within no time: closed\n"
//=   worker: exits 0

use deploy::*;
use deploy_tests::say;
use std::time::{Duration, Instant};

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    let (sender, receiver) = (Sender::new(pid), Receiver::<u32>::new(pid));
    println!("at once: {}", at_once(&receiver));
    let start = Instant::now();
    let saw = within(&receiver, Duration::from_millis(20));
    let waited = start.elapsed() >= Duration::from_millis(20);
    println!("within 20 ms: {saw}, after at least 20 ms: {waited}");
    sender.send(()).unwrap();
    println!("within a minute: {}", within(&receiver, MINUTE));
    // It was sent before the worker ended.
    pid.wait().unwrap();
    println!("at once: {}", at_once(&receiver));
    let rest: Vec<u32> = receiver.iter().map_while(|item| item.ok()).collect();
    println!("all others: {rest:?}");
    println!("at once: {}", at_once(&receiver));
    println!("within a minute: {}", within(&receiver, MINUTE));
    println!("within no time: {}", within(&receiver, Duration::ZERO));
}

fn worker(parent: Pid, (): ()) {
    Receiver::<()>::new(parent).recv().unwrap();
    let sender = Sender::<u32>::new(parent);
    for number in 1..=5 {
        sender.send(number).unwrap();
    }
}

fn at_once(receiver: &Receiver<u32>) -> String {
    match receiver.try_recv() {
        Ok(value) => value.to_string(),
        Err(TryRecvError::Empty) => "empty".into(),
        Err(TryRecvError::Channel(error)) => say::end(&error),
    }
}

fn within(receiver: &Receiver<u32>, limit: Duration) -> String {
    match receiver.recv_timeout(limit) {
        Ok(value) => value.to_string(),
        Err(RecvTimeoutError::Timeout) => "timeout".into(),
        Err(RecvTimeoutError::Channel(error)) => say::end(&error),
    }
}

const MINUTE: Duration = Duration::from_secs(60);
