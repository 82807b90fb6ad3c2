//! Who may join, who may come back, and what everybody else is told.

use crate::master::{Master, name, patience};
use deploy_trust::{
    client::{Client, ClientError},
    endpoint::Connector,
    identity::Identity,
    join::join,
    state::StateDir,
    subject::Role,
};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);

fn dial(master: &Master, identity: &Identity) -> Result<Client, ClientError> {
    let connector = Connector::member(identity).unwrap();
    Client::connect(&master.address.to_string(), &connector, patience())
}

#[test]
fn whoever_joined_comes_back_and_is_known() {
    let master = Master::start();
    let began = Instant::now();
    let identity = join(&master.token(Role::Node, false), &name("n1"), TIMEOUT).unwrap();
    println!("join: {:?}", began.elapsed());
    assert_eq!(identity.subject.name.as_str(), "n1");

    let path = std::env::temp_dir().join(format!("fabric-test-{:032x}", crate::master::random()));
    let dir = StateDir::open(&path).unwrap();
    assert!(Identity::load(&dir).unwrap().is_none());
    identity.save(&dir).unwrap();
    let identity = Identity::load(&dir).unwrap().unwrap();
    std::fs::remove_dir_all(&path).unwrap();

    let mut client = dial(&master, &identity).unwrap();
    let peer = client.session().peer().unwrap().clone();
    assert_eq!(peer.subject.role, Role::Master);
    for len in [0, 1, 5_000, 3 << 20] {
        let message = vec![7; len];
        client.send(message.clone(), patience()).unwrap();
        assert_eq!(client.recv(patience()).unwrap(), message);
    }
    client.finish(patience()).unwrap();
}
