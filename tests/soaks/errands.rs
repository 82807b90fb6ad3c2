//! The work that goes on while somebody kills the master (`tests/restarts.rs`): `errands DIRECTORY NODE...`. Two processes on
//! different nodes send each other checked numbers without a pause, and errands are run one after the other, on one node
//! after the other: each leaves a file of its own, which only one that runs twice finds there. It ends when there is a
//! file `stop`, and says what it counted.
//!
//! Deliberately absent: whoever kills.

use deploy::*;
use std::{
    env,
    fs::OpenOptions,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().collect();
    let (directory, nodes) = (PathBuf::from(&args[1]), &args[2..]);
    let (is_over, turns) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let talks: Vec<_> = nodes
        .iter()
        .map(|node| {
            let other = on(node).spawn(answer, ()).unwrap();
            let (is_over, turns) = (is_over.clone(), turns.clone());
            thread::spawn(move || talk(other, &is_over, &turns))
        })
        .collect();
    let (mut done, mut refused) = (0, 0);
    for index in 0_u64.. {
        if directory.join("stop").exists() {
            break;
        }
        let node = &nodes[index as usize % nodes.len()];
        match on(node).spawn(errand, (directory.clone(), index)) {
            Ok(pid) => {
                let came = Receiver::<u64>::new(pid).recv().unwrap();
                assert_eq!(came, index);
                let status = pid.wait().unwrap();
                assert!(status.success(), "errand {index}: {status}");
                println!("errand {index} is done");
                done += 1;
            }
            Err(error) => {
                println!("errand {index} is refused: {error}");
                refused += 1;
                assert!(!file(&directory, index).exists(), "it ran all the same");
            }
        }
    }
    is_over.store(true, SeqCst);
    talks.into_iter().for_each(|talk| talk.join().unwrap());
    let turns = turns.load(SeqCst);
    println!("{done} errands done, {refused} refused, {turns} turns of talk");
}

fn on(node: &str) -> Builder {
    Builder::new().node(node)
}

fn errand(parent: Pid, (directory, index): (PathBuf, u64)) {
    let path = file(&directory, index);
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    made.expect("no errand runs twice");
    Sender::<u64>::new(parent).send(index).unwrap();
}

fn file(directory: &Path, index: u64) -> PathBuf {
    directory.join(index.to_string())
}

/// Numbers go there and come back, until it is enough.
fn talk(other: Pid, is_over: &AtomicBool, turns: &AtomicU64) {
    let (sender, receiver) = (Sender::<u64>::new(other), Receiver::<u64>::new(other));
    for turn in 1.. {
        if is_over.load(SeqCst) {
            break;
        }
        sender.send(turn).unwrap();
        assert_eq!(receiver.recv().unwrap(), turn);
        turns.fetch_add(1, SeqCst);
        // Often enough to be in the midst of it, and little enough to leave room for others.
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn answer(parent: Pid, (): ()) {
    let (sender, receiver) = (Sender::<u64>::new(parent), Receiver::<u64>::new(parent));
    while let Ok(turn) = receiver.recv() {
        sender.send(turn).unwrap();
    }
}
