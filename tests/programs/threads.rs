//! Channels used by many threads: values of concurrent sends stay whole, and a thread that waits for one channel
//! stops none of the others, nor the other direction of the same connection.

//= run shared sender
//= args shared
//= main: exits 0, out "8 threads, 500 messages each, in order\n"
//=   many: exits 0

//= run blocked receiver
//= args blocked
//= main: exits 0, out "100 rounds beside a blocked receiver, then done\n"
//=   quiet: exits 0
//=   echo: exits 0

//= run shared receiver
//= args receivers
//= main: exits 0, out "4 threads heard 1000 different numbers\n"
//=   count: exits 0

use deploy::*;
use std::{cell::Cell, collections::BTreeSet, env, sync::Mutex, thread};

fn main() {
    init(Resources::default());
    match env::args().nth(1).unwrap().as_str() {
        "shared" => shared_sender(),
        "blocked" => blocked_receiver(),
        _ => shared_receiver(),
    }
}

/// Threads share the ends, also where they could not share the values.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Sender<Cell<u32>>>();
    is_shared::<Receiver<Cell<u32>>>();
};

type Message = (usize, usize, Vec<u8>);

fn shared_sender() {
    let pid = spawn(many, (), Resources::default()).unwrap();
    let receiver = Receiver::<Message>::new(pid);
    let mut next = [0; 8];
    for _ in 0..8 * 500 {
        let (thread, index, bytes) = receiver.recv().unwrap();
        assert_eq!(index, next[thread]);
        assert_eq!(bytes, vec![thread as u8; index % 3000]);
        next[thread] += 1;
    }
    println!("8 threads, 500 messages each, in order");
}

fn many(parent: Pid, (): ()) {
    let sender = Sender::<Message>::new(parent);
    thread::scope(|scope| {
        for thread in 0..8 {
            let sender = &sender;
            scope.spawn(move || {
                for index in 0..500 {
                    let bytes = vec![thread as u8; index % 3000];
                    sender.send((thread, index, bytes)).unwrap();
                }
            });
        }
    });
}

fn blocked_receiver() {
    let quiet = spawn(quiet, (), Resources::default()).unwrap();
    let echo = spawn(echo, (), Resources::default()).unwrap();
    let from_quiet = Receiver::<String>::new(quiet);
    let blocked = thread::spawn(move || from_quiet.recv().unwrap());
    let (to_quiet, to_echo) = (Sender::<u32>::new(quiet), Sender::<u32>::new(echo));
    let from_echo = Receiver::<u32>::new(echo);
    for round in 0..100 {
        to_quiet.send(round).unwrap();
        to_echo.send(round).unwrap();
        assert_eq!(from_echo.recv().unwrap(), round);
    }
    assert!(!blocked.is_finished());
    drop((to_quiet, to_echo));
    let last = blocked.join().unwrap();
    println!("100 rounds beside a blocked receiver, then {last}");
}

/// Hears a hundred numbers, and only then says something.
fn quiet(parent: Pid, (): ()) {
    let receiver = Receiver::<u32>::new(parent);
    let heard: Vec<u32> = receiver
        .iter()
        .map(|number| number.unwrap())
        .take(100)
        .collect();
    assert_eq!(heard, (0..100).collect::<Vec<u32>>());
    assert!(matches!(receiver.recv(), Err(ChannelError::Closed)));
    Sender::new(parent).send("done".to_string()).unwrap();
}

fn echo(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::new(parent), Receiver::<u32>::new(parent));
    while let Ok(number) = receiver.recv() {
        sender.send(number).unwrap();
    }
}

fn shared_receiver() {
    let pid = spawn(count, (), Resources::default()).unwrap();
    let receiver = Receiver::<u32>::new(pid);
    let heard = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Ok(number) = receiver.recv() {
                    assert!(heard.lock().unwrap().insert(number), "{number} came twice");
                }
            });
        }
    });
    println!(
        "4 threads heard {} different numbers",
        heard.into_inner().unwrap().len()
    );
}

fn count(parent: Pid, (): ()) {
    let sender = Sender::<u32>::new(parent);
    for number in 0..1000 {
        sender.send(number).unwrap();
    }
}
