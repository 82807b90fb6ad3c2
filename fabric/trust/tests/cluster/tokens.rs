//! Whom a token lets in, and what everybody else is told.

use crate::master::{Master, TIMEOUT, accept, name, now, patience};
use deploy_trust::{
    authority::Authority,
    client::Client,
    endpoint::{Acceptor, Connector},
    identity::Identity,
    join::{JoinError, join},
    subject::Role,
    token::Token,
    tokens::LIFETIME,
};
use mio::Events;
use std::{net::TcpListener, time::Duration};

/// What the master says to whoever tries to join with this token.
fn refusal(token: &Token) -> String {
    match join(token, &name("n1"), TIMEOUT) {
        Err(JoinError::Refused { sentence, .. }) => sentence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_of_another_cluster_is_told_before_anything_is_said() {
    let (master, other) = (Master::start(), Master::start());
    let mut token = other.token(Role::Node, false);
    token.address = master.address.to_string();
    let error = join(&token, &name("n1"), TIMEOUT).unwrap_err();
    assert!(matches!(error, JoinError::OtherCluster(_)), "{error:?}");
    assert!(error.to_string().contains("another cluster"), "{error}");
    assert_eq!(other.authority.tokens().list().unwrap()[0].uses, 0);
}

#[test]
fn only_the_right_secret_lets_in() {
    let master = Master::start();
    let token = master.token(Role::Node, false);
    let guessed = Token::new(Role::Node, &token.address, token.pin, 1);
    let sentence = refusal(&guessed);
    assert!(sentence.contains("does not know this token"), "{sentence}");
    assert!(master.authority.members().list().unwrap().len() == 1);
}

#[test]
fn a_users_token_makes_no_nodes() {
    let master = Master::start();
    let mut token = master.token(Role::User, false);
    token.role = Role::Node;
    let sentence = refusal(&token);
    assert!(sentence.contains("does not know this token"), "{sentence}");
}

#[test]
fn expired_used_and_revoked_tokens_are_told_apart() {
    let master = Master::start();
    let (address, authority) = (master.address.to_string(), &master.authority);
    let long_ago = now() - LIFETIME;
    let expired = authority
        .new_token(Role::Node, &address, LIFETIME, false, long_ago)
        .unwrap();
    assert!(refusal(&expired).contains("has expired"));

    let once = master.token(Role::Node, true);
    join(&once, &name("n1"), TIMEOUT).unwrap();
    assert!(refusal(&once).contains("has been used"));

    let revoked = master.token(Role::Node, false);
    join(&revoked, &name("n2"), TIMEOUT).unwrap();
    assert!(authority.tokens().revoke(revoked.id(), now()).unwrap());
    assert!(refusal(&revoked).contains("was revoked"));
}

/// Whoever could read a request to join (here the master's own authority, used twice) can do nothing with it.
#[test]
fn a_request_that_was_recorded_lets_nobody_in() {
    let master = Master::start();
    let mut token = master.token(Role::Node, false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    token.address = listener.local_addr().unwrap().to_string();
    let own = own_identity(&master.authority);
    let acceptor = Acceptor::new(&own, &[], master.authority.revocations(), true).unwrap();
    let recorder = std::thread::spawn(move || record(&listener, &acceptor));
    let error = join(&token, &name("n1"), TIMEOUT).unwrap_err();
    assert!(error.to_string().contains("cut"), "{error}");
    let request = recorder.join().unwrap();

    let connector = Connector::stranger(&token).unwrap();
    let address = master.address.to_string();
    let mut client = Client::connect(&address, &connector, patience()).unwrap();
    client.send(request, patience()).unwrap();
    let answer = client.recv(patience()).unwrap();
    let sentence = String::from_utf8_lossy(&answer);
    assert!(sentence.contains("does not know this token"), "{sentence}");
    assert_eq!(master.authority.tokens().list().unwrap()[0].uses, 0);
}

fn own_identity(authority: &Authority) -> Identity {
    authority
        .identity(Role::Master, &name("recorder"), "", now())
        .unwrap()
}

/// Takes the first message of the first stranger, and leaves.
fn record(listener: &TcpListener, acceptor: &Acceptor) -> Vec<u8> {
    let (mut session, mut poll) = accept(listener, acceptor);
    let mut events = Events::with_capacity(4);
    loop {
        session.handle_ready().unwrap();
        if let Some(message) = session.poll_message().unwrap() {
            return message;
        }
        poll.poll(&mut events, Some(Duration::from_secs(10)))
            .unwrap();
    }
}
