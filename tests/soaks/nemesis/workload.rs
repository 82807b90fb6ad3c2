//! The job that is struck: members on all nodes that send each other numbered values, print numbered lines, start and end
//! processes, and call a pool, for some seconds. Each checks what comes; what breaks a promise is a panic.
//!
//! Deliberately absent: which ends are right. A member says which it saw, and `judge.rs` compares.

use deploy::*;
use deploy_tests::{
    say,
    soak::{Lots, mixed},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::PathBuf,
    process,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

/// What all processes of a job know.
#[derive(Clone, Serialize, Deserialize)]
struct Plan {
    seed: u64,
    /// How long it is to last.
    millis: u64,
    /// Where each process leaves a file, so that one that runs twice is found.
    directory: PathBuf,
}

/// A value, or the last word: how many there were.
#[derive(Serialize, Deserialize)]
enum Item {
    Value(u64, Vec<u8>),
    End(u64),
}

static POOL: Pool = Pool::new().replicas(1..=2).in_flight(8).retries(3);

#[on(POOL)]
fn triple(number: u64) -> u64 {
    static BORN: Once = Once::new();
    BORN.call_once(|| println!("born {}", process::id()));
    if number.is_multiple_of(16) {
        thread::sleep(Duration::from_millis(2)); // So that some are struck in the midst of it.
    }
    3 * number
}

/// The initial process: `job SEED MILLIS DIRECTORY NODES`.
pub fn conduct(args: &[String]) {
    init(small());
    let plan = Plan {
        seed: args[0].parse().unwrap(),
        millis: args[1].parse().unwrap(),
        directory: args[2].clone().into(),
    };
    let nodes: Vec<&str> = args[3].split(',').collect();
    let until = Instant::now() + Duration::from_millis(plan.millis);
    is_born(&plan, "conductor");
    let mut lots = Lots::new(plan.seed);
    let mut members = Vec::new();
    for index in 0..MEMBERS {
        let node = nodes[lots.below(nodes.len() as u64) as usize];
        let born = Builder::new()
            .resources(small())
            .node(node)
            .spawn(member, (plan.clone(), index));
        match born {
            Ok(pid) => members.push(pid),
            Err(error) => println!("unspawned {error}"),
        }
    }
    for pid in &members {
        let told = Sender::<Vec<Pid>>::new(*pid).send(members.clone());
        told.unwrap_or_else(|error| saw("roster", *pid, false, &error));
    }
    call(until);
    for pid in members {
        waited(pid);
    }
    println!("done");
}

/// Calls until then; each must be answered right, or say how its workers died.
fn call(until: Instant) {
    let mut number = 0;
    while Instant::now() < until {
        match triple(number).wait() {
            Ok(answer) => assert_eq!(answer, 3 * number, "the pool answers wrong"),
            Err(DistributionError::Panicked { message, .. }) => {
                panic!("a call panicked: {message}")
            }
            Err(error) => println!("uncalled {error}"),
        }
        number += 1;
    }
}

fn member(parent: Pid, (plan, index): (Plan, u64)) {
    let file = is_born(&plan, &format!("member-{index}"));
    println!("member {index}");
    let roster = Receiver::<Vec<Pid>>::new(parent).recv();
    let members = match roster {
        Ok(members) => members,
        Err(error) => {
            saw("recv", parent, false, &error);
            return println!("alone");
        }
    };
    let until = Instant::now() + Duration::from_millis(plan.millis);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| print_lines(&file, &is_over));
        let traffic: Vec<_> = members
            .into_iter()
            .filter(|peer| *peer != pid())
            .flat_map(|peer| {
                [
                    scope.spawn(move || sends(peer, until)),
                    scope.spawn(move || receives(peer)),
                ]
            })
            .collect();
        start_and_end(&plan, index, until);
        for thread in traffic {
            // Its panic is this process's: otherwise it would look as if all were well.
            thread.join().unwrap_or_else(|_| process::exit(101));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("done");
}

/// Numbered lines until the rest is over; and the time, for whoever asks whether a process ran longer than it may have.
fn print_lines(file: &fs::File, is_over: &AtomicBool) {
    let mut number = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        println!("line {number}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = now.unwrap().as_millis() as u64;
        file.write_all_at(format!("{millis:020}").as_bytes(), 0)
            .unwrap();
        number += 1;
        thread::sleep(Duration::from_millis(10));
    }
}

fn sends(peer: Pid, until: Instant) {
    let sender = Sender::<Item>::new(peer);
    let mut number = 0;
    let end = loop {
        let is_last = Instant::now() >= until;
        let item = match is_last {
            true => Item::End(number),
            false => Item::Value(number, body(number)),
        };
        match sender.send(item) {
            Ok(()) if is_last => return,
            Ok(()) => number += 1,
            Err(error) => break error,
        }
        if number.is_multiple_of(64) {
            thread::sleep(Duration::from_millis(4)); // Two processors are to be enough for all.
        }
    };
    assert!(
        end != ChannelError::Closed,
        "{peer} has closed what it needs"
    );
    saw("send", peer, false, &end);
}

fn receives(peer: Pid) {
    let receiver = Receiver::<Item>::new(peer);
    let (mut next, mut is_ended) = (0, false);
    let end = loop {
        match receiver.recv() {
            Ok(Item::Value(number, bytes)) => {
                assert!(!is_ended, "{number} of {peer} comes behind its end");
                assert_eq!(number, next, "of {peer}, in place of {next}");
                assert!(bytes == body(number), "{number} of {peer} is torn");
                next += 1;
            }
            Ok(Item::End(count)) => {
                assert_eq!((count, is_ended), (next, false), "the end of {peer}");
                is_ended = true;
            }
            Err(error) => break error,
        }
    };
    match end {
        ChannelError::Closed => {
            assert!(is_ended, "{peer} ended cleanly behind {next}, and did not")
        }
        end => saw("recv", peer, is_ended, &end),
    }
    println!("took {next} {peer}");
}

fn body(number: u64) -> Vec<u8> {
    // Now and then one that goes in pieces.
    let length = match mixed(7, number) % 2000 {
        0 => 200_000,
        more => more % 200,
    };
    vec![number as u8; length as usize]
}

/// Linked processes that end by themselves, and some that are killed.
fn start_and_end(plan: &Plan, index: u64, until: Instant) {
    let mut lots = Lots::new(plan.seed ^ (index << 40));
    for round in 0.. {
        if Instant::now() >= until {
            return;
        }
        let is_killed = lots.below(3) == 0;
        let code = lots.within(0..2) as i32 * 7;
        let name = format!("brief-{index}-{round}");
        let born = Builder::new()
            .resources(small())
            .link(true)
            .spawn(brief, (plan.clone(), name, (!is_killed).then_some(code)));
        match born {
            Err(error) => println!("unspawned {error}"),
            Ok(child) => {
                if is_killed {
                    child.kill().unwrap();
                }
                waited(child);
            }
        }
        thread::sleep(Duration::from_millis(lots.within(20..300)));
    }
}

/// Ends with this code, or waits to be killed.
fn brief(_: Pid, (plan, name, code): (Plan, String, Option<i32>)) {
    is_born(&plan, &name);
    match code {
        Some(code) => process::exit(code),
        None => loop {
            thread::park();
        },
    }
}

fn waited(pid: Pid) {
    let status = pid.wait().expect("it is of this job");
    println!("waited {pid} {}", shown(&status));
}

/// The judge compares it with how the peer did end.
fn saw(by: &str, peer: Pid, is_ended: bool, error: &ChannelError) {
    let when = if is_ended { "after" } else { "before" };
    match error {
        ChannelError::Exited(status) => println!("saw {peer} {by} {when} {}", shown(status)),
        error => println!("lost {peer} {by} {when} {error}"),
    }
}

fn shown(status: &ExitStatus) -> String {
    let reason = status.reason().map_or("-", Reason::word);
    format!("{} {reason}", say::status(status))
}

/// Says so, and leaves a file that may not be there yet.
fn is_born(plan: &Plan, name: &str) -> fs::File {
    println!("born {}", process::id());
    let path = plan.directory.join(name);
    let made = fs::File::options().write(true).create_new(true).open(&path);
    made.unwrap_or_else(|error| panic!("{name} ran before: {error}"))
}

fn small() -> Resources {
    Resources {
        mem: 64 * Mem::MIB,
        cpu: Cpu::CORE / 16,
        gpu: 0,
    }
}

const MEMBERS: u64 = 5;
