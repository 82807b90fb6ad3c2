//! `DEPLOY_CAPACITY` makes this machine a node of that size: what does not fit now is refused, what can never fit is
//! refused otherwise, and what waits starts when there is room.

//= run refusals
//= env DEPLOY_CAPACITY=1GiB 1
//= main: exits 0, out
//=     "now: **512MiB** | never: **2GiB** | again: ok\n"
//=   hold x2: exits 0

//= run none
//= main: exits 0, out "now: ok | never: ok | again: ok\n"
//=   hold x4: exits 0

//= run cores
//= args cores
//= env DEPLOY_CAPACITY=64GiB 0.25
//= main: exits 0, out "now: refused\n"
//=   hold: exits 0

//= run queue
//= args queue
//= env DEPLOY_CAPACITY=1GiB 1
//= main: exits 0, out "queued until the first had ended: true\n"
//=   hold x2: exits 0

use deploy::*;
use std::{env, thread};

fn main() {
    init(Resources::default());
    match env::args().nth(1).as_deref() {
        None => refusals(),
        Some("cores") => cores(),
        Some(_) => queue(),
    }
}

fn refusals() {
    let first = spawn(hold, (), mem(512)).unwrap();
    let now = match spawn(hold, (), mem(512)) {
        Ok(pid) => release(pid),
        Err(error @ SpawnError::OutOfResources { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    };
    let never = match spawn(hold, (), mem(2048)) {
        Ok(pid) => release(pid),
        Err(error @ SpawnError::NeverFits { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    };
    release(first);
    let again = spawn(hold, (), mem(512)).map_or_else(|error| error.to_string(), release);
    println!("now: {now} | never: {never} | again: {again}");
}

/// A sixteenth of a core is the initial process's own, an eighth the first worker's.
fn cores() {
    let needs = Resources {
        cpu: Cpu::CORE / 8,
        ..Resources::default()
    };
    let first = spawn(hold, (), needs).unwrap();
    let now = spawn(hold, (), needs).map_or("refused".into(), release);
    release(first);
    println!("now: {now}");
}

fn queue() {
    let first = spawn(hold, (), mem(768)).unwrap();
    let second = thread::spawn(|| {
        let second = Builder::new().resources(mem(768)).wait(true);
        second.spawn(hold, ()).unwrap()
    });
    let early = spawn(hold, (), mem(768)).is_ok() || second.is_finished();
    release(first);
    release(second.join().unwrap());
    println!("queued until the first had ended: {}", !early);
}

fn mem(mib: u64) -> Resources {
    Resources {
        mem: mib * Mem::MIB,
        ..Resources::default()
    }
}

/// Lets a process end, and waits until it has.
fn release(pid: Pid) -> String {
    Sender::new(pid).send(()).unwrap();
    assert!(pid.wait().unwrap().success());
    "ok".into()
}

fn hold(parent: Pid, (): ()) {
    Receiver::<()>::new(parent).recv().unwrap();
}
