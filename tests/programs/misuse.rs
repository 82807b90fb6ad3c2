//! Mistakes of the programmer panic with a sentence, at the place where they were made.

//= run two senders
//= args two-senders
//= code 101
//= main: exits 101, err "**misuse.rs:*\n*Sender*\n**"
//=   idle: exits 0

//= run two receivers
//= args two-receivers
//= code 101
//= main: exits 101, err "**misuse.rs:*\n*Receiver*\n**"
//=   idle: exits 0

//= run sender to self
//= args self-sender
//= code 101
//= main: exits 101, err "**misuse.rs:*\n*this process*\n**"
//=   idle: exits 0

//= run receiver from self
//= args self-receiver
//= code 101
//= main: exits 101, err "**misuse.rs:*\n*this process*\n**"
//=   idle: exits 0

//= run init twice
//= args init
//= code 101
//= main: exits 101, err "**misuse.rs:*\n*init was called before*\n**"
//=   idle: exits 0

//= run before init
//= args before
//= main: exits 0, out "12 calls say so\n"
//=   idle: exits 0

//= run one of each
//= args none
//= main: exits 0, out "fine\n"
//=   idle: exits 0

use deploy::*;
use std::{
    any::Any,
    env,
    panic::{self, catch_unwind},
    time::Duration,
};

fn main() {
    let how = env::args().nth(1).unwrap();
    let said = if how == "before" { before() } else { 0 };
    init(Resources::default());
    let other = spawn(idle, (), Resources::default()).unwrap();
    match how.as_str() {
        "before" => println!("{said} calls say so"),
        "two-senders" => drop((Sender::<u8>::new(other), Sender::<u8>::new(other))),
        "two-receivers" => drop((Receiver::<u8>::new(other), Receiver::<u8>::new(other))),
        "self-sender" => drop(Sender::<u8>::new(pid())),
        "init" => init(Resources::default()),
        "self-receiver" => drop(Receiver::<u8>::new(pid())),
        _ => {
            drop((Sender::<u8>::new(other), Receiver::<u8>::new(other)));
            println!("fine");
        }
    }
}

/// How many calls were refused because `init` had not been called; all of them, in every process.
fn before() -> usize {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let calls: [fn(); 12] = [
        || {
            pid();
        },
        || {
            parent();
        },
        || {
            resources();
        },
        || drop(spawn(idle, (), Resources::default())),
        || drop(Builder::new().spawn(idle, ())),
        || {
            drop(futures::executor::block_on(
                Builder::new().spawn_async(idle, ()),
            ))
        },
        || drop(Sender::<u8>::new(other())),
        || drop(Receiver::<u8>::new(other())),
        || drop(other().wait()),
        || drop(other().wait_timeout(Duration::ZERO)),
        || drop(futures::executor::block_on(other().wait_async())),
        || drop(other().kill()),
    ];
    for (index, call) in calls.iter().enumerate() {
        let panicked = catch_unwind(call).expect_err("it panics");
        let text = text(&*panicked);
        assert!(
            text.contains("call init(resources) first"),
            "{index}: {text}"
        );
    }
    panic::set_hook(hook);
    calls.len()
}

fn text(panicked: &dyn Any) -> &str {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or(panicked.downcast_ref::<&str>().copied())
        .expect("a panic has a text")
}

/// As it may have come out of a file.
fn other() -> Pid {
    serde_json::from_str(r#"{"job":7,"number":1}"#).unwrap()
}

fn idle(_: Pid, (): ()) {}
