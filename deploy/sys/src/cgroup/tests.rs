//! Groups for real, of both kinds where this machine has them.

use super::*;
use crate::{
    group_files::{MEMBERS, groups_in, members, write},
    hierarchy::Membership,
};
use std::{
    fs, mem,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

fn trees(name: &str) -> Vec<Tree> {
    let membership = Membership::read(Path::new("/proc/self")).unwrap();
    let name = format!("{name}-{}", std::process::id());
    [Kind::Unified, Kind::Freezer]
        .into_iter()
        .filter_map(|kind| {
            let own = membership.position(kind.hierarchy());
            let tree = own.and_then(|own| Tree::below(&own.group, &name, kind));
            if tree.is_none() {
                eprintln!("skipped: no {kind:?} group may be made here");
            }
            tree
        })
        .collect()
}

fn shell(script: &str) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).stdin(Stdio::piped());
    shell.spawn().unwrap()
}

#[test]
fn all_that_a_process_started_is_killed_with_its_group() {
    for tree in trees("deploy-test-kill") {
        let mut leaf = tree.leaf("1").unwrap();
        assert!(leaf.is_empty());
        let mut child = shell("read go; setsid sleep 1000 & sleep 1000");
        leaf.enter(child.id()).unwrap();
        drop(child.stdin.take());
        wait_until(|| members(&leaf.directory).len() == 3);
        assert_eq!(members(&leaf.directory).len(), 3);
        leaf.kill().unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        wait_until(|| leaf.is_empty());
        assert!(leaf.is_empty());
        let (leaf_directory, directory) = (leaf.directory.clone(), tree.directory.clone());
        wait_until(|| leaf.try_remove());
        assert!(!leaf_directory.exists());
        drop(tree);
        assert!(!directory.exists());
    }
}

#[test]
fn a_group_is_as_new_unless_something_was_killed_or_made_in_it() {
    let unified = |tree: &Tree| tree.kind == Kind::Unified;
    for tree in trees("deploy-test-vacant").into_iter().filter(unified) {
        let mut leaf = tree.leaf("1").unwrap();
        let run = |leaf: &mut Leaf, kill: bool| {
            let mut child = shell("read go; exit 0");
            leaf.enter(child.id()).unwrap();
            assert_eq!(leaf.occupancy(), Occupancy::Populated);
            match kill {
                true => leaf.kill().unwrap(),
                false => drop(child.stdin.take()),
            }
            child.wait().unwrap();
            wait_until(|| leaf.occupancy() != Occupancy::Populated);
            leaf.occupancy()
        };
        for _ in 0..2 {
            assert_eq!(run(&mut leaf, false), Occupancy::AsNew);
            leaf.kill().unwrap(); // Nothing was there.
        }
        fs::create_dir(leaf.directory.join("below")).unwrap();
        assert_eq!(leaf.occupancy(), Occupancy::Unknown);
        fs::remove_dir(leaf.directory.join("below")).unwrap();
        assert_eq!(run(&mut leaf, true), Occupancy::Unknown);
    }
}

#[test]
fn a_dropped_tree_leaves_nothing() {
    for tree in trees("deploy-test-drop") {
        let leaf = tree.leaf("1").unwrap();
        let mut child = shell("exec sleep 1000");
        leaf.enter(child.id()).unwrap();
        let directory = tree.directory.clone();
        let reaper = thread::spawn(move || child.wait().unwrap());
        drop(tree);
        assert!(!reaper.join().unwrap().success());
        assert!(!directory.exists());
    }
}

#[test]
fn an_abandoned_tree_is_cleared_by_the_next_and_an_owned_one_is_not() {
    let family = format!("deploy-test-abandon-{}-", std::process::id());
    let Some(owned) = Tree::create(&family, "owned") else {
        eprintln!("skipped: no group may be made here");
        return;
    };
    let abandoned = owned.directory.with_file_name(format!("{family}abandoned"));
    let inner = abandoned.join("1").join("of a job within");
    fs::create_dir_all(&inner).unwrap();
    let mut child = shell("exec sleep 1000");
    write(&inner.join(MEMBERS), &child.id().to_string()).unwrap();
    let reaper = thread::spawn(move || child.wait().unwrap());
    let next = Tree::create(&family, "next").unwrap();
    assert!(!reaper.join().unwrap().success());
    assert!(!abandoned.exists());
    assert!(owned.directory.exists() && next.directory.exists());
}

/// As if a daemon that was started in another group, also one of the first version's, had been killed.
#[test]
fn abandoned_groups_are_found_wherever_they_are() {
    let family = format!("deploy-test-elsewhere-{}-", std::process::id());
    let Some(owned) = Tree::create_limiting(&family, "owned", &[]) else {
        eprintln!("skipped: no group may be made here");
        return;
    };
    let elsewhere = |directory: &PathBuf| directory.with_file_name(format!("outer-{family}"));
    let all: Vec<PathBuf> = [&owned.directory]
        .into_iter()
        .chain(&owned.sides)
        .cloned()
        .collect();
    for directory in &all {
        fs::create_dir_all(elsewhere(directory).join(format!("{family}abandoned/1"))).unwrap();
    }
    clear_abandoned(&family);
    for directory in &all {
        assert!(directory.exists());
        let left: Vec<_> = groups_in(&elsewhere(directory)).collect();
        fs::remove_dir(elsewhere(directory)).unwrap_or_else(|_| panic!("{left:?}"));
    }
}

#[test]
fn an_heir_waits_for_the_owners_end_and_clears_what_is_left() {
    for tree in trees("deploy-test-inherit") {
        let leaf = tree.leaf("1").unwrap();
        let mut child = shell("exec sleep 1000");
        leaf.enter(child.id()).unwrap();
        let (path, directory) = (tree.directory.clone(), tree.directory().unwrap());
        let (told, inherited) = mpsc::channel();
        let heir = thread::spawn(move || {
            let tree = Tree::inherit(directory).unwrap();
            told.send(()).unwrap();
            drop(tree);
        });
        let early = inherited.recv_timeout(Duration::from_millis(50));
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
        assert!(child.try_wait().unwrap().is_none());
        // As if it were killed: the lock goes, and nothing is cleared.
        let abandoned = mem::ManuallyDrop::new(tree);
        nix::unistd::close(abandoned._lock.as_raw_fd()).unwrap();
        let reaper = thread::spawn(move || child.wait().unwrap());
        heir.join().unwrap();
        assert!(!reaper.join().unwrap().success());
        assert!(!path.exists());
    }
}

#[test]
fn an_heir_of_what_was_removed_does_nothing() {
    for tree in trees("deploy-test-removed") {
        let directory = tree.directory().unwrap();
        drop(tree);
        drop(Tree::inherit(directory).unwrap());
    }
}
