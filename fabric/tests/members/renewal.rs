//! Certificates that end before long are replaced, and nobody notices.

use crate::daemons::{Cluster, ask, greeted};
use deploy_trust::{
    identity::{Certified, Identity},
    state::StateDir,
    subject::Role,
};
use deploy_wire::client::{Answer, Ask};
use std::time::{Duration, SystemTime};

/// Two thirds of a certificate's life, and a little.
fn long_ago() -> SystemTime {
    SystemTime::now() - Duration::from_secs(65 * 24 * 60 * 60)
}

#[test]
fn a_node_renews_its_certificate_in_its_session_and_keeps_it() {
    let cluster = Cluster::start();
    let old = cluster.identity(Role::Node, "n1", long_ago());
    cluster.make_state("n1");
    let dir = StateDir::open(&cluster.state("n1").join("node")).unwrap();
    old.save(&dir).unwrap();
    let port = cluster.data_port(1);
    let mut node = cluster.serve("n1", &[&port]);
    node.expect("in the cluster as n1");
    node.expect("the certificate was renewed");
    let new = Identity::load(&dir).unwrap().unwrap();
    assert_eq!(new.subject, old.subject);
    assert!(new.expires > old.expires && !new.is_renewal_due(SystemTime::now()));
    drop(node);
    let mut node = cluster.serve("n1", &[&port]);
    node.expect("in the cluster as n1");
    let audit = cluster.audit();
    let count = audit.matches(r#""event":"renewed""#).count();
    assert_eq!(count, 1, "{audit}");
}

#[test]
fn a_user_renews_over_its_session_and_not_after_it_was_removed() {
    let cluster = Cluster::start();
    let mut ada = cluster.identity(Role::User, "ada", long_ago());
    let mut client = greeted(&ada);
    let answer = ask(&mut client, &Ask::Renew).unwrap();
    let Answer::Renewed { certified } = answer else {
        panic!("{answer:?}");
    };
    assert!(ada.renew(Certified::from_bytes(&certified).unwrap()));
    assert!(!ada.is_renewal_due(SystemTime::now()));
    let _client = greeted(&ada);
    cluster.say(&["remove", "ada"]);
    assert!(crate::daemons::connect(&ada, &ada.address).is_err());
}
