//! `DEPLOY_CAPACITY` makes this machine a node of that size: what does not fit now is refused, what can never fit is
//! refused otherwise, and what waits starts when there is room.

//= run refusals
//= env DEPLOY_CAPACITY=1GiB 1
//= main: exits 0, out
//=     "now: out of resources: asked for 512MiB of memory and 0.0625 of a core; "
//=     "free are 256MiB of memory and 0.875 of a core on * | "
//=     "never: no node can ever hold it: asked for 2GiB of memory and 0.0625 of a core; "
//=     "there are 1GiB of memory and 1 core on * | again: ok\n"
//=   hold x2: exits 0

//= run none
//= main: exits 0, out "now: ok | never: ok | again: ok\n"
//=   hold x4: exits 0

//= run GPUs
//= args gpus
//= env DEPLOY_CAPACITY=4GiB 2 1
//= only alone
//= main: exits 0, out
//=     "now: out of resources: asked for 256MiB of memory, 0.0625 of a core and 1 GPU; "
//=     "free are 3584MiB of memory and 1.875 cores on local | "
//=     "never: no node can ever hold it: asked for 256MiB of memory, 0.0625 of a core and 2 GPUs; "
//=     "there are 4GiB of memory, 2 cores and 1 GPU on local | again: ok\n"
//=   hold x2: exits 0

//= run GPUs that nobody counts
//= args gpus
//= only alone
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
        None => refusals(mem(512), mem(2048)),
        Some("gpus") => refusals(gpus(1), gpus(2)),
        Some("cores") => cores(),
        Some(_) => queue(),
    }
}

/// Of what the machine, or the only node, can hold once, and of what it cannot.
fn refusals(once: Resources, too_much: Resources) {
    let first = spawn(hold, (), once).unwrap();
    let now = spawn(hold, (), once).map_or_else(|error| out_of(once, &error), release);
    let never = spawn(hold, (), too_much).map_or_else(|error| never(too_much, &error), release);
    release(first);
    let again = spawn(hold, (), once).map_or_else(|error| error.to_string(), release);
    println!("now: {now} | never: {never} | again: {again}");
}

/// Its text, which says what it holds.
fn out_of(needs: Resources, error: &SpawnError) -> String {
    match error {
        SpawnError::OutOfResources {
            asked,
            free,
            others: 0,
        } => tell(needs, *asked, free, error),
        error => panic!("{error}"),
    }
}

fn never(needs: Resources, error: &SpawnError) -> String {
    match error {
        SpawnError::NeverFits {
            asked,
            nodes,
            others: 0,
        } => tell(needs, *asked, nodes, error),
        error => panic!("{error}"),
    }
}

fn tell(
    needs: Resources,
    asked: Resources,
    nodes: &[(String, Resources)],
    error: &SpawnError,
) -> String {
    assert_eq!(asked, needs);
    let [(name, resources)] = nodes else {
        panic!("{nodes:?} should be one");
    };
    let text = error.to_string();
    assert!(text.ends_with(&format!(" {resources} on {name}")), "{text}");
    text
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

fn gpus(gpu: u32) -> Resources {
    Resources {
        gpu,
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
