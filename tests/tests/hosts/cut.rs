//! A network that is cut between two nodes, each of which reaches the master: whoever talked over it is told, and nobody else.
//!
//! Deliberately absent: nodes that are cut off from the master (`network.rs`, `cluster.rs`).

use deploy_tests::{cluster::Cluster, daemon::Daemon, story::now_ms};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

const APART: &str = env!("CARGO_BIN_EXE_apart");

/// A job of which one process is on one node, and others that it talks to are on another.
fn start(cluster: &Cluster, task: &str, [here, there]: [&str; 2]) -> Daemon {
    let args = [task, there, here].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &args, &[]);
    let laptop = cluster.hosts.host("laptop");
    laptop.within(|| Daemon::start(&mut command))
}

/// All ends of a job's channels are told to be cut between 11 and 14 s after that, and then it goes on. Returns after how many
/// milliseconds they were told, the first and the last.
fn check_cut(mut job: Daemon, since: u64) -> [u64; 2] {
    job.expect("again: Ok(42)");
    let (status, said) = job.end();
    assert!(status.success(), "{said}");
    let ends: Vec<&str> = said.lines().filter(|line| line.contains("; at ")).collect();
    let told = |who: &str| ends.iter().filter(|line| line.contains(who)).count();
    let each = ["idle: ", "idle there: ", "reader: ", "source: ", "unread: "].map(told);
    assert_eq!(each, [1, 1, 1, 2, 1], "{said}");
    let cause = "the network between its node and this one was cut";
    assert!(ends.iter().all(|line| line.contains(cause)), "{said}");
    let after = |line: &&str| {
        let at: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        at - since
    };
    let after = || ends.iter().map(after);
    let times = [after().min().unwrap(), after().max().unwrap()];
    assert!(times[0] > 10_500 && times[1] < 17_000, "{times:?}: {said}");
    times
}

/// Stops these processes, until it is dropped.
pub(super) struct Stopped(Vec<Pid>);

impl Stopped {
    pub(super) fn stop(pids: impl IntoIterator<Item = u32>) -> Stopped {
        let pids = pids.into_iter().map(|pid| Pid::from_raw(pid as i32));
        let pids: Vec<Pid> = pids.collect();
        for pid in &pids {
            kill(*pid, Signal::SIGSTOP).unwrap();
        }
        Stopped(pids)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT); // It may have ended since.
        }
    }
}

fn sleep_until(begun: Instant, seconds: u64) {
    let until = Duration::from_secs(seconds);
    thread::sleep(until.saturating_sub(begun.elapsed()));
}

pub fn who_talks_over_a_network_that_is_cut_is_told_and_nobody_else() {
    let Some(cluster) = Cluster::start(&["n1", "n2", "n3", "n4", "n5"]) else {
        return;
    };
    cluster.login();
    let hosts = &cluster.hosts;
    // Whose network is cut, in which directions: who dials is on the second.
    let cuts: [(&str, &str, &[[&str; 2]]); 3] = [
        ("both ways", "n2", &[["n1", "n2"], ["n2", "n1"]]),
        ("to who dialed", "n3", &[["n1", "n3"]]),
        ("from who dialed", "n4", &[["n4", "n1"]]),
    ];
    // One after the other: the first sends the program.
    let jobs = cuts.map(|(_, there, _)| {
        let mut job = start(&cluster, "cut", ["n1", there]);
        job.expect("it flows");
        job
    });
    let mut patient = start(&cluster, "wait", ["n1", "n5"]);
    let stopped = patient.expect("it waits for ");
    let stopped: u32 = stopped.trim().rsplit(' ').next().unwrap().parse().unwrap();

    let (begun, since) = (Instant::now(), now_ms());
    for [from, to] in cuts.iter().flat_map(|(.., ways)| *ways) {
        hosts.cut_way(from, to);
    }
    hosts.cut_way("n1", "n5");
    hosts.cut_way("n5", "n1");
    let stopped = Stopped::stop([stopped]);
    sleep_until(begun, 9);
    hosts.heal_way("n1", "n5");
    hosts.heal_way("n5", "n1");
    // The daemon, its wardens and what those have started: for less than a node may be silent.
    let all = Stopped::stop(hosts.host("n5").processes());
    sleep_until(begun, 17);
    drop(all);
    kill(stopped.0[0], Signal::SIGSTOP).unwrap();
    sleep_until(begun, 20);
    drop(stopped);
    patient.expect("all of it came");
    let (status, said) = patient.end();
    assert!(status.success(), "{said}");

    for ((what, ..), job) in cuts.iter().zip(jobs) {
        let [first, last] = check_cut(job, since);
        println!("cut {what}: told after {first} to {last} ms");
    }
    println!("cut for 9 s, daemons stopped for 8 s, a process for 20 s: not told");

    // What begins when all is mended needs the master no more than it ever did.
    for [from, to] in cuts.iter().flat_map(|(.., ways)| *ways) {
        hosts.heal_way(from, to);
    }
    let before = hosts.host("head").sent();
    let args = ["beside", "n2", "n1"].map(str::to_string);
    let mut command = cluster.deploy(Path::new(APART), &args, &[]);
    let done = cluster.finish_deploy(&mut command, b"").unwrap();
    assert_eq!(done.code, 0, "{}", done.err_text());
    let sent = hosts.host("head").sent() - before;
    assert!(sent < 50_000_000, "of 100 MB the master has sent {sent}");
    cluster.finish();
}
