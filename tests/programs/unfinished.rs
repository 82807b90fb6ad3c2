//! A line of 100 KB without an end, in writes of odd sizes, and empty output.

//= main: exits 0
//=   worker: exits 0, out "0123456789" x10000 "x"

use deploy::*;
use std::io::{Write, stdout};

fn main() {
    init(Resources::default());
    spawn(worker, (), Resources::default()).unwrap();
}

fn worker(_: Pid, (): ()) {
    let bytes = [b"0123456789".repeat(10_000), b"x".to_vec()].concat();
    for chunk in bytes.chunks(777) {
        stdout().write_all(chunk).unwrap();
        stdout().flush().unwrap();
    }
}
