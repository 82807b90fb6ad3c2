//! The keepers of wardens, whatever the job's program is.

use crate::{
    master::{Node, PATIENCE, assert_alone},
    scenarios::{begin, children, littered, next},
};
use deploy_sys::{cgroup::Tree, process};
use deploy_wire::job::{JobOrder, JobReport};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

pub fn killed() {
    let mut master = littered();
    kill_warden(&mut master.nodes[0]);
}

/// Its keeper, which begins a little later, is something else.
pub fn ordinary() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ran");
    let node = Node::start_shell(&format!("echo once >>{}; read line", file.display()));
    node.order(&JobOrder::Credit { bytes: 1 << 10 }, None);
    begin(&node, 0);
    if has_groups() {
        wait_for_keeper(&node);
    }
    let bytes = Vec::new();
    node.order(&JobOrder::Input { bytes }, None);
    assert!(matches!(next(&node), JobReport::Died { .. }));
    node.close();
    assert_eq!(fs::read_to_string(file).unwrap(), "once\n");
    assert_alone();
}

pub fn ordinary_killed() {
    let stray = "setsid sleep 1000 </dev/null >/dev/null 2>&1 &";
    let mut node = Node::start_shell(&format!("{stray} echo ready; exec sleep 1000"));
    node.order(&JobOrder::Credit { bytes: 1 << 10 }, None);
    begin(&node, 0);
    assert!(matches!(next(&node), JobReport::Output { .. }));
    kill_warden(&mut node);
}

/// Kills a warden that has a keeper, and waits until nothing is left of it.
fn kill_warden(node: &mut Node) {
    if !has_groups() {
        println!("skipped: without control groups nobody can tell what it leaves behind");
        return drop((node.warden.kill(), node.warden.wait()));
    }
    wait_for_keeper(node);
    let warden = &mut node.warden; // Whose socket stays open: without its node it would end by itself.
    warden.kill().unwrap();
    warden.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !process::children().is_empty() {
        process::reap_adopted(|_| false);
        assert!(Instant::now() < deadline, "{:?}", process::children());
        thread::sleep(Duration::from_millis(1)); // Nobody says when a keeper is done.
    }
}

/// Whether groups can be made here, without which there are no keepers.
fn has_groups() -> bool {
    Tree::create("warden-test-", "0").is_some()
}

fn wait_for_keeper(node: &Node) {
    let deadline = Instant::now() + PATIENCE;
    while !has_keeper(node.warden.id()) {
        assert!(Instant::now() < deadline, "there is no keeper");
        thread::sleep(Duration::from_millis(1)); // It begins a little after the job.
    }
}

fn has_keeper(warden: u32) -> bool {
    children(warden).iter().any(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm"));
        name.is_ok_and(|name| name.trim() == "deploy-keeper")
    })
}
