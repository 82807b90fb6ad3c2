//! Direct connections that something on the way resets, of which both kernels are told at once: a stream that is cut so is never
//! taken for a whole one, whenever its sender ends.
//!
//! Deliberately absent: networks that lose what is sent (`cut.rs`), and relayed connections (`relay.rs`).

use super::cut::Stopped;
use deploy_tests::{
    cluster::Cluster,
    daemon::Daemon,
    hosts::{Host, Hosts},
};
use std::path::Path;

const RESET: &str = env!("CARGO_BIN_EXE_reset");

pub fn what_is_reset_is_lost_also_where_its_sender_has_ended_since() {
    let Some(cluster) = Cluster::with_room(&["n1", "n2"], "10GiB 100") else {
        return;
    };
    cluster.login();
    let hosts = &cluster.hosts;
    let [n1, n2] = ["n1", "n2"].map(|name| hosts.host(name));
    let start = |task: &str| {
        let args = [task, PAIRS, "n2", "n1"].map(str::to_string);
        let mut command = cluster.deploy(Path::new(RESET), &args, &[]);
        let laptop = hosts.host("laptop");
        laptop.within(|| Daemon::start_listening(&mut command))
    };
    // The sources send what their kernel takes and cannot deliver, and end before they have noticed anything.
    let mut job = start("sends");
    job.expect("it flows to");
    hosts.cut_way("n2", "n1");
    job.tell("send");
    job.expect("all have sent");
    let is_reset = n1.reset(&n2.address.to_string());
    hosts.heal_way("n2", "n1");
    job.tell("end");
    if is_reset {
        check(job);
        let job = start("notices");
        check_noticed(job, n2, &n1.address.to_string());
    }
    cluster.finish();
}

pub fn what_is_reset_is_lost_also_for_who_talks_over_tcp_alone() {
    let Some(hosts) = Hosts::raise(&["alone"]) else {
        return;
    };
    let host = hosts.host("alone");
    let mut command = host.command(RESET, &["notices", PAIRS]);
    command.env("DEPLOY_CHANNELS", "tcp");
    let job = host.within(|| Daemon::start_listening(&mut command));
    check_noticed(job, host, "127.0.0.0/8");
    hosts.finish();
}

/// Resets these connections of a host under a job whose readers are stopped until each source has noticed, and ended.
fn check_noticed(mut job: Daemon, host: &Host, peers: &str) {
    let line = job.expect("it flows to");
    let ids = line.split(|c: char| !c.is_ascii_digit());
    let stopped = Stopped::stop(ids.filter_map(|id| id.parse().ok()));
    if host.reset(peers) {
        job.expect("all have ended");
        drop(stopped);
        check(job);
    }
}

/// Every reader is told that what it has is not all.
fn check(job: Daemon) {
    let (status, said) = job.end();
    let told = |words: &str| said.lines().filter(|line| line.contains(words)).count();
    let pairs: usize = PAIRS.parse().unwrap();
    assert_eq!(
        [told("reader: lost: "), told("reader: ")],
        [pairs; 2],
        "{said}"
    );
    assert!(status.success(), "{said}");
}

/// How many streams are reset at a time.
const PAIRS: &str = "20";
