//! A cluster of several hosts, set up and asked as people do it, and what becomes of it when hosts fail.
//!
//! What is not looked at: what programs do on it.

use deploy_tests::{cluster::Cluster, run::Finished};
use nix::sys::signal::Signal;
use std::{
    fs,
    time::{Duration, Instant},
};

const HEAD: &str = "10.77.0.1:9999 bridge 10.77.0.1:8888";

/// Fails unless the command failed, with this among its words.
#[track_caller]
fn refused(finished: &Finished, words: &str) {
    let said = finished.err_text();
    assert!(said.contains(words), "{words:?} is not in: {said}");
    assert_eq!((finished.code, said.lines().count()), (78, 1), "{said}");
}

#[track_caller]
fn is(cluster: &Cluster, node: &str, state: &str) {
    let line = cluster.node(node);
    assert_eq!(line.split_whitespace().nth(2), Some(state), "{line}");
}

pub fn three_nodes_join_by_the_line_that_the_master_prints() {
    let Some(cluster) = Cluster::start(&["n1", "n2", "n3"]) else {
        return;
    };
    for node in ["head", "n1", "n2", "n3"] {
        is(&cluster, node, "up");
        assert!(cluster.node(node).contains("  tests=yes  "));
    }
    cluster.finish();
}

pub fn the_long_form_expects_nodes_and_bounds_what_they_give() {
    let words =
        "10.77.0.1:9999 2GiB 1 bridge 10.77.0.1:8888 10.77.0.2:9999 1GiB 0.5 10.77.0.3:7777";
    let Some(mut cluster) = Cluster::head_only(&["n1", "n2"], words) else {
        return;
    };
    let head = cluster.node("head");
    assert!(head.contains(" of 2.0 ") && head.contains("up"), "{head}");
    is(&cluster, "10.77.0.2:9999", "expected");
    is(&cluster, "10.77.0.3:7777", "expected");
    cluster.join("n1");
    let node = cluster.node("n1");
    assert!(node.contains(" of 1.0 "), "{node}");
    let all = cluster.run("head", "nodes").out_text();
    assert_eq!(all.matches("10.77.0.2:9999").count(), 1, "{all}");
    // It is known by its address.
    let words = format!("join {} 10.77.0.3:7777", cluster.node_token);
    cluster.serve("n2", &words);
    is(&cluster, "n2", "up");
    let all = cluster.run("head", "nodes").out_text();
    assert!(!all.contains("expected"), "{all}");
    cluster.finish();
}

pub fn who_has_not_joined_waits_and_goes_on_by_itself() {
    let Some(mut cluster) = Cluster::head_only(&["n1"], HEAD) else {
        return;
    };
    let mut waiting = cluster.fabric("n1", "10.77.0.2:9999");
    waiting.expect("fabric join <NODE TOKEN>");
    let joined = cluster.run("n1", &format!("join {}", cluster.node_token));
    assert_eq!(joined.code, 0, "{joined:?}");
    assert!(joined.out_text().contains("already serves"), "{joined:?}");
    waiting.expect("its data port is 10.77.0.2:9999");
    waiting.expect("in the cluster as n1");
    is(&cluster, "n1", "up");
    // Nobody else serves with the same state meanwhile.
    refused(
        &cluster.run("n1", "10.77.0.2:7777"),
        "is in use by a fabric that runs",
    );
    cluster.keep("n1", waiting);
    // Ever after, without a token.
    let node = cluster.release("n1");
    node.signal(Signal::SIGTERM);
    assert!(node.end().0.success());
    cluster.daemon("head").expect("node n1 has stopped");
    cluster.serve("n1", "10.77.0.2:9999");
    is(&cluster, "n1", "up");
    cluster.finish();
}

