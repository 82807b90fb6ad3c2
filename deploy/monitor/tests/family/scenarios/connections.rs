//! Who is connected to whom: one connection for each pair, whoever asks, and an answer in any case.

use super::{Scenario, Worker, scenario};
use crate::newborn::{Me, ended};
use deploy_wire::{
    control::{Notice, Request},
    exit::End,
    pid::{Job, Pid},
};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

pub const WORKERS: &[Worker] = &[
    // Asks for a connection with whom its parent names, and greets whoever is there.
    ("ask", |me| {
        let peer = heard_of(me);
        let connection = me.connect(peer).unwrap();
        greet(me, connection);
    }),
    // The same without asking.
    ("be asked", |me| {
        let peer = heard_of(me);
        let connection = me.met(peer).unwrap();
        greet(me, connection);
    }),
    // Asks for a connection and does not wait for it.
    ("only ask", |me| {
        let peer = heard_of(me);
        me.connect(peer).unwrap();
    }),
    ("doubt and end", |me| {
        let peer = me.birth.parent.unwrap();
        me.ask(&Request::Doubt { peer });
    }),
    ("talk nonsense", |me| me.say_bytes(&[99, 1, 2, 3])),
    ("connect to itself", |me| {
        let peer = me.birth.pid;
        me.ask(&Request::Connect { peer });
    }),
    ("stop", |me| {
        me.parent().write_all(b"x").unwrap();
        me.signal_self(SIGSTOP);
    }),
    ("meet everybody", |me| {
        let mut numbers = [0; 8];
        me.parent().read_exact(&mut numbers).unwrap();
        let count = u64::from_le_bytes(numbers) as u32;
        let own = me.birth.pid.number();
        let job = me.birth.pid.job();
        let others = (1..=count).filter(|number| *number != own);
        for number in others.clone() {
            let peer = Pid::new(job, number);
            me.ask(&Request::Connect { peer });
        }
        let mut connections: Vec<_> = others.map(|_| me.any_connection()).collect();
        for connection in &mut connections {
            connection.write_all(&own.to_le_bytes()).unwrap();
        }
        let mut sum = 0;
        for connection in &mut connections {
            let mut number = [0; 4];
            connection.read_exact(&mut number).unwrap();
            sum += u32::from_le_bytes(number);
        }
        println!("{}", sum + own);
    }),
];

/// The process whose number the parent says.
fn heard_of(me: &mut Me) -> Pid {
    let mut number = [0; 4];
    me.parent().read_exact(&mut number).unwrap();
    Pid::new(me.birth.pid.job(), u32::from_le_bytes(number))
}

fn greet(me: &Me, mut connection: UnixStream) {
    connection
        .write_all(&me.birth.pid.number().to_le_bytes())
        .unwrap();
    let mut number = [0; 4];
    connection.read_exact(&mut number).unwrap();
    println!("met {}", u32::from_le_bytes(number));
}

/// Two workers of these names are told of each other.
fn introduce(me: &mut Me, one: &str, other: &str) {
    let (one_pid, mut one) = me.spawn(one);
    let (other_pid, mut other) = me.spawn(other);
    one.write_all(&other_pid.number().to_le_bytes()).unwrap();
    other.write_all(&one_pid.number().to_le_bytes()).unwrap();
    me.wait(one_pid);
    me.wait(other_pid);
}

pub const ALL: &[Scenario] = &[
    scenario(
        "a_pair_is_connected_whoever_asks",
        |me| {
            introduce(me, "ask", "ask");
            introduce(me, "ask", "be asked");
            introduce(me, "be asked", "ask");
        },
        |record, _| {
            for (number, peer) in [(1, 2), (2, 1), (3, 4), (4, 3), (5, 6), (6, 5)] {
                assert_eq!(record.stdout(number), format!("met {peer}\n"));
            }
        },
    ),
    scenario(
        "who_is_doubted_hears_so_before_the_end_of_who_doubts",
        |me| {
            for _ in 0..20 {
                let (peer, _connection) = me.spawn("doubt and end");
                assert_eq!(me.hear().0, Notice::Broken { peer });
                assert_eq!(me.met(peer).unwrap_err(), ended(End::Code(0)));
            }
        },
        |record, _| assert_eq!(record.status(0).code(), Some(0)),
    ),
    scenario(
        "the_dead_and_the_unknown_are_answered_for",
        |me| {
            let (pid, _connection) = me.spawn("code 7");
            let seven = ended(End::Code(7));
            assert_eq!(
                me.met(pid).unwrap_err(),
                seven,
                "a child's end comes unasked"
            );
            assert_eq!(me.connect(pid).unwrap_err(), seven);
            for stranger in [Pid::new(pid.job(), 99), Pid::new(Job::from_bits(1), 0)] {
                assert_eq!(me.connect(stranger).unwrap_err(), None);
                assert_eq!(me.wait(stranger), None);
                assert!(!me.kill(stranger));
            }
        },
        |_, _| {},
    ),
    scenario(
        "who_makes_no_sense_is_killed_and_nobody_else",
        |me| {
            for name in ["talk nonsense", "connect to itself"] {
                let (pid, _connection) = me.spawn(name);
                let status = me.wait(pid);
                assert!(
                    status == ended(End::Signal(9)) || status == ended(End::Code(0)),
                    "{status:?}"
                );
            }
            let (_, mut connection) = me.spawn("greet");
            connection.read_to_string(&mut String::new()).unwrap();
        },
        |record, _| assert_eq!(record.status(0).code(), Some(0)),
    ),
    scenario(
        "who_does_not_listen_keeps_nobody_waiting",
        |me| {
            let (stopped, mut connection) = me.spawn("stop");
            connection.read_exact(&mut [0]).unwrap();
            let number = stopped.number().to_le_bytes();
            for _ in 0..40 {
                let (pid, mut connection) = me.spawn("only ask");
                connection.write_all(&number).unwrap();
                assert_eq!(me.wait(pid), ended(End::Code(0)));
            }
            assert!(me.kill(stopped));
            assert_eq!(me.wait(stopped).unwrap().signal(), Some(9));
        },
        |record, _| assert_eq!(record.pids().len(), 42),
    ),
    scenario(
        "thirty_meet_each_other",
        |me| {
            let mut all: Vec<_> = (0..30).map(|_| me.spawn("meet everybody")).collect();
            for (_, connection) in &mut all {
                connection.write_all(&30u64.to_le_bytes()).unwrap();
            }
            for (pid, _) in all {
                assert_eq!(me.wait(pid), ended(End::Code(0)));
            }
        },
        |record, _| {
            for number in 1..=30 {
                assert_eq!(record.stdout(number), "465\n");
            }
        },
    ),
];

const SIGSTOP: i32 = 19;
