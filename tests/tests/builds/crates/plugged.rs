//! A program whose workers lie in itself and in a shared library that Deploy lies in as well.

use deploy::*;

fn main() {
    init(Resources::default());
    for spawned in [spawn(own, (), Resources::default()), plug::spawn_there()] {
        match spawned {
            Ok(pid) => println!("{}", pid.wait().unwrap()),
            Err(error) => println!("{error}"),
        }
    }
}

fn own(_: Pid, (): ()) {
    println!("in the program");
}
