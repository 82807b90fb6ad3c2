//! A disk of the master's or of a node's that stands still: who writes waits, and nobody else.
//!
//! Deliberately absent: disks that are full (`full.rs`).

use deploy_tests::cluster::Cluster;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

fn start(cluster: &Cluster, script: &str) -> Child {
    let words = ["10.77.0.1:8888", "--exe", "/bin/sh", "--", "-c", script];
    let mut command = cluster.cargo(&words);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let laptop = cluster.hosts.host("laptop");
    laptop.within(|| command.spawn()).unwrap()
}

/// Waits until this file says something else than before.
fn next_tick(path: &Path, before: &mut String) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = fs::read_to_string(path).unwrap_or_default();
        if !now.is_empty() && now != *before {
            return *before = now;
        }
        assert!(Instant::now() < deadline, "it does not go on");
        thread::sleep(Duration::from_millis(20)); // A file's change is told to nobody.
    }
}

pub fn a_disk_that_stands_still_holds_up_only_what_is_to_be_written() {
    let Some(mut cluster) = Cluster::bare(&["n1"]) else {
        return;
    };
    if !cluster.hosts.host("head").give_disk(64) {
        return;
    }
    cluster.master("10.77.0.1:9999 bridge 10.77.0.1:8888");
    cluster.join("n1");
    cluster.login();
    assert_eq!(cluster.run("head", "drain head").code, 0);
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let shown = directory.path().display();
    let mut loud = start(
        &cluster,
        &format!(
            "echo begun; until test -e {shown}/frozen; do sleep 0.02; done; seq -f %0{WIDTH}.f {LINES}; echo ended"
        ),
    );
    let mut quiet = start(
        &cluster,
        &format!(
            "until test -e {shown}/stop; do date +%N > {shown}/tick; sleep 0.05; done; echo ended"
        ),
    );
    let mut said = BufReader::new(loud.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "begun");
    let (tick, mut last) = (directory.path().join("tick"), String::new());
    next_tick(&tick, &mut last);

    let mut node = cluster.release("n1");
    let frozen = cluster.hosts.host("head").freeze();
    fs::write(directory.path().join("frozen"), "").unwrap();
    let begun = Instant::now();
    // Another session begins while nothing can be written down of what the one before has brought.
    cluster.hosts.cut("n1");
    node.expect("nothing has come for");
    cluster.hosts.heal("n1");
    node.expect("in the cluster as n1");
    next_tick(&tick, &mut last);
    // A node that is not heard is lost within that, and one that does not hear kills its jobs.
    while begun.elapsed() < Duration::from_secs(13) {
        next_tick(&tick, &mut last);
        let node = cluster.node("n1");
        assert_eq!(node.split_whitespace().nth(2), Some("up"), "{node}");
    }
    drop(frozen);
    cluster.keep("n1", node);

    for line in 1..=LINES {
        assert_eq!(said.next().unwrap().unwrap(), format!("{line:0WIDTH$}"));
    }
    assert_eq!(said.next().unwrap().unwrap(), "ended");
    assert!(loud.wait().unwrap().success());
    fs::write(directory.path().join("stop"), "").unwrap();
    assert!(quiet.wait().unwrap().success());
    cluster.finish();
}

/// What ended there cannot be removed: the node's session and its other jobs go on, and when their time is over all of them
/// are dead before that is told.
pub fn a_disk_that_stands_still_keeps_no_node_from_answering_or_killing() {
    let Some(mut cluster) = Cluster::bare(&["n1"]) else {
        return;
    };
    if !cluster.hosts.host("n1").give_disk(64) {
        return;
    }
    cluster.master("10.77.0.1:9999 bridge 10.77.0.1:8888");
    cluster.join("n1");
    cluster.login();
    assert_eq!(cluster.run("head", "drain head").code, 0);
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ticks = ["short", "one", "other"].map(|name| directory.path().join(name));
    let [mut short, mut one, mut other] = ticks.each_ref().map(|tick| {
        let tick = tick.display();
        let script = format!("until test -e {tick}-stop; do date +%N > {tick}; sleep 0.05; done");
        start(&cluster, &script)
    });
    let mut last = String::new();
    for tick in &ticks {
        next_tick(tick, &mut last);
    }

    let [mut head, mut node] = ["head", "n1"].map(|host| cluster.release(host));
    let frozen = cluster.hosts.host("n1").freeze();
    let ended = Instant::now();
    fs::write(directory.path().join("short-stop"), "").unwrap();
    // A node that does not answer is lost within that.
    while ended.elapsed() < Duration::from_secs(13) {
        next_tick(&ticks[1], &mut last);
        let node = cluster.node("n1");
        assert_eq!(node.split_whitespace().nth(2), Some("up"), "{node}");
    }
    assert!(short.wait().unwrap().success());
    cluster.hosts.cut("n1");
    head.expect("node n1 is lost");
    let read = || {
        ticks
            .each_ref()
            .map(|tick| fs::read_to_string(tick).unwrap())
    };
    let lost = read();
    for _ in 0..2 {
        node.expect("killed the processes of job");
    }
    drop(frozen);
    cluster.hosts.heal("n1");
    node.expect("in the cluster as n1");
    assert_eq!(read(), lost);
    for job in [&mut one, &mut other] {
        assert!(!job.wait().unwrap().success());
    }
    cluster.keep("head", head);
    cluster.keep("n1", node);
    cluster.finish();
}

/// More than is granted at a time.
const LINES: u32 = 6_000;
const WIDTH: usize = 1_000;
