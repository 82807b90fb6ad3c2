//! Nodes that join, and those that may not: what the administrator reads of it later.

use crate::{
    daemons::{Cluster, PATIENCE},
    slow::waits_for_a_lock,
};
use deploy_trust::state::StateDir;
use std::{
    thread,
    time::{Duration, Instant},
};

#[test]
fn who_joins_and_who_may_not_stands_in_the_audit_log() {
    let cluster = Cluster::start();
    let join = |name: &str, port: u16| {
        let port = cluster.data_port(port);
        cluster.serve(name, &["join", &cluster.node_token, &port])
    };
    let mut node = join("n1", 1);
    let name = node.expect("in the cluster as ");
    let name = name.rsplit(' ').next().unwrap();
    let joined = cluster.audited("joined");
    assert_eq!(joined["who"], format!("node {name}"), "{joined}");
    let tokens = cluster.say(&["token", "list"]);
    let row = tokens.lines().find(|row| row.contains("node")).unwrap();
    cluster.say(&["token", "revoke", row.split(' ').next().unwrap()]);
    let (status, said) = join("n2", 2).end();
    assert!(!status.success() && said.contains("revoked"), "{said}");
    let refused = cluster.audited("refused to join");
    let why = refused["why"].as_str().unwrap();
    assert!(why.contains("revoked"), "{refused}");
    for line in [joined, refused] {
        let from = line["from"].as_str().unwrap();
        assert!(from.starts_with("127."), "{line}");
    }
}

#[test]
fn a_fabric_that_is_started_while_a_join_goes_on_leaves_the_machine_to_that() {
    let cluster = Cluster::start();
    let authority = StateDir::open(&cluster.state("head").join("authority")).unwrap();
    let held = authority.lock().unwrap();
    let mut joining = cluster.serve("n1", &["join", &cluster.node_token, &cluster.data_port(1)]);
    let deadline = Instant::now() + PATIENCE;
    while !waits_for_a_lock(cluster.master.id()) {
        assert!(Instant::now() < deadline, "the master never hears of it");
        thread::sleep(Duration::from_millis(1)); // The kernel announces nobody who waits.
    }
    let mut other = cluster.serve("n1", &[]);
    other.expect("is in use by a fabric that runs");
    drop(held);
    joining.expect("in the cluster as ");
    assert!(!other.end().0.success());
}
