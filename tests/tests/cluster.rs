//! A cluster of several hosts, set up and asked as people do it, and what becomes of it when hosts fail.

use deploy_tests::cluster::Cluster;

#[test]
fn three_nodes_join_by_the_line_that_the_master_prints() {
    let Some(cluster) = Cluster::start(&["n1", "n2", "n3"]) else {
        return;
    };
    for node in ["head", "n1", "n2", "n3"] {
        let line = cluster.node(node);
        assert!(line.contains(" up "), "{line}");
    }
    cluster.finish();
}
