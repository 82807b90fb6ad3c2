//! Connections that two machines cannot make themselves, by way of the master.
//!
//! What is not looked at: what each piece of a connection means, which `deploy-monitor` tests.

use deploy_tests::{cluster::Cluster, run};
use std::{path::Path, time::Instant};

/// A head and two nodes that do not reach each other, and of which each has room for a third of a hundred processes.
fn apart() -> Option<Cluster> {
    let cluster = Cluster::with_room(&["n1", "n2"], "10GiB 100")?;
    cluster.login();
    cluster.hosts.cut_pair("n1", "n2");
    Some(cluster)
}

#[test]
fn processes_whose_nodes_cannot_dial_each_other_talk_all_the_same() {
    let Some(cluster) = apart() else { return };
    let begun = Instant::now();
    let outcome = run::on_cluster(
        &cluster,
        Path::new(env!("CARGO_BIN_EXE_all_to_all")),
        include_str!("../programs/all_to_all.rs"),
    );
    println!("all to all, relayed: {:?}", begun.elapsed());
    cluster.finish();
    outcome.unwrap_or_else(|why| panic!("{why}"));
}
