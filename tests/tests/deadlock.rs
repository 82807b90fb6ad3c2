//! Three processes on three nodes that wait for each other, and what people hear of it at the terminal and when they ask.
//!
//! What is not looked at: the ways there are to wait (`programs/deadlock.rs`), and what is certain (the monitor's own).

use deploy_tests::{cluster::Cluster, daemon::Daemon};
use std::{
    path::Path,
    time::{Duration, Instant},
};

#[test]
fn a_circle_over_three_nodes_is_told_and_explained() {
    let Some(cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    cluster.login();
    let program = Path::new(env!("CARGO_BIN_EXE_deadlock"));
    let mut command = cluster.deploy(program, &["nodes".to_string()], &[]);
    let mut job = cluster
        .hosts
        .host("laptop")
        .within(|| Daemon::start(&mut command));
    job.expect("spawned: ");
    job.expect("spawned: ");
    let begun = Instant::now();
    let note = job.expect("deadlock: ");
    println!("told after {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(8), "{note}");
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
    for node in ["head", "n1", "n2"] {
        let line = why
            .lines()
            .find(|line| line.contains(&format!(" on {node})")));
        let line = line.unwrap_or_else(|| panic!("nothing of {node} in:\n{why}"));
        assert!(line.contains(waits), "{line}");
    }
    ask(&["kill", id]);
    let (_, said) = job.end();
    assert_eq!(said.matches("deadlock: ").count(), 1, "{said}");
    cluster.finish();
}
