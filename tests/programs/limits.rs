//! Starts workers until there are as many as asked for, or something runs out: that is told, the workers that live are
//! not hurt, and when they have gone there is room again. `tests/limits.rs` runs it where something does.

//= run nothing runs out
//= args workers 20
//= main: exits 0, out "20 workers\n20 answered, and one more\n"
//=   worker x21: exits 0

//= run descriptors of its own
//= args files 8
//= main: exits 0, out "8 files\nall is well again\n"
//=   worker x2: exits 0

//= run turns on a connection that becomes busy
//= args turns 5000
//= main: exits 0, out "5000 turns\n"
//=   echoes: exits 0

//= run an argument that has a file of its own
//= args argument 1000000
//= main: exits 0, out "1000000 bytes\n"
//=   counts: exits 0

//= run values that are kept
//= args keeps 1000
//= main: exits 0, out "all of them, and the last\n"
//=   sends: exits 0

use deploy::*;
use std::{env, fs::File, process};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().skip(1).collect();
    let count = args[1].parse().unwrap();
    match args[0].as_str() {
        "workers" => workers(count),
        "files" => files(count),
        "turns" => turns(count),
        "argument" => argument(count),
        "keeps" => keeps(count),
        other => panic!("{other}?"),
    }
}

fn workers(count: usize) {
    let mut pids = Vec::new();
    while pids.len() < count {
        match spawn(worker, (), Resources::default()) {
            Ok(pid) => pids.push(pid),
            Err(error) => {
                println!("{error}");
                break;
            }
        }
    }
    if pids.len() == count {
        println!("{count} workers");
    }
    // A worker that could not begin has said so itself, and ended with 70.
    let answered = pids.iter().filter(|pid| ask(**pid).is_ok()).count();
    for pid in pids {
        pid.wait().unwrap();
    }
    let pid = spawn(worker, (), Resources::default()).unwrap();
    ask(pid).unwrap();
    println!("{answered} answered, and one more");
}

fn ask(pid: Pid) -> Result<u32, ChannelError> {
    let receiver = Receiver::new(pid);
    Sender::<u32>::new(pid)
        .send(20)
        .and_then(|()| receiver.recv())
}

fn worker(parent: Pid, (): ()) {
    let Ok(number) = Receiver::<u32>::new(parent).recv() else {
        process::exit(1);
    };
    Sender::new(parent).send(number + 1).unwrap();
}

/// Talks so often to a worker.
fn turns(count: usize) {
    let pid = spawn(echoes, (), Resources::default()).unwrap();
    let (sender, receiver) = (Sender::<u64>::new(pid), Receiver::<u64>::new(pid));
    for turn in 0..count as u64 {
        sender.send(turn).unwrap();
        assert_eq!(receiver.recv(), Ok(turn));
    }
    println!("{count} turns");
}

fn echoes(parent: Pid, (): ()) {
    let sender = Sender::<u64>::new(parent);
    for turn in Receiver::<u64>::new(parent).iter().map_while(Result::ok) {
        sender.send(turn).unwrap();
    }
}

/// Starts a worker with so many bytes.
fn argument(count: usize) {
    match spawn(counts, vec![1_u8; count], Resources::default()) {
        Ok(pid) => println!("{} bytes", Receiver::<usize>::new(pid).recv().unwrap()),
        Err(error) => println!("{error}"),
    }
}

fn counts(parent: Pid, bytes: Vec<u8>) {
    let sum: usize = bytes.iter().map(|byte| usize::from(*byte)).sum();
    Sender::new(parent).send(sum).unwrap();
}

/// Keeps values of so many bytes, until one does not come whole. What comes behind it is whole again.
fn keeps(count: usize) {
    let pid = spawn(sends, count, Resources::default()).unwrap();
    let receiver = Receiver::<Vec<u8>>::new(pid);
    let mut kept = Vec::new();
    for _ in 0..KEPT {
        match receiver.recv() {
            Ok(value) => kept.push(value),
            Err(error) => {
                println!("{error}");
                kept.clear();
            }
        }
    }
    if kept.len() == KEPT {
        print!("all of them, ");
    }
    drop(kept);
    assert_eq!(receiver.recv(), Ok(vec![7; count]));
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
    println!("and the last");
}

fn sends(parent: Pid, count: usize) {
    let sender = Sender::<Vec<u8>>::new(parent);
    for _ in 0..KEPT {
        sender.send(vec![1; count]).unwrap();
    }
    sender.send(vec![7; count]).unwrap();
}

/// Opens files until there are as many, or no more can be, and then does what takes descriptors.
fn files(count: usize) {
    let early = spawn(worker, (), Resources::default()).unwrap();
    let mut files = Vec::new();
    while files.len() < count {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                println!("{error}");
                // Nothing that it says is expected but that it says something, and does not hang.
                if let Ok(pid) = spawn(worker, (), Resources::default())
                    && let Err(error) = ask(pid)
                {
                    println!("{error}");
                }
                break;
            }
        }
    }
    if files.len() == count {
        println!("{count} files");
    }
    drop(files);
    ask(early).unwrap();
    ask(spawn(worker, (), Resources::default()).unwrap()).unwrap();
    println!("all is well again");
}

/// How many values are kept.
const KEPT: usize = 4;
