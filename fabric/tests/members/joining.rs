//! Nodes that join, and those that may not: what the administrator reads of it later.

use crate::daemons::Cluster;

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