pub fn each_token_is_for_one_purpose_and_time() {
    let Some(mut cluster) = Cluster::head_only(&["n1"], HEAD) else {
        return;
    };
    let join = |cluster: &Cluster, token: &str| cluster.run("n1", &format!("join {token}"));
    let new = |cluster: &Cluster, words: &str| {
        let made = cluster.run("head", &format!("token new node {words}"));
        assert_eq!(made.code, 0, "{made:?}");
        made.out_text().trim().to_string()
    };
    let own = cluster.node_token.clone();
    refused(
        &join(&cluster, &cluster.user_token),
        "use it with `cargo deploy login`",
    );
    refused(&join(&cluster, "hello"), "this is no join token");
    refused(&join(&cluster, &own[..own.len() - 2]), "cut or mistyped");
    let never = cluster.run("head", "token new node --hours 0");
    assert_eq!(never.code, 78, "{never:?}");
    let said = never.err_text();
    assert!(said.contains("0 is not in 1.."), "{said}");

    let revoked = new(&cluster, "");
    let list = cluster.run("head", "token list").out_text();
    let id = list.lines().last().and_then(|line| line.split(' ').next());
    let id = id.expect("the newest is the last");
    assert_eq!(cluster.run("head", &format!("token revoke {id}")).code, 0);
    refused(&join(&cluster, &revoked), "was revoked");
    refused(
        &cluster.run("head", "token revoke x"),
        "`fabric token list` shows",
    );
    refused(&cluster.run("head", "token new king"), "say node or user");

    let once = new(&cluster, "--once");
    cluster.serve("n1", &format!("join {once}"));
    refused(
        &cluster.run("laptop", &format!("join {once}")),
        "has been used",
    );
    cluster.finish();
}

pub fn two_daemons_live_on_one_machine_each_with_its_state() {
    let Some(cluster) = Cluster::start(&["n1"]) else {
        return;
    };
    let state = cluster.hosts.host("n1").disk().join("second");
    let second = format!(
        "join {} 10.77.0.2:7777 --state /var/lib/second",
        cluster.node_token
    );
    let busy = second.replace(":7777", ":9999");
    let in_use = cluster.run("n1", &busy);
    refused(&in_use, "cannot listen at 10.77.0.2:9999");
    // Who cannot serve does not join.
    let members = cluster.run("head", "members").out_text();
    assert!(!members.contains("n1-2"), "{members}");
    let mut daemon = cluster.fabric("n1", &second);
    daemon.expect("in the cluster as n1-2");
    let again = cluster.run("n1", &second).out_text();
    assert!(again.contains("has joined before, as n1-2"), "{again}");
    assert!(again.contains("already serves"), "{again}");
    assert!(state.join("node").is_dir());
    is(&cluster, "n1", "up");
    is(&cluster, "n1-2", "up");
    // One name, one node: whoever leaves and joins anew is somebody else.
    daemon.signal(Signal::SIGINT);
    assert!(daemon.end().0.success());
    let leave = "leave --state /var/lib/second";
    assert_eq!(cluster.run("n1", leave).code, 0);
    refused(&cluster.run("n1", leave), "no node of a cluster");
    cluster.finish();
}

pub fn what_cannot_begin_says_why() {
    let Some(cluster) = Cluster::start(&["n1"]) else {
        return;
    };
    let run = |host: &str, words: &str| cluster.run(host, words);
    for (host, words, why) in [
        (
            "head",
            "master 10.77.0.1:9999 --state /var/lib/other",
            "cannot listen at 10.77.0.1:9999",
        ),
        (
            "head",
            "master 10.77.0.1:7777",
            "is in use by a fabric that runs",
        ),
        ("laptop", "master 10.9.9.9:9999", "address of this machine"),
        ("laptop", "master 10.77.0.3:9999 lots 3", "\"lots\" stands"),
        ("n1", "master 10.77.0.2:1 --state /proc/x", "--state DIR"),
        ("n1", "nodes", "type this on the head"),
        ("n1", "token list", "type this on the head"),
    ] {
        refused(&run(host, words), why);
    }
    for wrong in ["--wrong", "nods", "master"] {
        assert_eq!(run("n1", wrong).code, 78, "{wrong}");
    }
    refused(&run("head", "drain nobody"), "nobody");
    cluster.hosts.cut("head");
    let begun = Instant::now();
    let join = format!("join {}", cluster.node_token);
    refused(&run("laptop", &join), "10.77.0.1:9999");
    assert!(begun.elapsed() < Duration::from_secs(20));
    cluster.hosts.heal("head");
    cluster.finish();
}

