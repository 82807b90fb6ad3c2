//! `cargo run --release -p deploy-tests --bin long_job -- --processes 40000`: one job on a cluster that has so many processes
//! over its life, a few at a time. What master, nodes, wardens and client remember of the second half may not be more than a
//! few bytes of each. It needs root, and prints the figures.
//!
//! Deliberately absent: many processes at the same time (`crowd`), and many jobs (`many_jobs`).

use deploy::*;
use deploy_tests::{cluster::Cluster, memory, soak::number};
use std::{
    collections::VecDeque,
    env,
    io::{self, BufRead, BufReader, Write},
    process::{self, Stdio},
    time::Instant,
};

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job(args[2].parse().unwrap());
    }
    let Some(mut cluster) = Cluster::with_room(&["n1"], "4GiB 16") else {
        return;
    };
    cluster.login();
    let processes = number(&args, "--processes", 40_000);
    let program = env::current_exe().unwrap();
    let words = ["job".to_string(), processes.to_string()];
    let mut command = cluster.deploy(&program, &words, &[]);
    let laptop = cluster.hosts.host("laptop");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let begun = Instant::now();
    let mut client = laptop.within(|| command.stderr(Stdio::null()).spawn().unwrap());
    let mut to_job = client.stdin.take().unwrap();
    let mut looks = Vec::new();
    for line in BufReader::new(client.stdout.take().unwrap()).lines() {
        assert_eq!(line.unwrap(), HERE);
        looks.push(memory::resident_kib_of_all(&mut cluster, client.id()));
        to_job.write_all(b"\n").unwrap();
    }
    assert!(client.wait().unwrap().success());
    println!("{processes} processes in {:.0?}", begun.elapsed());
    let [before, after] = &looks[..] else {
        panic!("it is looked at twice, not {} times", looks.len());
    };
    let mut is_wrong = false;
    for (who, kib) in after {
        let more = kib.saturating_sub(before[who]);
        println!("{who}: {kib} KiB, {more} more than after one half");
        is_wrong |= more > MEMORY_KIB_MAX;
    }
    cluster.finish();
    if is_wrong {
        eprintln!("the second half is to cost {MEMORY_KIB_MAX} KiB at most");
        process::exit(1);
    }
}

/// Has so many processes come and go on both nodes, and waits after each half until somebody has looked.
fn job(processes: u64) {
    init(Resources::default());
    for _ in 0..2 {
        let mut living = VecDeque::new();
        for index in 0..processes / 2 {
            let node = ["head", "n1"][index as usize % 2];
            living.push_back(Builder::new().node(node).spawn(nothing, ()).unwrap());
            if living.len() > AT_A_TIME {
                end(&mut living);
            }
        }
        while !living.is_empty() {
            end(&mut living);
        }
        println!("{HERE}");
        io::stdin().lines().next().unwrap().unwrap();
    }
}

fn end(living: &mut VecDeque<Pid>) {
    let earliest = living.pop_front().unwrap();
    assert!(earliest.wait().unwrap().success());
}

fn nothing(_: Pid, (): ()) {}

const HERE: &str = "here";
const AT_A_TIME: usize = 8;
/// Of some thousand processes the latest ends are remembered; and what a daemon holds at any moment is now more, now less.
const MEMORY_KIB_MAX: u64 = 3 << 10;
