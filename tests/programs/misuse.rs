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

//= run one of each
//= args none
//= main: exits 0, out "fine\n"
//=   idle: exits 0

use deploy::*;
use std::env;

fn main() {
    init(Resources::default());
    let other = spawn(idle, (), Resources::default()).unwrap();
    match env::args().nth(1).unwrap().as_str() {
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

fn idle(_: Pid, (): ()) {}
