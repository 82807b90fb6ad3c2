//! The process that waits for its identity: nobody until it is needed, nothing if it is not.

use super::{
    Scenario, Worker, scenario,
    signals::{
        SIGCONT, SIGINT, SIGKILL, interrupt_behind_a_request, interrupted, signal_monitor,
        stop_monitor, wait_for_state,
    },
};
use crate::newborn::{Me, ended};
use deploy_monitor::Wrap;
use deploy_sys::{pidfd::Process, process, signal::Signals};
use deploy_wire::{event::Event, exit::End};
use std::{
    fs,
    io::Read,
    thread,
    time::{Duration, Instant},
};

pub const WORKERS: &[Worker] = &[("tell process", |me| {
    assert!(me.birth.work.is_some());
    println!("{} is {}", me.birth.pid, std::process::id());
})];

/// Runs a worker to its end, so that whoever waits afterwards beside this process is the spare.
fn run(me: &mut Me, name: &str) {
    let (pid, _connection) = me.spawn(name);
    assert_eq!(me.wait(pid), ended(End::Code(0)));
}

/// The processes that wait for their identity, if no other lives but this one and the keeper.
fn spares() -> Vec<u32> {
    let monitor = process::parent();
    let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    let is_newborn = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(b"DEPLOY_BIRTH="))
    };
    children
        .filter(|id| *id != std::process::id() && is_newborn(id))
        .collect()
}

/// The spare that is used next, once it is there. Nothing announces it.
fn spare() -> u32 {
    let start = Instant::now();
    loop {
        if let Some(spare) = spares().first() {
            return *spare;
        }
        assert!(start.elapsed() < Duration::from_secs(10));
        thread::yield_now();
    }
}

fn signal(process: u32, signal: i32) {
    Process::open(process).unwrap().signal(signal).unwrap();
}

/// That nothing comes can only be seen by waiting for much longer than it would take.
fn expect_no_spare() {
    thread::sleep(Duration::from_millis(30));
    assert_eq!(spares(), []);
}

pub const ALL: &[Scenario] = &[
    Scenario {
        configure: |config| config.program.env.push(("GREETING".into(), "early".into())),
        ..scenario(
            "the_spare_becomes_the_next_process_and_keeps_what_it_wrote",
            |me| {
                run(me, "tell process");
                let first = spare();
                println!("{first}");
                run(me, "tell process");
                // Another has followed it, and is used by nobody.
                assert_ne!(spare(), first);
            },
            |record, _| {
                let pids = record.pids();
                assert_eq!(pids.len(), 3);
                let main = record.stdout(0);
                let spare = main.trim_start_matches("early\n").trim_end();
                assert_eq!(record.stdout(2), format!("early\n{} is {spare}\n", pids[2]));
                let all: Vec<u8> = record
                    .events
                    .iter()
                    .flat_map(|event| match event {
                        Event::Output { bytes, .. } => bytes.clone(),
                        _ => Vec::new(),
                    })
                    .collect();
                assert_eq!(String::from_utf8(all).unwrap().matches("early").count(), 3);
            },
        )
    },
    scenario(
        "who_asks_again_and_again_has_several_in_the_end",
        |me| {
            let start = Instant::now();
            while spares().len() < 2 {
                assert!(start.elapsed() < Duration::from_secs(10));
                run(me, "greet");
            }
        },
        |record, _| {
            let count = record.pids().len() as u32;
            assert!((0..count).all(|number| record.status(number).code() == Some(0)));
        },
    ),
    scenario(
        "who_starts_nothing_has_no_spare",
        |_| expect_no_spare(),
        |record, _| assert_eq!(record.pids().len(), 1),
    ),
    scenario(
        "a_spare_that_is_killed_is_replaced_by_whom_is_asked_for",
        |me| {
            run(me, "greet");
            let spare = spare();
            stop_monitor();
            signal(spare, SIGKILL);
            wait_for_state(spare, 'Z');
            let request = me.worker("tell process");
            me.send_spawn(&request, &[]);
            signal_monitor(SIGCONT);
            let (pid, _connection) = me.spawned(request.id).unwrap();
            assert_eq!(me.wait(pid), ended(End::Code(0)));
            expect_no_spare();
            run(me, "greet");
        },
        |record, _| {
            assert_eq!(record.pids().len(), 4);
            assert!((0..4).all(|number| record.status(number).code() == Some(0)));
        },
    ),
    scenario(
        "after_an_interrupt_there_are_no_spares",
        |me| {
            let mut own = Signals::catch(&[SIGINT]).unwrap();
            run(me, "greet");
            spare();
            signal_monitor(SIGINT);
            while own.take().is_none() {
                thread::yield_now();
            }
            while !spares().is_empty() {
                thread::yield_now();
            }
            run(me, "greet");
            expect_no_spare();
        },
        |record, outcome| {
            assert_eq!(record.pids().len(), 3);
            assert_eq!(outcome.unwrap().interrupted, None);
        },
    ),
    scenario(
        "a_spare_asked_for_behind_an_interrupt_shares_its_parents_fate",
        |me| {
            run(me, "greet");
            let spare = spare();
            // The terminal's key would reach it as well.
            stop_monitor();
            signal(spare, SIGINT);
            interrupt_behind_a_request(me);
            thread::park();
        },
        |record, outcome| {
            assert_eq!(record.status(0), interrupted(SIGINT));
            assert!(
                (2..record.pids().len() as u32)
                    .all(|number| record.status(number) == interrupted(SIGINT))
            );
            assert_eq!(outcome.unwrap().interrupted, Some(SIGINT));
        },
    ),
    Scenario {
        configure: |config| {
            config.program.wrap = Some(Wrap {
                command: ["env", "WRAP=yes"].map(Into::into).into(),
                worker: Some("tell birth".into()),
            });
        },
        ..scenario(
            "who_is_wrapped_is_never_a_spare",
            |me| {
                run(me, "greet");
                let spare_before = spare();
                run(me, "tell birth");
                assert_eq!(spare(), spare_before);
            },
            |record, _| assert!(record.stdout(2).ends_with(" yes\n")),
        )
    },
    scenario(
        "many_asked_for_at_once_are_each_who_they_are",
        |me| {
            run(me, "greet");
            spare();
            let requests: Vec<_> = (0..64).map(|_| me.worker("greet")).collect();
            for request in &requests {
                me.send_spawn(request, &[]);
            }
            for request in requests {
                let (_, mut connection) = me.spawned(request.id).unwrap();
                let mut text = String::new();
                connection.read_to_string(&mut text).unwrap();
                assert_eq!(text, "done");
            }
        },
        |record, _| {
            assert_eq!(record.pids().len(), 66);
            for pid in record.pids().into_iter().skip(1) {
                assert_eq!(record.stdout(pid.number()), format!("hello from {pid}\n"));
            }
        },
    ),
    Scenario {
        is_unprivileged: true,
        ..scenario(
            "without_groups_the_spare_is_not_taken_for_something_left_behind",
            |me| {
                run(me, "greet");
                let spare_before = spare();
                me.spawn("sleep").1.read_exact(&mut [0]).unwrap();
                me.kill(me.pid(2));
                let status = me.wait(me.pid(2));
                assert!(status.is_some());
                assert_ne!(spare(), spare_before);
            },
            |record, _| assert_eq!(record.pids().len(), 3),
        )
    },
];
