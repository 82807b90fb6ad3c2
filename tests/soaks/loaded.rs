//! `cargo run --release -p deploy-tests --bin loaded -- --minutes 60`: a cluster whose processes have four times as much to
//! do as the machine has processors. Nobody is to be taken for dead: no node is suspected or lost, and the first process
//! hears each of the others on and on. It needs root, and prints how long the longest answer took.
//!
//! Deliberately absent: anything that fails.

use deploy::*;
use deploy_tests::{cluster::Cluster, run, soak::number};
use std::{
    env, process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job(Duration::from_secs(args[2].parse().unwrap()));
    }
    let nodes = ["head", "n1", "n2", "n3"];
    let Some(mut cluster) = Cluster::with_room(&nodes[1..], "8GiB 16") else {
        return;
    };
    cluster.login();
    let time = match number(&args, "--seconds", 0) {
        0 => Duration::from_secs(60 * number(&args, "--minutes", 60)),
        seconds => Duration::from_secs(seconds),
    };
    let program = env::current_exe().unwrap();
    let words = ["job".to_string(), time.as_secs().to_string()];
    let mut command = cluster.deploy(&program, &words, &[]);
    let laptop = cluster.hosts.host("laptop");
    let done = laptop.within(|| run::finish_within(time + ENDED_MAX, &mut command, b""));
    let done = done.unwrap_or_else(|why| panic!("{why}"));
    print!("{}", done.out_text());
    let said = cluster.daemon("head").said();
    let is_alarm = |line: &&str| line.contains("has not answered") || line.contains("is lost");
    let alarms: Vec<&str> = said.lines().filter(is_alarm).collect();
    println!("{} false alarms in {time:.0?}", alarms.len());
    if done.code != 0 || !alarms.is_empty() {
        eprintln!("{}{}", done.err_text(), alarms.join("\n"));
        process::exit(1);
    }
    cluster.finish();
}

/// Asks each of the busy ones in turn, and each must answer.
fn job(time: Duration) {
    init(small());
    let until = Instant::now() + time;
    let processors = thread::available_parallelism().unwrap().get();
    let born = (0..4 * processors).map(|index| {
        let node = ["head", "n1", "n2", "n3"][index % 4];
        let builder = Builder::new().resources(small()).node(node).link(true);
        builder.spawn(busy, ()).unwrap()
    });
    let both = |pid| (Sender::<u64>::new(pid), Receiver::<u64>::new(pid));
    let ends: Vec<_> = born.collect::<Vec<Pid>>().into_iter().map(both).collect();
    let (mut asked, mut longest, mut work) = (0_u64, Duration::ZERO, 0);
    while Instant::now() < until {
        for (sender, receiver) in &ends {
            let begun = Instant::now();
            sender.send(asked).unwrap();
            work = receiver.recv().unwrap();
            longest = longest.max(begun.elapsed());
            asked += 1;
        }
    }
    assert!(work > 0, "they are busy");
    println!(
        "{} busy processes on {processors} processors answered {asked} times, at the latest after {longest:.0?}",
        ends.len()
    );
}

/// Computes all the time, and says how far it is whenever it is asked.
fn busy(parent: Pid, (): ()) {
    static DONE: AtomicU64 = AtomicU64::new(1);
    thread::spawn(|| {
        loop {
            DONE.fetch_add(1, Relaxed);
        }
    });
    let (receiver, sender) = (Receiver::<u64>::new(parent), Sender::new(parent));
    for _ in receiver.iter() {
        sender.send(DONE.load(Relaxed)).unwrap();
    }
}

fn small() -> Resources {
    Resources {
        cpu: Cpu::CORE / 16,
        ..Resources::default()
    }
}

/// How long the job may take to begin and to end.
const ENDED_MAX: Duration = Duration::from_secs(60);
