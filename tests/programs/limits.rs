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

use deploy::*;
use std::{env, fs::File, process};

fn main() {
    init(Resources::default());
    let args: Vec<String> = env::args().skip(1).collect();
    let count = args[1].parse().unwrap();
    match args[0].as_str() {
        "workers" => workers(count),
        _ => files(count),
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
