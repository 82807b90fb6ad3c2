//! What processes do that are connected by way of the master (`tests/here.rs`, `tests/relay.rs`), or whose network is cut
//! (`tests/cut.rs`): `apart TASK THERE [HERE]`. The task is done by the initial process, or by one that it starts on node `HERE`,
//! with others on node `THERE`.
//!
//! `stream`: values flow without end, and each side says in the end how it ended. `late`: the same, but that nothing is read before
//! who sends them has ended. `beside`: nobody reads one channel, with
//! 100 MB offered, and on another one turns of talk go on meanwhile; the longest turn is printed. `cut`: one channel is idle, on
//! one values flow, and one nobody reads; each side of each says how it ended and when, and then there is talk with another
//! process there. `wait`: somebody who is not asked, and a channel that nobody reads, for 21 s; then all of it comes.
//!
//! Deliberately absent: whoever cuts.

use deploy::*;
use deploy_tests::story::now_ms;
use std::{
    env, process, thread,
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
        "late" => late(&there),
        "beside" => beside(&there),
        "cut" => cut(&there),
        "wait" => wait(&there),
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
            Err(error) => return tell("reader", &error),
        }
        if Instant::now() > due {
            println!("it flows");
            due = Instant::now() + TOLD_EVERY;
        }
    }
}

fn late(there: &str) {
    let source = on(there).spawn(source, ()).unwrap();
    let receiver = Receiver::<Vec<u64>>::new(source);
    assert_eq!(receiver.recv().unwrap(), vec![0; LEN]);
    println!("it flows");
    println!("source: {}", source.wait().unwrap());
    tell("reader", &end(receiver));
}

fn source(parent: Pid, (): ()) {
    let sender = Sender::<Vec<u64>>::new(parent);
    for number in 0.. {
        if let Err(error) = sender.send(vec![number; LEN]) {
            return tell("source", &error);
        }
    }
}

/// Says of what kind an end is, the words for it, and when it was told.
fn tell(who: &str, error: &ChannelError) {
    let kind = match error {
        ChannelError::Closed => "closed",
        ChannelError::Exited(_) => "exited",
        ChannelError::Lost(_) => "lost",
        _ => "broken",
    };
    println!("{who}: {kind}: {error}; at {}", now_ms());
}

fn cut(there: &str) {
    let idle = Receiver::<Vec<u64>>::new(on(there).spawn(idle, ()).unwrap());
    let [flowing, unread] =
        [(); 2].map(|()| Receiver::<Vec<u64>>::new(on(there).spawn(source, ()).unwrap()));
    for receiver in [&idle, &flowing, &unread] {
        assert_eq!(receiver.recv().unwrap(), vec![0; LEN]);
    }
    println!("it flows");
    thread::scope(|scope| {
        scope.spawn(|| tell("idle", &end(idle)));
        scope.spawn(|| tell("reader", &end(flowing)));
    });
    // Until now nobody has read what came before.
    tell("unread", &end(unread));
    let peer = on(there).spawn(answer, ()).unwrap();
    let (sender, receiver) = (Sender::<u64>::new(peer), Receiver::<u64>::new(peer));
    sender.send(42).unwrap();
    println!("again: {:?}", receiver.recv());
}

/// How it ends that values come, of which the first was taken.
fn end(receiver: Receiver<Vec<u64>>) -> ChannelError {
    for number in 1.. {
        match receiver.recv() {
            Ok(value) => assert_eq!(value, vec![number; LEN]),
            Err(error) => return error,
        }
    }
    unreachable!("they are numbered")
}

fn idle(parent: Pid, (): ()) {
    let sender = Sender::<Vec<u64>>::new(parent);
    sender.send(vec![0; LEN]).unwrap();
    tell(
        "idle there",
        &Receiver::<u64>::new(parent).recv().unwrap_err(),
    );
}

fn wait(there: &str) {
    let unread = Receiver::<Vec<u64>>::new(on(there).spawn(offer, WAITING).unwrap());
    let peer = on(there).spawn(stoppable, ()).unwrap();
    let (sender, receiver) = (Sender::<u64>::new(peer), Receiver::<u64>::new(peer));
    println!("it waits for {}", receiver.recv().unwrap());
    thread::sleep(WAITED);
    sender.send(42).unwrap();
    assert_eq!(receiver.recv(), Ok(42));
    for number in 0..WAITING {
        assert_eq!(unread.recv().unwrap(), vec![number; LEN]);
    }
    assert_eq!(unread.recv(), Err(ChannelError::Closed));
    println!("all of it came");
}

fn stoppable(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    sender.send(process::id().into()).unwrap();
    sender.send(receiver.recv().unwrap()).unwrap();
}

fn beside(there: &str) {
    let offering = on(there).spawn(offer, OFFERED).unwrap();
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

fn offer(parent: Pid, count: u64) {
    let sender = Sender::<Vec<u64>>::new(parent);
    for number in 0..count {
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
/// How many of them no window holds.
const WAITING: u64 = 400;
const TURNS: u64 = 300;
/// Longer than a cut is waited for, with something to spare.
const WAITED: Duration = Duration::from_secs(21);
/// Who waits for it waits no longer than that.
const TOLD_EVERY: Duration = Duration::from_millis(100);
