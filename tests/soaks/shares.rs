//! `cargo run --release -p deploy-tests --bin shares -- --seconds 10 --permille 50`: two processes of a job that are busy on
//! one and the same processor, one with three times the share of the other. Each must get its part of what both got, to so
//! many thousandths. It needs root, prints both parts, and says `skipped:` where processors cannot be shared out.
//!
//! Deliberately absent: shares of different jobs, which count equally.

use deploy::*;
use deploy_tests::{cluster::Cluster, soak::number};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd,
};
use std::{env, fs, process, time::Duration};

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job(args[2].parse().unwrap());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !mounts.contains("cpuacct") && !mounts.contains(",cpu") && !controllers.contains("cpu") {
        return eprintln!("skipped: no control group here shares out processors");
    }
    let Some(cluster) = Cluster::with_room(&[], "4GiB 8") else {
        return;
    };
    cluster.login();
    let seconds = number(&args, "--seconds", 10);
    let program = env::current_exe().unwrap();
    let args_of_job = ["job".to_string(), seconds.to_string()];
    let done = cluster.finish_deploy(&mut cluster.deploy(&program, &args_of_job, &[]), b"");
    let done = done.unwrap_or_else(|why| panic!("{why}"));
    let said = done.out_text();
    assert_eq!(done.code, 0, "{said}{}", done.err_text());
    let parts: Vec<u64> = said
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let off = parts[0].abs_diff(250);
    println!(
        "shares 1 : 3 on one processor for {seconds} s: {} and {} thousandths",
        parts[0], parts[1]
    );
    cluster.finish();
    let most = number(&args, "--permille", 50) / 4; // So many thousandths of the smaller part.
    if off > most.max(1) {
        eprintln!("250 and 750 were granted, and they are to be {most} off at most");
        process::exit(1);
    }
}

/// Has two processes busy at the same time, and prints in thousandths what each has got.
fn job(seconds: u64) {
    init(Resources::default());
    let cores = [Cpu::CORE / 4, 3 * Cpu::CORE / 4];
    let pids = cores.map(|cpu| {
        let resources = Resources {
            cpu,
            ..Resources::default()
        };
        spawn(busy, seconds, resources).unwrap()
    });
    let receivers = pids.map(Receiver::<u64>::new);
    let senders = pids.map(Sender::<()>::new);
    for receiver in &receivers {
        receiver.recv().unwrap();
    }
    senders.iter().for_each(|sender| sender.send(()).unwrap());
    let used = receivers.map(|receiver| receiver.recv().unwrap());
    let sum: u64 = used.iter().sum();
    println!("{} {}", 1000 * used[0] / sum, 1000 * used[1] / sum);
}

/// Uses all it gets of the first processor, and says how many microseconds that was while the other was busy too.
fn busy(parent: Pid, seconds: u64) {
    let this = unistd::Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu) == Ok(true));
    let mut only = CpuSet::new();
    only.set(first.unwrap()).unwrap();
    sched_setaffinity(this, &only).unwrap();
    let sender = Sender::<u64>::new(parent);
    sender.send(0).unwrap();
    Receiver::<()>::new(parent).recv().unwrap();
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let begun = std::time::Instant::now();
    // Both have begun by then, and neither has ended.
    while begun.elapsed() < Duration::from_millis(500) {}
    let before = used();
    while begun.elapsed() < Duration::from_millis(500 + 1000 * seconds) {}
    let used = used() - before;
    // The other goes on being busy until it has looked, too.
    while begun.elapsed() < Duration::from_millis(1000 + 1000 * seconds) {}
    sender.send(used.as_micros() as u64).unwrap();
}
