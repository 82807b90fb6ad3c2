//! Whose certificate is believed, on either side.

use crate::{
    master::{Master, RENEW, accept, assert_alive, dial, member, name, now, patience},
    rogue,
};
use deploy_trust::{
    client::{Client, ClientError},
    endpoint::{Acceptor, Connector},
    identity::{Certified, Identity},
    session::{Distrust, SessionError},
    subject::Role,
};
use mio::Events;
use std::{
    net::TcpListener,
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn refused(result: Result<Client, ClientError>) -> Distrust {
    match result {
        Err(ClientError::Session(SessionError::Refused(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

fn untrusted(result: Result<Client, ClientError>) -> Distrust {
    match result {
        Err(ClientError::Session(SessionError::Untrusted(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

fn certified(master: &Master, role: Role, wished: &str, made: SystemTime) -> Identity {
    let address = master.address.to_string();
    let authority = &master.authority;
    authority
        .identity(role, &name(wished), &address, made)
        .unwrap()
}

#[test]
fn certificates_count_for_ninety_days_and_from_an_hour_ago() {
    let master = Master::start();
    let made = |made| certified(&master, Role::Node, "n1", made);
    assert!(dial(&master, &made(now() - 89 * DAY)).is_ok());
    assert!(dial(&master, &made(now() + DAY / 25)).is_ok());
    assert_eq!(
        refused(dial(&master, &made(now() - 91 * DAY))),
        Distrust::Expired
    );
    assert_eq!(
        refused(dial(&master, &made(now() + DAY))),
        Distrust::Expired
    );
}

#[test]
fn a_member_renews_over_the_session_that_it_has() {
    let master = Master::start();
    assert!(!certified(&master, Role::Node, "n2", now() - 59 * DAY).is_renewal_due(now()));
    let mut identity = certified(&master, Role::Node, "n1", now() - 61 * DAY);
    assert!(identity.is_renewal_due(now()));
    let mut client = dial(&master, &identity).unwrap();
    client.send(RENEW.to_vec(), patience()).unwrap();
    let renewed = Certified::from_bytes(&client.recv(patience()).unwrap()).unwrap();
    let mut other = certified(&master, Role::Node, "n3", now());
    assert!(
        !other.renew(renewed.clone()),
        "a certificate of somebody else"
    );
    assert!(identity.renew(renewed));
    assert!(!identity.is_renewal_due(now()));
    assert!(dial(&master, &identity).is_ok());
}

#[test]
fn revoked_certificates_do_not_count_at_once() {
    let master = Master::start();
    let identity = member(&master, Role::Node, "n1");
    let mut client = dial(&master, &identity).unwrap();
    let members = master.authority.members();
    assert_eq!(members.revoke(Role::Node, &name("n1"), now()).unwrap(), 1);
    assert_eq!(refused(dial(&master, &identity)), Distrust::Revoked);
    // Nor can it get another over a session that is still open.
    client.send(RENEW.to_vec(), patience()).unwrap();
    assert!(client.recv(patience()).is_err());
    let again = member(&master, Role::Node, "n1");
    assert!(dial(&master, &again).is_ok());
}

#[test]
fn roles_that_are_not_wanted_are_refused() {
    for (wanted, unwanted) in [(Role::Node, Role::User), (Role::User, Role::Node)] {
        let master = Master::start_for(match wanted {
            Role::Node => &[Role::Node],
            _ => &[Role::User],
        });
        assert!(dial(&master, &member(&master, wanted, "a")).is_ok());
        let other = member(&master, unwanted, "b");
        assert_eq!(refused(dial(&master, &other)), Distrust::OtherRole);
        let second = certified(&master, Role::Master, "c", now());
        assert_eq!(refused(dial(&master, &second)), Distrust::OtherRole);
    }
}

#[test]
fn a_master_of_another_cluster_is_not_believed() {
    let (master, other) = (Master::start(), Master::start());
    let identity = member(&other, Role::Node, "n1");
    assert_eq!(untrusted(dial(&master, &identity)), Distrust::OtherCluster);
}

/// A node shows its certificate where the master's is expected.
#[test]
fn a_node_cannot_play_the_master() {
    let master = Master::start();
    let node = member(&master, Role::Node, "n1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = Acceptor::new(&node, &[Role::User], master.authority.revocations(), true);
    let acceptor = acceptor.unwrap();
    let player = std::thread::spawn(move || play(&listener, &acceptor));
    let user = member(&master, Role::User, "u1");
    let connector = Connector::member(&user).unwrap();
    let result = Client::connect(&address, &connector, patience());
    assert_eq!(untrusted(result), Distrust::OtherRole);
    let told = player.join().unwrap();
    assert!(
        matches!(told, SessionError::Refused(Distrust::OtherRole)),
        "{told:?}"
    );
}

/// To somebody whose clock is wrong, a master's certificate looks as if it was of another time.
#[test]
fn a_clock_that_is_wrong_is_told_with_how_much() {
    let master = Master::start();
    let user = member(&master, Role::User, "u1");
    let told_of_a_master_of = |made| {
        let own = certified(&master, Role::Master, "second", made);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let acceptor = Acceptor::new(&own, &[Role::User], master.authority.revocations(), true);
        let acceptor = acceptor.unwrap();
        let player = std::thread::spawn(move || play(&listener, &acceptor));
        let connector = Connector::member(&user).unwrap();
        let distrust = untrusted(Client::connect(&address, &connector, patience()));
        let told = player.join().unwrap();
        assert!(
            matches!(told, SessionError::Refused(Distrust::Expired)),
            "{told:?}"
        );
        distrust.to_string()
    };
    let minutes = |count: u64| Duration::from_secs(60 * count) + Duration::from_secs(30);
    assert_eq!(
        told_of_a_master_of(now() + minutes(60 + 90)),
        "by this machine's clock its certificate counts only in 90 min: set that clock, or the other side's"
    );
    assert_eq!(
        told_of_a_master_of(now() - 93 * DAY),
        "by this machine's clock its certificate has ended 3 days ago: set that clock, or the other side's"
    );
}

#[test]
fn where_strangers_are_not_heard_they_are_told_to_join() {
    let master = Master::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut token = master.token(Role::Node, false);
    token.address = listener.local_addr().unwrap().to_string();
    let own = certified(&master, Role::Master, "second", now());
    let acceptor = Acceptor::new(&own, &[Role::Node], master.authority.revocations(), false);
    let acceptor = acceptor.unwrap();
    let player = std::thread::spawn(move || play(&listener, &acceptor));
    let connector = Connector::stranger(&token).unwrap();
    let result = Client::connect(&token.address, &connector, patience());
    assert_eq!(refused(result), Distrust::NoCertificate);
    let ended = player.join().unwrap();
    assert!(
        matches!(ended, SessionError::Untrusted(Distrust::NoCertificate)),
        "{ended:?}"
    );
}

/// Certificates of other authorities, of which one has the name of ours, are refused by the master itself.
#[test]
fn foreign_certificates_are_refused() {
    let master = Master::start();
    let cluster = master.authority.cluster().to_string();
    for authority in [format!("fabric {cluster}"), "somebody".to_owned()] {
        let holder = rogue::certificate(&authority, &format!("fabric://{cluster}/node/n1"));
        let mut rogue = rogue::dial(master.address, &["fabric/1"], Some(holder));
        let alert = rogue.read_message().unwrap_err().to_string();
        assert!(
            alert.contains("UnknownCA") || alert.contains("DecryptError"),
            "{alert}"
        );
    }
    assert_alive(&master);
}

/// Accepts one session and returns its end.
fn play(listener: &TcpListener, acceptor: &Acceptor) -> SessionError {
    let (mut session, mut poll) = accept(listener, acceptor);
    let mut events = Events::with_capacity(4);
    loop {
        match session.handle_ready() {
            Ok(()) => poll
                .poll(&mut events, Some(Duration::from_secs(10)))
                .unwrap(),
            Err(error) => return error,
        }
    }
}
