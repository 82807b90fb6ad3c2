//! What the processes of the jobs do: programs as a user writes them.

use deploy::*;
use std::{
    env,
    io::{self, Read, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

pub fn main() {
    init(Resources::default());
    match env::var("PROGRAM").unwrap().as_str() {
        "family" => family(),
        "nodes" => nodes(),
        "siblings" => siblings(),
        "again" => again(),
        "loud" => io::stdout().write_all(&vec![b'x'; LOUD_BYTES]).unwrap(),
        "echo" => echo(),
        "heavy" => heavy(),
        "litter" => litter(),
        "killer" => killer(),
        "greedy" => greedy(),
        other => panic!("no program is called {other}"),
    }
}

pub const LOUD_BYTES: usize = 1 << 20;

fn family() {
    let mut names: Vec<_> = env::vars_os().map(|(name, _)| name).collect();
    names.retain(|name| name != "PROGRAM");
    println!("{names:?}");
    let child = spawn(double, 21u64, Resources::default()).unwrap();
    println!("{}", Receiver::<u64>::new(child).recv().unwrap());
    println!("{}", child.wait().unwrap());
}

fn double(parent: Pid, number: u64) {
    println!("double");
    Sender::<u64>::new(parent).send(2 * number).unwrap();
}

/// A child that uses twice what it asked for, and one that asked for that much.
fn greedy() {
    for limit in [32 * Mem::MIB, 128 * Mem::MIB] {
        let resources = Resources {
            mem: limit,
            ..Resources::default()
        };
        let child = Builder::new()
            .resources(resources)
            .spawn(use_memory, 64 << 20);
        println!("{}", child.unwrap().wait().unwrap());
    }
}

fn use_memory(_: Pid, bytes: usize) {
    let memory = vec![1u8; bytes];
    println!(
        "{}",
        memory.iter().map(|byte| usize::from(*byte)).sum::<usize>()
    );
}

/// A child on the other node, with an argument that travels as a file, a long value each way, and its end.
fn nodes() {
    let argument: Vec<u8> = (0..300_000u32).map(|at| at as u8).collect();
    let sum: u64 = argument.iter().map(|byte| u64::from(*byte)).sum();
    let child = Builder::new().node("1").spawn(answer, argument).unwrap();
    let sender = Sender::<Vec<u8>>::new(child);
    let receiver = Receiver::<Vec<u8>>::new(child);
    sender.send(vec![7; 3 << 20]).unwrap();
    let answer = receiver.recv().unwrap();
    println!("{}", answer.len() as u64 == sum);
    println!("{:?}", receiver.recv());
    println!("{}", child.wait().unwrap());
}

fn answer(parent: Pid, argument: Vec<u8>) {
    let sum: u64 = argument.iter().map(|byte| u64::from(*byte)).sum();
    let heard = Receiver::<Vec<u8>>::new(parent).recv().unwrap();
    assert_eq!(heard, vec![7; 3 << 20]);
    println!("heard");
    let sender = Sender::<Vec<u8>>::new(parent);
    sender.send(vec![1; sum as usize]).unwrap();
    std::process::exit(5);
}

/// Two on two nodes, who know one another by what their parent says.
fn siblings() {
    let spawn_at = |node: &str| Builder::new().node(node).spawn(sibling, ()).unwrap();
    let (one, other) = (spawn_at("0"), spawn_at("1"));
    for (to, about) in [(one, other), (other, one)] {
        Sender::<Pid>::new(to).send(about).unwrap();
    }
    for child in [one, other] {
        println!("{}", Receiver::<u32>::new(child).recv().unwrap());
    }
}

fn sibling(parent: Pid, _: ()) {
    let peer = Receiver::<Pid>::new(parent).recv().unwrap();
    let (sender, receiver) = (Sender::<u32>::new(peer), Receiver::<u32>::new(peer));
    let mut last = 0;
    for round in 0..100 {
        sender.send(round).unwrap();
        last = receiver.recv().unwrap();
        assert_eq!(last, round);
    }
    Sender::<u32>::new(parent).send(last).unwrap();
}

/// One on the other node for each line, when the one before has ended.
fn again() {
    for line in io::stdin().lines() {
        let child = Builder::new().node("1").spawn(say_id, line.unwrap());
        println!("{}", child.unwrap().wait().unwrap());
    }
}

fn say_id(_: Pid, _: String) {
    println!("{}", std::process::id());
}

fn echo() {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).unwrap();
    let child = spawn(read_nothing, (), Resources::default()).unwrap();
    println!("{}", child.wait().unwrap());
    print!("{text}");
}

/// An argument that is too long, and one that is not.
fn heavy() {
    let refused = spawn(weigh, "x".repeat(40 << 20), Resources::default());
    println!("{}", refused.unwrap_err());
    let child = spawn(weigh, "x".repeat(2 << 20), Resources::default()).unwrap();
    println!("{}", child.wait().unwrap());
}

fn weigh(_: Pid, argument: String) {
    std::process::exit(argument.len() as i32 >> 20);
}

fn read_nothing(_: Pid, _: ()) {
    assert_eq!(io::stdin().read(&mut [0]).unwrap(), 0);
}

/// A process that outlives whoever does not kill it, with one of its own that has left everything.
fn litter() {
    let mut stray = Command::new("setsid");
    stray.args(["sleep", "1000"]).stdin(Stdio::null());
    #[expect(clippy::zombie_processes, reason = "that is what it is for")]
    stray.spawn().unwrap();
    spawn(sleep, (), Resources::default()).unwrap();
    println!("ready");
    sleep(pid(), ());
}

fn sleep(_: Pid, _: ()) {
    thread::sleep(Duration::from_secs(1000));
}

/// Kills one on the other node.
fn killer() {
    let child = Builder::new().node("1").spawn(sleep, ()).unwrap();
    let receiver = Receiver::<u64>::new(child);
    child.kill().unwrap();
    println!("{:?}", receiver.recv());
    println!("{}", child.wait().unwrap());
}
