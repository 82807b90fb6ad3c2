//! The node beside the master, a process of its own: what becomes of it when the master is killed, and of the master when it
//! is.
//!
//! Deliberately absent: its jobs, which go on (`restarts.rs` of the tests for clusters).

use crate::daemons::{Cluster, children};
use deploy_sys::pidfd::Process;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

fn own_node(cluster: &Cluster) -> Process {
    Process::open(children(cluster.master.id())[0]).unwrap()
}

/// Waits until a process that is not ours to wait for has ended.
fn end_of(process: &Process) {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let most = PollTimeout::from(20_000_u16);
    assert_eq!(poll(&mut fds, most), Ok(1), "it does not end");
}

#[test]
fn the_next_master_finds_it_and_has_it_go_on_as_it_says() {
    let mut cluster = Cluster::start();
    let first = own_node(&cluster);
    for words in ["", "--label other", "--label some --label more"] {
        cluster.kill_master();
        cluster.start_master(words);
        cluster.master.expect("going on with the node");
        cluster.master.expect(" is up");
        let nodes = cluster.say(&["nodes"]);
        for label in ["other", "some", "more"] {
            assert_eq!(nodes.contains(label), words.contains(label), "{nodes}");
        }
    }
    cluster.kill_master();
    cluster.start_master_with("2GiB 1", "");
    cluster.master.expect("going on with the node");
    cluster.master.expect(" is up");
    assert!(cluster.say(&["nodes"]).contains(" of 2.0 "));
    // Whoever dials the one before it finds nobody there, so it can be none of this cluster any more.
    cluster.kill_master();
    cluster.move_away();
    cluster.start_master("");
    cluster.master.expect("served at another address");
    end_of(&first);
    cluster.master.expect(" is up");
    assert_eq!(children(cluster.master.id()).len(), 1);
}

#[test]
fn when_no_master_comes_it_ends_by_itself() {
    let mut cluster = Cluster::start();
    let node = own_node(&cluster);
    cluster.kill_master();
    let killed = Instant::now();
    end_of(&node);
    let lived = killed.elapsed();
    assert!(lived > Duration::from_secs(10), "{lived:?}");
}

#[test]
fn another_begins_when_it_is_killed() {
    let mut cluster = Cluster::start();
    let first = own_node(&cluster);
    first.signal(Signal::SIGKILL as i32).unwrap();
    cluster.master.expect("was killed: another begins");
    cluster.master.expect(" is up");
    end_of(&first);
    assert_ne!(own_node(&cluster).id(), first.id());
}

#[test]
fn the_two_are_stopped_together_whichever_is_stopped() {
    let cluster = Cluster::start();
    let node = own_node(&cluster);
    drop(cluster.master); // By SIGTERM, and waited for.
    end_of(&node);
    let cluster = Cluster::start();
    let node = own_node(&cluster);
    node.signal(Signal::SIGTERM as i32).unwrap();
    end_of(&node);
    assert!(!cluster.master.end().0.success());
}
