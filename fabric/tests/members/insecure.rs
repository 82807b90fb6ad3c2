//! The one way out, `--insecure-no-auth`: on the loopback only, and only where it is said.

use crate::daemons::{Cluster, greeted};
use deploy_trust::{
    join,
    subject::{Name, Role},
    token::Token,
};

#[test]
fn everybody_on_this_machine_joins_where_that_was_said() {
    let cluster = Cluster::start_with("--insecure-no-auth");
    let port = cluster.data_port(1);
    let token = cluster.node_token.as_str();
    let refused = cluster.run_at("n1", &["join", token, &port]);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("add --insecure-no-auth"), "{words}");
    let elsewhere = ["join", token, "0.0.0.0:9001", "--insecure-no-auth"];
    let refused = cluster.run_at("n1", &elsewhere);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("0.0.0.0:9001 is none"), "{words}");
    let mut node = cluster.serve("n1", &["join", token, &port, "--insecure-no-auth"]);
    node.expect("in the cluster as ");

    let address = cluster.bridge().parse().unwrap();
    let known = deploy_trust::insecure::token(Role::User, address).unwrap();
    assert_eq!(known.to_string(), cluster.user_token);
    let ada = join::join(&known, &Name::like("ada"), crate::daemons::PATIENCE).unwrap();
    let _client = greeted(&ada);
    assert!(cluster.say(&["members"]).contains(" ada "));
}

#[test]
fn nothing_that_others_can_reach_goes_without() {
    let cluster = Cluster::start();
    for words in [
        "0.0.0.0:1 1GiB 1 bridge 127.0.0.1:2",
        "127.0.0.1:1 1GiB 1 bridge 0.0.0.0:2",
    ] {
        let all: Vec<&str> = ["master"]
            .into_iter()
            .chain(words.split(' '))
            .chain(["--insecure-no-auth"])
            .collect();
        let refused = cluster.run_at("other", &all);
        let words = String::from_utf8(refused.stderr).unwrap();
        assert!(
            words.contains("is for addresses of the loopback only"),
            "{words}"
        );
    }
    // A cluster that has authentication keeps it.
    let with = [
        "join",
        &cluster.node_token,
        &cluster.data_port(1),
        "--insecure-no-auth",
    ];
    let refused = cluster.run_at("n1", &with);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("leave out --insecure-no-auth"), "{words}");
    assert!(!cluster.node_token.parse::<Token>().unwrap().is_insecure());
}
