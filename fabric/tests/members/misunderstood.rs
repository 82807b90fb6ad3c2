//! A client that says what the master does not understand, and keeps its session open: it has nothing there any more.

use crate::{
    confined::begin_as,
    daemons::{Cluster, PATIENCE, ask, greeted},
};
use deploy_trust::subject::Role;
use deploy_wire::client::{Answer, Ask};
use std::time::{Instant, SystemTime};

#[test]
fn who_is_not_understood_has_its_job_no_more() {
    let cluster = Cluster::start();
    let ada = cluster.identity(Role::User, "ada", SystemTime::now());
    let mut owner = begin_as(&ada, "/bin/sleep", &["1000"]);
    let deadline = Instant::now() + PATIENCE;
    owner.send(vec![255], deadline).unwrap();
    let mut next = || Answer::decode(&owner.recv(deadline).unwrap()).unwrap();
    let is_last = |answer| matches!(answer, Answer::Refused { why, .. } if why.contains("does not understand"));
    while !is_last(next()) {}
    // Long before it is noticed that nothing comes from there.
    let answer = ask(&mut greeted(&ada), &Ask::Jobs).unwrap();
    let Answer::Jobs(jobs) = answer else {
        panic!("{answer:?}");
    };
    assert!(jobs[0].state.starts_with("left alone"), "{jobs:?}");
}
