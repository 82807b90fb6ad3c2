//! A master whose standard error nobody reads any more: it goes on.
//!
//! Deliberately absent: where nobody ever did, which is `/dev/null` or a closed descriptor, and no error.

use crate::daemons::Cluster;

/// The first note that could not be written was its end.
#[test]
fn a_note_that_cannot_be_written_is_not_the_masters_end() {
    let mut cluster = Cluster::start();
    cluster.master.stop_listening();
    let nodes: Vec<_> = (1..=3)
        .map(|number| {
            let port = cluster.data_port(number);
            let words = ["join", &cluster.node_token, &port];
            let mut node = cluster.serve(&format!("n{number}"), &words);
            node.expect("in the cluster as");
            node
        })
        .collect();
    let told = cluster.say(&["nodes"]);
    assert!(told.lines().count() > nodes.len(), "{told}");
}
