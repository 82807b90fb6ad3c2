//! A disk that keeps the master waiting: who joins waits for it, and nobody else does.

use crate::daemons::{Cluster, PATIENCE, ask, greeted};
use deploy_trust::{
    join::join,
    state::StateDir,
    subject::{Name, Role},
    token::Token,
};
use deploy_wire::client::{Answer, Ask};
use std::{
    fs, thread,
    time::{Duration, Instant, SystemTime},
};

/// Whether a thread of this process waits for a lock on some file.
fn waits_for_a_lock(process: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let is_its = |line: &str| {
        line.split_whitespace()
            .any(|word| word == process.to_string())
    };
    locks
        .lines()
        .any(|line| line.contains("->") && is_its(line))
}

#[test]
fn a_join_that_waits_for_the_disk_holds_up_nobody() {
    let cluster = Cluster::start();
    let ada = cluster.identity(Role::User, "ada", SystemTime::now());
    let mut client = greeted(&ada);
    let token: Token = cluster.node_token.parse().unwrap();
    // As if somebody else were writing, and took long.
    let dir = StateDir::open(&cluster.state("head").join("authority")).unwrap();
    let held = dir.lock().unwrap();
    thread::scope(|scope| {
        let joining = scope.spawn(|| join(&token, &Name::like("n1"), PATIENCE));
        let deadline = Instant::now() + PATIENCE;
        while !waits_for_a_lock(cluster.master.id()) {
            assert!(Instant::now() < deadline, "the master never hears of it");
            thread::sleep(Duration::from_millis(1)); // The kernel announces nobody who waits.
        }
        let began = Instant::now();
        let answer = ask(&mut client, &Ask::Jobs).unwrap();
        assert_eq!(answer, Answer::Jobs(Vec::new()));
        assert!(began.elapsed() < Duration::from_millis(200));
        assert!(!joining.is_finished());
        drop(held);
        joining.join().unwrap().unwrap();
    });
}
