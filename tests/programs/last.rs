//! An initial process that ends in every way while its worker lives on: the job goes on, and the exit code is the
//! initial process's where it failed.

//= run return
//= args return
//= main: exits 0
//=   worker: exits 0, out "parent ended: 0\n"

//= run exit 0
//= args exit0
//= main: exits 0
//=   worker: exits 0, out "parent ended: 0\n"

//= run exit 3
//= args exit3
//= code 3
//= main: exits 3
//=   worker: exits 0, out "parent ended: 3\n"

//= run panic
//= args panic
//= code 101
//= main: exits 101, err "**panicked at *last.rs:*\noops\n**"
//=   worker: exits 0, out "parent ended: 101\n"

//= run abort
//= args abort
//= code 134
//= main: killed SIGABRT
//=   worker: exits 0, out "parent ended: SIGABRT\n"

//= run kill
//= args kill
//= code 137
//= main: killed SIGKILL
//=   worker: exits 0, out "parent ended: SIGKILL\n"

//= run both fail
//= args exit3 worker-too
//= code 3
//= main: exits 3
//=   worker: exits 5, out "parent ended: 3\n"

//= run worker fails
//= args return worker-too
//= code 5
//= main: exits 0
//=   worker: exits 5, out "parent ended: 0\n"

use deploy::*;
use deploy_tests::say;
use nix::sys::signal::{Signal, raise};
use std::{env, process};

fn main() {
    init(Resources::default());
    let pid = spawn(worker, (), Resources::default()).unwrap();
    Receiver::<()>::new(pid).recv().unwrap();
    match env::args().nth(1).as_deref() {
        Some("exit0") => process::exit(0),
        Some("exit3") => process::exit(3),
        Some("panic") => panic!("oops"),
        Some("abort") => process::abort(),
        Some("kill") => raise(Signal::SIGKILL).unwrap(),
        _ => {}
    }
}

fn worker(parent: Pid, (): ()) {
    Sender::new(parent).send(()).unwrap();
    println!("parent ended: {}", say::status(&parent.wait().unwrap()));
    if env::args().nth(2).is_some() {
        process::exit(5);
    }
}
