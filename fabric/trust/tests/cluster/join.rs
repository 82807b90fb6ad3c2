//! Whoever joined comes back, and is known.

use crate::master::{Master, TIMEOUT, dial, member, name, patience, random};
use deploy_trust::{
    endpoint::Connector,
    identity::Identity,
    insecure,
    join::{join, join_into},
    state::StateDir,
    subject::Role,
};
use mio::{Events, Poll};
use std::{
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

#[test]
fn whoever_joined_comes_back_and_is_known() {
    let master = Master::start();
    let began = Instant::now();
    let identity = member(&master, Role::Node, "n1");
    println!("join: {:?}", began.elapsed());
    assert_eq!(identity.subject.name, name("n1"));

    let path = std::env::temp_dir().join(format!("fabric-test-{:032x}", random()));
    let dir = StateDir::open(&path).unwrap();
    assert!(Identity::load(&dir).unwrap().is_none());
    identity.save(&dir).unwrap();
    let identity = Identity::load(&dir).unwrap().unwrap();
    std::fs::remove_dir_all(&path).unwrap();

    let began = Instant::now();
    let mut client = dial(&master, &identity).unwrap();
    println!("dial: {:?}", began.elapsed());
    let peer = client.session().peer().unwrap().clone();
    assert_eq!(peer.subject.role, Role::Master);
    assert_eq!(client.session().peer_release(), env!("CARGO_PKG_VERSION"));
    for len in [0, 1, 5_000, 3 << 20, 9 << 20] {
        let message = vec![7; len];
        client.send(message.clone(), patience()).unwrap();
        assert_eq!(client.recv(patience()).unwrap(), message);
    }
    client.finish(patience()).unwrap();
}

#[test]
fn a_name_belongs_to_the_first_who_took_it() {
    let master = Master::start();
    let names = ["n1", "n1", "n1"].map(|wished| member(&master, Role::Node, wished).subject.name);
    assert_eq!(names, ["n1", "n1-2", "n1-3"].map(name));
    // Other roles have names of their own, and a name that was revoked is free again.
    assert_eq!(member(&master, Role::User, "n1").subject.name, name("n1"));
    let members = master.authority.members();
    let now = crate::master::now();
    assert_eq!(members.revoke(Role::Node, &name("n1"), now).unwrap(), 1);
    assert_eq!(member(&master, Role::Node, "n1").subject.name, name("n1"));
}

#[test]
fn an_address_where_nobody_answers_is_told() {
    let master = Master::start();
    let token = master.token(Role::Node, false);
    drop(master);
    let error = join(&token, &name("n1"), TIMEOUT).unwrap_err().to_string();
    assert!(error.contains("cannot connect"), "{error}");
    assert!(error.contains(&token.address), "{error}");
}

#[test]
fn without_authentication_everything_else_is_the_same() {
    let master = Master::start_insecure();
    for role in [Role::Node, Role::User] {
        let token = insecure::token(role, master.address).unwrap();
        let identity = join(&token, &name("n1"), TIMEOUT).unwrap();
        assert!(dial(&master, &identity).is_ok());
        // Nor do its certificates count elsewhere.
        assert!(dial(&Master::start(), &identity).is_err());
    }
}

/// What is sent before the session is open leaves together with the greeting: the master must not count it as said by
/// somebody unknown.
#[test]
fn a_long_first_message_may_come_with_the_greeting() {
    let master = Master::start();
    let identity = member(&master, Role::Node, "n1");
    let connector = Connector::member(&identity).unwrap();
    let stream = mio::net::TcpStream::connect(master.address).unwrap();
    let mut session = connector.connect(stream, Instant::now()).unwrap();
    let message = vec![7; 300_000];
    session.send(message.clone()).unwrap();
    let mut poll = Poll::new().unwrap();
    session.register(poll.registry(), mio::Token(0)).unwrap();
    let mut events = Events::with_capacity(4);
    let answer = loop {
        poll.poll(&mut events, Some(TIMEOUT)).unwrap();
        session.handle_ready().unwrap();
        if let Some(answer) = session.poll_message().unwrap() {
            break answer;
        }
    };
    assert!(answer == message);
}

#[test]
fn who_tries_again_asks_with_the_same_key() {
    let master = Master::start();
    let path = std::env::temp_dir().join(format!("fabric-test-{:032x}", random()));
    let dir = StateDir::open(&path).unwrap();
    let token = master.token(Role::Node, true);
    // The master takes so long for its answer that nobody is there any more to hear it.
    let held = StateDir::open(&master.path).unwrap().lock().unwrap();
    let inode = std::fs::metadata(master.path.join("lock")).unwrap().ino();
    let is_asked = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let mut lines = locks.lines();
        lines.any(|line| line.contains("->") && line.contains(&format!(":{inode} ")))
    };
    // On a busy machine it may take long to ask.
    let mut waits = (0..6).map(|doubled| Duration::from_millis(300 << doubled));
    assert!(waits.any(|wait| {
        assert!(join_into(&dir, &token, &name("n1"), wait).is_err());
        is_asked()
    }));
    drop(held);
    let identity = join_into(&dir, &token, &name("n1"), TIMEOUT).unwrap();
    assert_eq!(identity.subject.name, name("n1"));
    let kept = Identity::load(&dir).unwrap().unwrap();
    assert_eq!(kept.expires, identity.expires);
    // Behind a member that has gone comes another.
    assert!(!path.join("joining").exists());
    std::fs::remove_dir_all(&path).unwrap();
}
