//! Does something to the file that it is executed from, and then starts more processes.

use deploy::*;
use std::{env, fs, time::SystemTime};

fn main() {
    init(Resources::default());
    let own = env::current_exe().unwrap();
    match env::args_os().nth(1).unwrap().to_str().unwrap() {
        "stay" => {}
        "delete" => fs::remove_file(own).unwrap(),
        "replace" => {
            let newer = own.with_extension("newer");
            fs::write(&newer, "#!/bin/sh\necho another program\n").unwrap();
            fs::rename(newer, own).unwrap();
        }
        "touch" => {
            let file = fs::File::open(own).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        other => panic!("{other}?"),
    }
    // More than one, since the first may have been started ahead.
    for number in 0..3 {
        let pid = spawn(worker, number, Resources::default()).unwrap();
        println!("{}", Receiver::<u32>::new(pid).recv().unwrap());
    }
}

fn worker(parent: Pid, number: u32) {
    Sender::<u32>::new(parent).send(number + 1).unwrap();
}
