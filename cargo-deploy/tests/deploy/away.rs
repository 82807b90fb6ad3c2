//! What a person is told while the cluster is not there.
//!
//! Deliberately absent: that nothing is lost or doubled then (`jobs.rs`, `outlive.rs`).

use crate::{
    bridge::{Bridge, PATIENCE},
    person::{Person, code, said, stderr},
};
use deploy_sys::signal;
use deploy_wire::{
    client::{Ask, GONE_AFTER, GRACE},
    code::OwnCode,
    exit::{End, ExitStatus},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

/// The first process has ended before the connection is lost: what there is to tell stands below one that lives.
#[test]
fn a_connection_that_is_lost_is_told_whoever_lives() {
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = Mutex::new(may_go_on);
    let wait = move || may_go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    let begun = OnceLock::new();
    let bridge = Bridge::start(move |mut client| {
        let Some(job) = begun.get() else {
            begun.set(client.pid().job()).unwrap();
            let (request, _) = client.take_program();
            client.born(&request);
            client.spawned(1, "worker");
            client.died_as(0, ExitStatus::new(End::Code(0)));
            return wait();
        };
        wait();
        client.resumed(*job);
        let signalled = loop {
            match client.hear() {
                Some(Ask::Signal { signal }) => break signal,
                other => assert!(other.is_some(), "the client has gone"),
            }
        };
        client.died_as(1, ExitStatus::new(End::Code(signalled)));
        client.finished();
    });
    // A suite that was started with `&` ignores SIGINT, and so would what it starts.
    signal::forget_ignored().unwrap();
    let person = Person::of(&bridge);
    let (mut child, mut lines) = events(&person, &bridge);
    let mut next = |event: &str| -> serde_json::Value {
        let line = lines.next().expect("it goes on").unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["event"], event, "{line}");
        line
    };
    let first = next("spawn");
    let second = next("spawn");
    assert_eq!(next("exit")["pid"], first["pid"]);
    go_on.send(()).unwrap();
    let mut note = || {
        let note = next("note");
        assert_eq!(note["pid"], second["pid"]);
        note["text"].as_str().unwrap().to_string()
    };
    let lost = note();
    let patience = (GRACE + GONE_AFTER).as_secs();
    let patience = format!("trying again for {patience} s");
    assert!(
        lost.contains("is lost") && lost.ends_with(&patience),
        "{lost}"
    );
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let unheard = note();
    assert!(
        unheard.contains("the same once more leaves it"),
        "{unheard}"
    );
    go_on.send(()).unwrap();
    assert_eq!(note(), "connected again");
    assert_eq!(next("exit")["pid"], second["pid"]);
    assert_eq!(code(child.wait().unwrap()), Signal::SIGINT as i32);
}

/// As when the master ends with the processes that it looked after: no header is left to stand below, and whoever reads
/// standard error by a program, or wants to hear little, would wait without a word.
#[test]
fn a_connection_that_is_lost_is_told_when_nobody_lives() {
    let begun = OnceLock::new();
    let bridge = Bridge::start(move |mut client| {
        let Some(job) = begun.get() else {
            begun.set(client.pid().job()).unwrap();
            let (request, _) = client.take_program();
            client.born(&request);
            return client.died_as(0, ExitStatus::new(End::Code(3)));
        };
        client.resumed(*job);
        client.finished();
    });
    let person = Person::of(&bridge);
    let output = person.run(&bridge, &["-q"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let told = stderr(&output);
    let ours = told
        .lines()
        .filter_map(|l| l.strip_prefix("cargo deploy: "));
    let ours: Vec<&str> = ours.collect();
    let lost = format!("the connection to {} is lost", bridge.address);
    let patience = (GRACE + GONE_AFTER).as_secs();
    let patience = format!("trying again for {patience} s");
    assert!(
        ours[0].starts_with(&lost) && ours[0].ends_with(&patience),
        "{told}"
    );
    assert_eq!(ours[1], "connected again", "{told}");
}

/// A service manager, say, or `kill` typed twice.
#[test]
fn who_asks_again_for_what_nobody_can_be_told_is_not_kept_waiting() {
    let (go_on, may_go_on) = mpsc::channel();
    let may_go_on = Mutex::new(may_go_on);
    let begun = OnceLock::new();
    let bridge = Bridge::start(move |mut client| {
        if begun.set(()).is_ok() {
            let (request, _) = client.take_program();
            client.born(&request);
        }
        let wait = may_go_on.lock().unwrap();
        let _ = wait.recv_timeout(PATIENCE); // Later ones are let go when the test is over.
    });
    let person = Person::of(&bridge);
    let (mut child, mut lines) = events(&person, &bridge);
    let mut expect = |text: &str| {
        let line = lines.next().expect("it goes on").unwrap();
        assert!(line.contains(text), "{line}");
    };
    expect("spawn");
    go_on.send(()).unwrap();
    expect("is lost");
    let id = Pid::from_raw(child.id() as i32);
    kill(id, Signal::SIGTERM).unwrap();
    expect("the same once more leaves it");
    let begun = Instant::now();
    // One that comes at once is the same request.
    while child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(200));
        kill(id, Signal::SIGTERM).unwrap();
    }
    assert!(begun.elapsed() < GRACE / 2);
    drop(go_on);
    assert_eq!(code(child.wait().unwrap()), OwnCode::Connection.number());
}

/// A run of which each event is a line.
fn events(person: &Person, bridge: &Bridge) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = person
        .run(bridge, &["--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}
