//! Each role says each kind of message at each door of a master: what its role may not say changes nothing.

use crate::daemons::{Cluster, PATIENCE, ask, connect, greeted, request};
use deploy_trust::{
    client::Client, endpoint::Connector, identity::Identity, subject::Role, token::Token,
};
use deploy_wire::{
    client::{Answer, Ask, Position},
    event::Stream,
    job::JobReport,
    node::{NodeHello, Order, Report, VERSION},
    pid::Job,
    resources::Resources,
    secret::Secret,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Instant, SystemTime},
};

/// One of each kind.
fn asks() -> Vec<Ask> {
    vec![
        Ask::Hello {
            version: deploy_wire::client::VERSION,
        },
        Ask::Image {
            digest: [7; 32],
            len: 3,
            bases: Vec::new(),
        },
        Ask::Chunk { bytes: vec![1] },
        Ask::Run(Box::new(request([7; 32], &["a"]))),
        Ask::Input { bytes: vec![1] },
        Ask::Signal { signal: 9 },
        Ask::Credit { bytes: 1 },
        Ask::Nodes,
        Ask::Jobs,
        Ask::Kill {
            job: "a".to_string(),
            process: None,
        },
        drain("head-of-nobody"),
        Ask::Renew,
        Ask::Attach {
            job: "a".to_string(),
            from: Position::default(),
        },
        Ask::Logs {
            job: "a".to_string(),
            from: Position::default(),
            follow: true,
        },
        Ask::Why {
            job: "a".to_string(),
            process: None,
        },
        Ask::Unread {
            stream: Stream::Stdout,
        },
        Ask::Beat,
        Ask::Stopped,
        Ask::Past,
    ]
}

/// One of each kind.
fn reports() -> Vec<Report> {
    vec![
        Report::Hello(Box::new(hello())),
        Report::Beat { sequence: 1 },
        Report::Job {
            job: Job::from_bits(1),
            sequence: 1,
            report: JobReport::Opened,
            file: None,
        },
        Report::Fetch {
            digest: [7; 32],
            offset: 0,
            tries: 0,
            failed: None,
        },
        Report::Holds {
            digest: [7; 32],
            is_here: true,
        },
        Report::Leave,
        Report::Renew,
        Report::Taken {
            job: Job::from_bits(1),
            orders: 1,
        },
    ]
}

fn hello() -> NodeHello {
    NodeHello {
        version: VERSION,
        address: ([127, 0, 0, 1], 1).into(),
        capacity: Resources::default(),
        incarnation: 1,
        arch: "x86_64".to_string(),
        isolation: String::new(),
        labels: Vec::new(),
        glibc: String::new(),
        held: Vec::new(),
        secret: Secret::from_bytes([1; 32]),
    }
}

fn drain(node: &str) -> Ask {
    Ask::Drain {
        node: node.to_string(),
        on: true,
    }
}

/// All kinds of both, as bytes.
pub fn messages() -> Vec<Vec<u8>> {
    let reports = reports().into_iter().map(|report| report.encode());
    let asks = asks().into_iter().map(|ask| ask.encode());
    reports.chain(asks).collect()
}

/// What nobody may have changed: the nodes, and who is a member.
fn facts(cluster: &Cluster) -> (String, String) {
    (cluster.say(&["nodes"]), cluster.say(&["members"]))
}

#[test]
fn a_role_that_a_door_is_not_for_is_not_let_in() {
    let cluster = Cluster::start();
    let now = SystemTime::now();
    let cases = [
        (Role::User, cluster.nodes_door()),
        (Role::Administrator, cluster.nodes_door()),
        (Role::Master, cluster.nodes_door()),
        (Role::Node, cluster.bridge()),
        (Role::Master, cluster.bridge()),
    ];
    let members: Vec<(Identity, String)> = cases
        .into_iter()
        .map(|(role, door)| (cluster.identity(role, "eve", now), door))
        .collect();
    let before = facts(&cluster);
    for (identity, door) in &members {
        // Not one message can be said, whatever its kind: there is no session.
        let refused = connect(identity, door).map(|_| ()).unwrap_err();
        let role = identity.subject.role;
        assert!(
            refused
                .to_string()
                .contains("the certificate is for another role"),
            "{role}: {refused}"
        );
    }
    assert_eq!(facts(&cluster), before);
}

#[test]
fn a_stranger_can_only_ask_to_join() {
    let cluster = Cluster::start();
    let before = facts(&cluster);
    let token: Token = cluster.user_token.parse().unwrap();
    let connector = Connector::stranger(&token).unwrap();
    for door in [cluster.nodes_door(), cluster.bridge()] {
        for message in messages() {
            let deadline = Instant::now() + PATIENCE;
            let mut client = Client::connect(&door, &connector, deadline).unwrap();
            client.send(message.clone(), deadline).unwrap();
            // Nothing, or the one sentence of somebody who is not let in; never an answer to what was said.
            while let Ok(answer) = client.recv(deadline) {
                assert!(!matches!(
                    Answer::decode(&answer),
                    Ok(Answer::Hello { .. }
                        | Answer::Done
                        | Answer::Nodes(_)
                        | Answer::Renewed { .. })
                ));
            }
        }
    }
    assert_eq!(facts(&cluster), before);
}

