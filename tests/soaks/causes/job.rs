//! The job: processes that end, and the one that has them end and says what it saw.
//!
//! Deliberately absent: what others do to them.

use crate::ways::{Blow, WAYS};
use deploy::*;
use nix::sys::{
    signal::{self, Signal},
    socket::{self, MsgFlags},
};
use std::{process, thread};

/// The initial process: has a victim end in each of these ways, on another node, and says what it saw.
pub fn observe(ways: &[String]) {
    init(Resources::default());
    let nowhere = Builder::new().node("nowhere").spawn(|_, ()| {}, ());
    println!("nowhere: {}", nowhere.unwrap_err());
    for way in ways {
        let resources = Resources {
            // A thousand threads need something, too.
            mem: if way == "threads" { 256 } else { 32 } * Mem::MIB,
            ..Resources::default()
        };
        let born = match way.as_str() {
            // It tells of its child, whom it takes along.
            "link" => Builder::new().node("n1").spawn(short_lived, ()),
            way => Builder::new()
                .node("n1")
                .resources(resources)
                .spawn(victim, way.to_string()),
        };
        let pid = born.unwrap();
        let receiver = Receiver::<Pid>::new(pid);
        let pid = receiver.recv().unwrap();
        println!("{way}: {pid}");
        let receiver = match way.as_str() {
            "link" => {
                let linked = Receiver::<Pid>::new(pid);
                linked.recv().unwrap();
                Sender::<()>::new(receiver.pid()).send(()).unwrap();
                linked
            }
            _ => receiver,
        };
        if way == "kill" {
            pid.kill().unwrap();
        }
        let end = match receiver.recv() {
            Err(ChannelError::Exited(status)) => status.to_string(),
            other => format!("{other:?}"),
        };
        println!("{way} recv: {end}");
        println!("{way} wait: {}", pid.wait().unwrap());
    }
}

/// Has a linked child, and ends when it is told to.
fn short_lived(parent: Pid, (): ()) {
    let child = Builder::new().link(true).spawn(linked, parent).unwrap();
    let sender = Sender::<Pid>::new(parent);
    sender.send(child).unwrap();
    std::mem::forget(sender);
    Receiver::<()>::new(parent).recv().unwrap();
}

fn linked(_: Pid, observer: Pid) {
    let sender = Sender::<Pid>::new(observer);
    sender.send(pid()).unwrap();
    std::mem::forget(sender);
    wait_for_the_end();
}

fn victim(parent: Pid, way: String) {
    let is_outer = WAYS
        .iter()
        .any(|other| other.name == way && other.blow != Blow::Own);
    let sender = Sender::<Pid>::new(parent);
    sender.send(pid()).unwrap();
    // Who aborts promises nothing that was not acknowledged.
    sender.flush().unwrap();
    // It does not end the channel: how the process ends does.
    std::mem::forget(sender);
    match way.as_str() {
        "return" => {}
        "exit 3" => process::exit(3),
        "exit 255" => process::exit(255),
        "panic" => panic!("as it is to"),
        "abort" => process::abort(),
        "memory" => {
            let memory = vec![1_u8; 256 << 20];
            panic!("{} bytes are more than it may have", memory.len());
        }
        "threads" => loop {
            thread::spawn(wait_for_the_end);
        },
        "nonsense" => {
            socket::send(control(), b"\xff\xff\xff", MsgFlags::empty()).unwrap();
            wait_for_the_end();
        }
        "kill" => wait_for_the_end(),
        _ if is_outer => {
            println!("born {}", process::id());
            wait_for_the_end();
        }
        name => {
            let signal: Signal = name.parse().unwrap();
            // Rust's own handler takes the first one, where it has one, and leaves the next to the kernel.
            loop {
                signal::raise(signal).unwrap();
            }
        }
    }
}

/// The socket that connects this process to the first: the only one that carries packets.
fn control() -> i32 {
    let all = std::fs::read_to_string("/proc/self/net/unix").unwrap();
    let is_it = |number: &i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
        let inode = link
            .to_string_lossy()
            .replace("socket:[", "")
            .replace(']', "");
        let mut lines = all
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.any(|words| words.get(6) == Some(&&*inode) && words[4] == "0005")
    };
    (512..600).find(is_it).expect("it has one")
}

fn wait_for_the_end() {
    loop {
        thread::park();
    }
}
