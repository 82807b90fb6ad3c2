//! Every kind of worker, spawned one after the other; prints what each answered.

use deploy::*;
use library::{Answer, in_library, of_any_type};

static POOL: Pool = Pool::new().retries(0);

#[on(POOL)]
fn panics_when_called() {
    panic!("as asked, too");
}

fn main() {
    init(Resources::default());
    if std::env::args().nth(1).is_some() {
        println!("call: {}", panics_when_called().wait().unwrap_err());
        return;
    }
    ask("function", one, 1u64);
    ask("its twin", two, 2u64);
    ask("library", in_library, 3u64);
    ask("u64", of_any_type::<u64>, 4u64);
    ask("f32", of_any_type::<f32>, 5.5f32);
    ask("closure", |parent, n: u64| Sender::new(parent).send(n * 10).unwrap(), 6u64);
    let pid = spawn(panics, (), Resources::default()).unwrap();
    println!("panic: {}", pid.wait().unwrap());
}

fn ask<T: Answer, F: Fn(Pid, T)>(name: &str, worker: F, argument: T) {
    let pid = spawn(worker, argument, Resources::default()).unwrap();
    println!("{name}: {}", Receiver::<T>::new(pid).recv().unwrap());
}

fn one(parent: Pid, n: u64) {
    Sender::<u64>::new(parent).send(n * 10).unwrap();
}

// The same code under another name, which compilers and linkers like to fold into one.
fn two(parent: Pid, n: u64) {
    Sender::<u64>::new(parent).send(n * 10).unwrap();
}

fn panics(_: Pid, (): ()) {
    panic!("as asked");
}
