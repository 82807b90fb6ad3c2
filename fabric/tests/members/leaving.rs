//! Members that are removed, and nodes that leave.

use crate::daemons::{Cluster, PATIENCE, ask, greeted};
use deploy_trust::subject::Role;
use deploy_wire::client::{Answer, Ask};
use std::time::{Duration, Instant, SystemTime};

/// Removes a user who is there; says how long it takes until no session is left.
fn cut_off(cluster: &Cluster, name: &str) -> Duration {
    let user = cluster.identity(Role::User, name, SystemTime::now());
    let mut session = greeted(&user);
    let said = cluster.say(&["remove", name]);
    let removed = Instant::now();
    assert!(said.contains(&format!("Removed the user {name}")), "{said}");
    let last = Answer::decode(&session.recv(removed + PATIENCE).unwrap()).unwrap();
    let words = format!("user {name} is no member");
    assert!(matches!(&last, Answer::Refused { why, .. } if why.contains(&words)));
    assert!(session.recv(removed + PATIENCE).is_err());
    let took = removed.elapsed();
    assert!(crate::daemons::connect(&user, &user.address).is_err());
    took
}

#[test]
fn a_removed_user_is_cut_off_within_a_second_and_others_are_not() {
    let cluster = Cluster::start();
    let bob = cluster.identity(Role::User, "bob", SystemTime::now());
    let mut bobs = greeted(&bob);
    // One of three, because the machine may have other things to do.
    let mut users = ["ada", "eve", "kim"].into_iter();
    let is_quick = |name| cut_off(&cluster, name) < Duration::from_secs(1);
    assert!(users.any(is_quick), "each took a second and more");
    let answer = ask(&mut bobs, &Ask::Jobs).unwrap();
    assert_eq!(answer, Answer::Jobs(Vec::new()));
    let members = cluster.say(&["members"]);
    let line = |name: &str| members.lines().find(|line| line.contains(name)).unwrap();
    assert!(line(" ada ").contains("removed"), "{members}");
    // Columns are columns.
    assert_eq!(line(" ada ").find("ada"), members.find("NAME"), "{members}");
    assert!(line(" bob ").contains("89 days left"), "{members}");
    let audit = cluster.audit();
    assert!(audit.contains(r#""event":"removed","time""#), "{audit}");
    assert!(audit.contains(r#""event":"dismissed""#), "{audit}");
    let again = cluster.run(&["remove", "ada"]);
    let words = String::from_utf8(again.stderr).unwrap();
    assert!(words.contains("there is no member ada"), "{words}");
}

#[test]
fn a_removed_node_ends_its_jobs_and_is_lost_at_once() {
    let mut cluster = Cluster::start();
    let port = cluster.data_port(1);
    let mut node = cluster.serve("n1", &["join", &cluster.node_token, &port]);
    let name = node.expect("in the cluster as ");
    let name = name.rsplit(' ').next().unwrap();
    cluster.master.expect(" is up");
    let removed = Instant::now();
    cluster.say(&["remove", name]);
    node.expect("is no member of the cluster any more");
    cluster.master.expect(&format!("node {name} has stopped"));
    // That soon nobody notices that it is silent.
    assert!(
        removed.elapsed() < Duration::from_secs(5),
        "{:?}",
        removed.elapsed()
    );
    assert!(!node.end().0.success());
    let nodes = cluster.say(&["nodes"]);
    assert!(!nodes.lines().any(|line| line.starts_with(name)), "{nodes}");
}

/// The master ends with it, and so would the cluster.
#[test]
fn the_heads_own_node_neither_leaves_nor_is_removed() {
    let mut cluster = Cluster::start();
    let nodes = cluster.say(&["nodes"]);
    let name = nodes.lines().nth(1).unwrap().split(' ').next().unwrap();
    for words in [&["leave"][..], &["remove", name, "--role", "node"]] {
        let output = cluster.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{words:?}");
        assert!(said.contains(&format!("fabric drain {name}")), "{said}");
    }
    assert_eq!(cluster.say(&["nodes"]), nodes);
    cluster.kill_master();
    assert!(cluster.run(&["leave"]).status.success());
}

/// It would look as if there were a cluster, next time.
#[test]
fn a_question_about_what_is_not_there_makes_nothing() {
    let cluster = Cluster::start();
    for words in [&["nodes"][..], &["token", "list"], &["members"], &["leave"]] {
        let output = cluster.run_at("typo", words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.lines().count() == 1,
            "{said}"
        );
        assert!(!cluster.state("typo").exists(), "{words:?}");
    }
}

#[test]
fn a_node_leaves_while_its_daemon_runs_and_joins_again_under_its_name() {
    let mut cluster = Cluster::start();
    let port = cluster.data_port(1);
    let token = cluster.node_token.clone();
    let mut node = cluster.serve("n1", &["join", &token, &port]);
    let name = node.expect("in the cluster as ");
    cluster.master.expect(" is up");
    let left = cluster.run_at("n1", &["leave"]);
    assert!(left.status.success(), "{left:?}");
    node.expect("is no member of the cluster any more");
    assert!(!node.end().0.success());
    let mut node = cluster.serve("n1", &["join", &token, &port]);
    assert_eq!(node.expect("in the cluster as "), name);
    let audit = cluster.audit();
    assert!(audit.contains(r#""event":"left""#), "{audit}");
}

#[test]
fn a_node_leaves_without_its_daemon_and_without_a_master() {
    let cluster = Cluster::start();
    let port = cluster.data_port(1);
    let mut node = cluster.serve("n1", &["join", &cluster.node_token, &port]);
    node.expect("in the cluster as ");
    drop(node);
    let left = cluster.run_at("n1", &["leave"]);
    let words = String::from_utf8(left.stdout).unwrap();
    assert!(words.contains("has left the cluster"), "{words}");
    let mut node = cluster.serve("n1", &["join", &cluster.node_token, &port]);
    node.expect("in the cluster as ");
    drop(node);
    let Cluster { master, .. } = &cluster;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(master.id() as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let left = cluster.run_at("n1", &["leave"]);
    let words = String::from_utf8(left.stdout).unwrap();
    assert!(words.contains("has forgotten the cluster, but"), "{words}");
    let left = cluster.run_at("n1", &["leave"]);
    assert!(String::from_utf8(left.stderr).unwrap().contains("no node"));
}