#[test]
fn a_node_says_what_nodes_say_in_its_place_and_nothing_else() {
    let cluster = Cluster::start();
    let node = cluster.identity(Role::Node, "eve", SystemTime::now());
    let before = facts(&cluster).0;
    let deadline = Instant::now() + PATIENCE;
    let mut client = connect(&node, &cluster.nodes_door()).unwrap();
    let unshowable = Report::Hello(Box::new(NodeHello {
        isolation: "\u{1b}[2J".to_string(),
        ..hello()
    }));
    client.send(unshowable.encode(), deadline).unwrap();
    let answer = Order::decode(&client.recv(deadline).unwrap());
    assert!(matches!(answer, Ok(Order::Refused { .. })), "{answer:?}");
    for message in messages() {
        let deadline = Instant::now() + PATIENCE;
        let mut client = connect(&node, &cluster.nodes_door()).unwrap();
        let report = Report::decode(&message);
        client.send(message, deadline).unwrap();
        let answer = client
            .recv(deadline)
            .map(|bytes| Order::decode(&bytes).unwrap());
        match report {
            Ok(Report::Hello(_)) if answer.is_ok() => {
                assert!(matches!(answer, Ok(Order::Welcome { .. })), "{answer:?}");
                client.finish(deadline).unwrap();
            }
            Ok(Report::Renew) => assert!(matches!(answer, Ok(Order::Renewed { .. })), "{answer:?}"),
            Ok(Report::Fetch { .. }) => {
                assert!(matches!(answer, Ok(Order::Refused { .. })), "{answer:?}");
            }
            Ok(Report::Leave) => {
                assert!(matches!(answer, Ok(Order::Dismissed { .. })), "{answer:?}");
                break; // It is no member any more: that comes last.
            }
            // Beats and reports of jobs belong behind a hello, and what clients say nowhere.
            _ => assert!(answer.is_err(), "{answer:?}"),
        }
    }
    let after = facts(&cluster).0;
    let without_eve: Vec<&str> = after
        .lines()
        .filter(|line| !line.starts_with("eve"))
        .collect();
    let numbers = |text: &str| {
        text.split_whitespace()
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&without_eve.join("\n")), numbers(&before));
}

#[test]
fn who_says_hello_and_something_else_before_it_is_welcome_is_no_node() {
    let mut cluster = Cluster::start();
    let now = SystemTime::now();
    let [node, user] = [Role::Node, Role::User].map(|role| cluster.identity(role, "eve", now));
    let is_over = AtomicBool::new(false);
    let deadline = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        // What it asks is written down, which a hello waits for.
        let asking = scope.spawn(|| {
            let (job, process) = ("none".to_string(), None);
            let kill = Ask::Kill { job, process };
            let mut client = greeted(&user);
            while !is_over.load(Ordering::Relaxed) {
                ask(&mut client, &kill).unwrap();
            }
        });
        for _ in 0..50 {
            let mut client = connect(&node, &cluster.nodes_door()).unwrap();
            let hello = Report::Hello(Box::new(hello()));
            let fetch = Report::Fetch {
                digest: [8; 32],
                offset: 0,
                tries: 0,
                failed: None,
            };
            for report in [hello, fetch] {
                client.send(report.encode(), deadline).unwrap();
            }
            while client.recv(deadline).is_ok() {}
        }
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
    let said = cluster.master.said();
    assert!(!said.contains("node  "), "one without a name: {said}");
}

#[test]
fn a_user_says_what_clients_say_but_for_what_is_the_administrators() {
    let cluster = Cluster::start();
    let now = SystemTime::now();
    let user = cluster.identity(Role::User, "eve", now);
    let administrator = cluster.identity(Role::Administrator, "root", now);
    let before = facts(&cluster).0;
    let head = before
        .lines()
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_string();
    for message in messages() {
        let deadline = Instant::now() + PATIENCE;
        let mut client = greeted(&user);
        let kind = Ask::decode(&message);
        client.send(message, deadline).unwrap();
        match kind {
            // Nothing runs, so these do nothing, and are not answered.
            Ok(
                Ask::Input { .. }
                | Ask::Signal { .. }
                | Ask::Credit { .. }
                | Ask::Chunk { .. }
                | Ask::Unread { .. }
                | Ask::Stopped,
            ) => continue,
            Ok(kind) => {
                let answer = Answer::decode(&client.recv(deadline).unwrap()).unwrap();
                let is_refused = matches!(answer, Answer::Refused { .. });
                let ours = deploy_wire::client::VERSION.0;
                let expected = matches!(
                    kind,
                    Ask::Hello { version: (theirs, _) } if theirs != ours // It was a node's.
                ) || matches!(
                    kind,
                    Ask::Run(_)
                        | Ask::Kill { .. }
                        | Ask::Drain { .. }
                        | Ask::Attach { .. }
                        | Ask::Logs { .. }
                        | Ask::Why { .. }
                );
                assert_eq!(is_refused, expected, "{kind:?}: {answer:?}");
            }
            // What is not understood is answered in words, and that is the end.
            Err(_) => {
                let answer = Answer::decode(&client.recv(deadline).unwrap()).unwrap();
                assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
                assert!(client.recv(deadline).is_err());
            }
        }
    }
    let answer = ask(&mut greeted(&user), &drain(&head)).unwrap();
    assert!(
        matches!(&answer, Answer::Refused { why, .. } if why.contains("only the cluster's administrator")),
        "{answer:?}"
    );
    assert_eq!(facts(&cluster).0, before);
    assert!(cluster.audit().contains(r#""event":"refused""#));

    assert_eq!(
        ask(&mut greeted(&administrator), &drain(&head)).unwrap(),
        Answer::Done
    );
    assert!(facts(&cluster).0.contains("draining"));
}
