//! A disk that keeps the master waiting: who joins or reads waits for it, and nobody else does.

use crate::{
    confined::{begin_as, output},
    daemons::{Cluster, PATIENCE, ask, greeted},
};
use deploy_trust::{
    join::join,
    state::StateDir,
    subject::{Name, Role},
    token::Token,
};
use deploy_wire::client::{Answer, Ask, Position};
use nix::{sys::stat::Mode, unistd::mkfifo};
use std::{
    fs, thread,
    time::{Duration, Instant, SystemTime},
};

/// Whether a thread of this process waits for a lock on some file.
pub fn waits_for_a_lock(process: u32) -> bool {
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
        // While the lock is held.
        let answer = ask(&mut client, &Ask::Jobs).unwrap();
        assert_eq!(answer, Answer::Jobs(Vec::new()));
        assert!(!joining.is_finished());
        drop(held);
        joining.join().unwrap().unwrap();
    });
}

#[test]
fn who_asks_for_ever_more_certificates_keeps_nobody_from_joining() {
    let cluster = Cluster::start();
    let eve = cluster.identity(Role::User, "eve", SystemTime::now());
    let mut client = greeted(&eve);
    let token: Token = cluster.node_token.parse().unwrap();
    let dir = StateDir::open(&cluster.state("head").join("authority")).unwrap();
    let held = dir.lock().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // More than the clerk takes at once.
    for _ in 0..2_000 {
        client.send(Ask::Renew.encode(), deadline).unwrap();
    }
    // All of it was heard.
    let answer = ask(&mut client, &Ask::Jobs).unwrap();
    assert_eq!(answer, Answer::Jobs(Vec::new()));
    thread::scope(|scope| {
        let joining = scope.spawn(|| join(&token, &Name::like("n1"), PATIENCE));
        drop(held);
        joining.join().unwrap().unwrap();
    });
    let answer = Answer::decode(&client.recv(deadline).unwrap()).unwrap();
    assert!(matches!(answer, Answer::Renewed { .. }), "{answer:?}");
    let answer = ask(&mut client, &Ask::Jobs).unwrap();
    assert_eq!(answer, Answer::Jobs(Vec::new()), "one answers them all");
}

#[test]
fn who_reads_what_the_disk_does_not_hand_out_holds_up_nobody() {
    let cluster = Cluster::start();
    let ada = cluster.identity(Role::User, "ada", SystemTime::now());
    let job = begin_as(&ada, "/bin/echo", &["kept"]);
    assert_eq!(output(job), "kept\n");
    let records = cluster.state("head").join("records");
    let record = fs::read_dir(records).unwrap().next().unwrap().unwrap();
    let files = fs::read_dir(record.path()).unwrap().flatten();
    let is_segment = |file: &fs::DirEntry| file.file_name().len() == SEGMENT_NAME_BYTES;
    let segment = files.filter(is_segment).map(|file| file.path()).next();
    // Whoever opens it now waits until somebody is there to write.
    let segment = segment.unwrap();
    fs::remove_file(&segment).unwrap();
    mkfifo(&segment, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();

    let (mut reader, mut other) = (greeted(&ada), greeted(&ada));
    let logs = Ask::Logs {
        job: record.file_name().into_string().unwrap(),
        from: Position::default(),
        follow: false,
    };
    let answer = ask(&mut reader, &logs).unwrap();
    assert!(matches!(answer, Answer::Attached { .. }), "{answer:?}");
    let soon = Instant::now() + Duration::from_millis(300);
    assert!(reader.recv(soon).is_err(), "it waits for the disk");
    let began = Instant::now();
    assert_eq!(
        ask(&mut other, &Ask::Jobs).unwrap(),
        Answer::Jobs(Vec::new())
    );
    assert!(began.elapsed() < Duration::from_secs(1));
    // What it hands out then is nothing, which is told.
    drop(fs::File::options().write(true).open(&segment).unwrap());
    let deadline = Instant::now() + PATIENCE;
    let mut next = || Answer::decode(&reader.recv(deadline).unwrap()).unwrap();
    assert_eq!(next(), Answer::Missed { bytes: 5 });
    while next() != Answer::Finished {}
}

/// Two numbers of sixteen digits, and what stands between.
const SEGMENT_NAME_BYTES: usize = 33;