pub fn a_drained_node_stays_and_says_so() {
    let Some(cluster) = Cluster::start(&["n1"]) else {
        return;
    };
    assert_eq!(cluster.run("head", "drain n1").code, 0);
    is(&cluster, "n1", "draining");
    assert_eq!(cluster.run("head", "drain n1 --off").code, 0);
    is(&cluster, "n1", "up");
    cluster.finish();
}

pub fn a_node_that_is_cut_off_is_suspected_then_lost_and_comes_back() {
    let Some(mut cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    cluster.hosts.cut("n1");
    let begun = Instant::now();
    cluster.daemon("head").expect("node n1 has not answered");
    let suspected = begun.elapsed();
    is(&cluster, "n1", "suspected");
    cluster.daemon("n1").expect("it was silent for 10 s");
    let fenced = begun.elapsed();
    cluster.daemon("head").expect("node n1 is lost");
    let lost = begun.elapsed();
    println!("suspected after {suspected:?}, fenced after {fenced:?}, lost after {lost:?}");
    // As late as somebody may read it on a machine that has other things to do.
    assert!(suspected < Duration::from_secs(9), "{suspected:?}");
    assert!(lost < Duration::from_secs(17), "{lost:?}");
    is(&cluster, "n1", "lost");
    is(&cluster, "n2", "up");

    cluster.hosts.heal("n1");
    cluster.daemon("head").expect("node n1 is up");
    is(&cluster, "n1", "up");
    // A silence that is short enough is forgiven.
    cluster.hosts.cut("n2");
    cluster.daemon("head").expect("node n2 has not answered");
    cluster.hosts.heal("n2");
    cluster.daemon("head").expect("node n2 answers again");
    is(&cluster, "n2", "up");
    cluster.finish();
}

pub fn a_node_that_loses_its_power_is_lost_and_one_that_is_killed_returns_at_once() {
    let Some(mut cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    cluster.hosts.power_off("n1");
    let node = cluster.release("n2");
    node.signal(Signal::SIGKILL);
    node.end();
    cluster
        .daemon("head")
        .expect("node n2 has ended its session");
    is(&cluster, "n2", "suspected");
    // Its address and its state are free again, and it is the same node.
    cluster.serve("n2", "10.77.0.3:9999");
    is(&cluster, "n2", "up");
    cluster.daemon("head").expect("node n1 is lost");
    cluster.release("n1").end();
    cluster.hosts.power_on("n1");
    cluster.serve("n1", "10.77.0.2:9999");
    is(&cluster, "n1", "up");
    cluster.finish();
}

pub fn nodes_come_back_to_a_master_that_was_killed() {
    let Some(mut cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    let old = cluster.node_token.clone();
    let master = cluster.release("head");
    master.signal(Signal::SIGKILL);
    master.end();
    refused(&cluster.run("head", "nodes"), "is `fabric master` running?");
    let begun = Instant::now();
    cluster.master(HEAD);
    cluster.daemon("n1").expect("in the cluster as n1");
    cluster.daemon("n2").expect("in the cluster as n2");
    let back = begun.elapsed();
    println!("all back after {back:?}");
    assert!(back < Duration::from_secs(8), "{back:?}");
    for node in ["head", "n1", "n2"] {
        is(&cluster, node, "up");
    }
    // What was printed before is still good.
    cluster.node_token = old;
    let words = format!("join {} 10.77.0.4:9999", cluster.node_token);
    cluster.serve("laptop", &words);
    cluster.finish();
}

pub fn hosts_of_one_name_are_two_nodes() {
    let Some(mut cluster) = Cluster::start(&["n1", "n2"]) else {
        return;
    };
    let state = "--state /var/lib/third";
    let words = format!("join {} 10.77.0.3:7777 {state}", cluster.node_token);
    let third = cluster.serve("n2", &words).id();
    is(&cluster, "n2", "up");
    is(&cluster, "n2-2", "up");
    assert!(fs::exists(format!("/proc/{third}")).unwrap());
    cluster.finish();
}
