//! Members that never stop talking: the others are heard all the same.
//!
//! Deliberately absent: strangers, of whom nobody hears more than one message.

use crate::daemons::{Cluster, ask, greeted};
use deploy_trust::{identity::Identity, subject::Role};
use deploy_wire::client::{Answer, Ask};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

#[test]
fn who_never_stops_holds_up_nobody() {
    let mut cluster = Cluster::start();
    let ada = cluster.identity(Role::User, "ada", SystemTime::now());
    let eve = cluster.identity(Role::User, "eve", SystemTime::now());
    let mut client = greeted(&ada);
    let (is_over, has_begun) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let talking = scope.spawn(|| talk(&eve, &has_begun, &is_over));
        while !has_begun.load(Ordering::Relaxed) && !talking.is_finished() {
            thread::yield_now();
        }
        let (begun, mut most) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < TALK {
            let asked = Instant::now();
            let answer = ask(&mut client, &Ask::Nodes);
            assert!(matches!(answer, Ok(Answer::Nodes(_))), "{answer:?}");
            most = most.max(asked.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        let said = talking.join().unwrap();
        println!("beside somebody who said {said} messages: an answer after {most:.0?} at most");
        assert!(most < ANSWER_MAX, "an answer after {most:?}");
    });
    let said = cluster.master.said();
    assert!(!said.contains("has not answered"), "{said}");
}

/// Says what needs no answer, as fast as the line takes it. Returns how often.
fn talk(eve: &Identity, has_begun: &AtomicBool, is_over: &AtomicBool) -> u64 {
    let mut session = greeted(eve).into_session().unwrap();
    let message = Ask::Credit { bytes: 0 }.encode();
    let mut said = 0;
    while !is_over.load(Ordering::Relaxed) {
        while session.send(message.clone()).is_ok() {
            said += 1;
        }
        has_begun.store(true, Ordering::Relaxed);
        session.flush().unwrap(); // It takes what the line takes at once.
    }
    said
}

/// Longer than a node may be silent.
const TALK: Duration = Duration::from_secs(6);
/// On two busy processors.
const ANSWER_MAX: Duration = Duration::from_secs(2);
