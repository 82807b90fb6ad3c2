//! Three processes on three nodes that wait for each other, and what people hear of it at the terminal and when they ask.
//!
//! What is not looked at: the ways there are to wait (`programs/deadlock.rs`), and what is certain (the monitor's own).

use deploy_tests::{cluster::Cluster, daemon::Daemon};
use nix::sys::signal::Signal;
use std::{
    path::Path,
    time::{Duration, Instant},
};

pub fn a_circle_over_three_nodes_is_told_and_explained() {
    let Some((cluster, mut job)) = begin(&["n1", "n2"]) else {
        return;
    };
    let begun = Instant::now();
    let note = job.expect("deadlock: ");
    println!("told after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(8), "{note}");
    check(&cluster, job, &note, &["head", "n1", "n2"]);
    cluster.finish();
}

/// What a process waits for it has said once, to a master that is no more.
pub fn a_circle_is_told_by_a_master_that_was_started_meanwhile() {
    let Some((mut cluster, mut job)) = begin(&["n1", "n2", "n3"]) else {
        return;
    };
    // Each has said after two seconds at most what it waits for.
    std::thread::sleep(Duration::from_secs(3));
    let master = cluster.release("head");
    master.signal(Signal::SIGKILL);
    master.end();
    let begun = Instant::now();
    cluster.master("10.77.0.1:9999 bridge 10.77.0.1:8888");
    let note = job.expect("deadlock: ");
    println!(
        "told {:?} after the master was started again",
        begun.elapsed()
    );
    check(&cluster, job, &note, &["n1", "n2"]);
    cluster.finish();
}

/// Three processes that wait for each other; not on the head, if there are three others.
fn begin(nodes: &[&str]) -> Option<(Cluster, Daemon)> {
    let cluster = Cluster::start(nodes)?;
    cluster.login();
    if nodes.len() == 3 {
        // What runs there ends with its master.
        assert_eq!(cluster.run("head", "drain head").code, 0);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_deadlock"));
    let mut command = cluster.deploy(program, &["nodes".to_string()], &[]);
    let laptop = cluster.hosts.host("laptop");
    let mut job = laptop.within(|| Daemon::start(&mut command));
    job.expect("spawned: ");
    job.expect("spawned: ");
    Some((cluster, job))
}

/// Whether the note names all three, and so does whoever is asked; and ends the job.
fn check(cluster: &Cluster, job: Daemon, note: &str, nodes: &[&str]) {
    let waits = "to receive u64 from";
    assert_eq!(note.matches(waits).count(), 3, "{note}");
    assert_eq!(note.matches("(tests/programs/deadlock.rs:").count(), 3);

    let ask = |words: &[&str]| {
        let finished = cluster.finish_deploy(&mut cluster.cargo(words), b"");
        let finished = finished.unwrap_or_else(|why| panic!("{words:?}: {why}"));
        assert_eq!(finished.code, 0, "{finished:?}");
        finished.out_text()
    };
    let listed = ask(&["ps"]);
    let id = listed
        .lines()
        .nth(1)
        .and_then(|line| line.split(' ').next());
    let id = id.unwrap_or_else(|| panic!("no job in:\n{listed}"));
    let why = ask(&["why", id]);
    assert_eq!(why.matches("does nothing but wait, for ").count(), 3);
    for node in nodes {
        let line = why
            .lines()
            .find(|line| line.contains(&format!(" on {node})")));
        let line = line.unwrap_or_else(|| panic!("nothing of {node} in:\n{why}"));
        assert!(line.contains(waits), "{line}");
    }
    ask(&["kill", id]);
    let (_, said) = job.end();
    assert_eq!(said.matches("deadlock: ").count(), 1, "{said}");
}
