//! Who says anything at all, and goes without a word: once all of them are gone the master holds what it held before.
//!
//! Deliberately absent: what is answered (`matrix.rs`), and whether the others are heard meanwhile (`talkative.rs`).

use crate::{
    daemons::{Cluster, PATIENCE, children, connect, greeted},
    matrix::messages,
};
use deploy_trust::subject::Role;
use deploy_wire::{hello::FIRST_BYTE, node::Report};
use std::{
    fs,
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant, SystemTime},
};

#[test]
fn who_plays_hostile_leaves_no_descriptor() {
    let cluster = Cluster::start();
    let now = SystemTime::now();
    let member = |role: Role| cluster.identity(role, "eve", now);
    let [node, user] = [Role::Node, Role::User].map(member);
    drop(greeted(&user)); // What is made for the first client stays.
    let before = held(&cluster, |_| false);
    let mut random = Random(deploy_sys::random::bits().unwrap() as u64 | 1);
    println!("seed: {}", random.0);
    // It would be no member any more.
    let is_said = |message: &Vec<u8>| !matches!(Report::decode(message), Ok(Report::Leave));
    let messages: Vec<Vec<u8>> = messages().into_iter().filter(is_said).collect();
    let (mut strangers, mut members) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for door in [cluster.nodes_door(), cluster.bridge()] {
            let firsts = [TLS, FIRST_BYTE, random.below(256) as u8];
            for first in firsts {
                let mut stranger = TcpStream::connect(&door).unwrap();
                let _ = stranger.write_all(&[first]);
                let _ = stranger.write_all(&random.bytes(200));
                strangers.push(stranger);
            }
        }
        for _ in 0..SESSIONS {
            let mut client = match random.below(2) {
                0 => greeted(&user),
                _ => connect(&node, &cluster.nodes_door()).unwrap(),
            };
            for _ in 0..random.below(6) {
                let mut message = messages[random.below(messages.len())].clone();
                random.change(&mut message);
                let _ = client.send(message, Instant::now() + PATIENCE);
            }
            members.push(client);
        }
        // Half of them go at once, and the others all together.
        strangers.truncate(strangers.len() / 2);
        members.truncate(members.len() / 2);
    }
    let most = held(&cluster, |_| false).len();
    println!("{} descriptors before, {most} amidst", before.len());
    drop((strangers, members));
    let gone = Instant::now();
    let after = held(&cluster, |now| now.len() > before.len());
    println!("all gone after {:.1?}", gone.elapsed());
    assert!(
        after.len() <= before.len(),
        "before: {before:#?}\nafter: {after:#?}"
    );
}

/// What the descriptors of the master and of its node lead to, as soon as they are not these.
fn held(cluster: &Cluster, is_too_early: impl Fn(&[String]) -> bool) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let master = cluster.master.id();
        let all = children(master).into_iter().chain([master]);
        let directories = all.map(|process| format!("/proc/{process}/fd"));
        let entries = directories.flat_map(|directory| fs::read_dir(directory).unwrap().flatten());
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        let mut held: Vec<String> = links.map(|link| link.display().to_string()).collect();
        held.sort();
        if !is_too_early(&held) || Instant::now() > deadline {
            return held;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// By a seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }

    /// None to three bytes behind what says its kind.
    fn change(&mut self, message: &mut [u8]) {
        let Some((_, rest)) = message
            .split_first_mut()
            .filter(|(_, rest)| !rest.is_empty())
        else {
            return;
        };
        for _ in 0..self.below(4) {
            let at = self.below(rest.len());
            rest[at] = self.below(256) as u8;
        }
    }
}

/// By which a door knows a session.
const TLS: u8 = 0x16;
const ROUNDS: usize = 8;
const SESSIONS: usize = 30;
