//! The scenarios: what the processes do, and what is to become known of them.

use crate::{
    monitor::{End, Record},
    newborn::Me,
};
use deploy_monitor::Config;
use deploy_wire::{
    event::Stream,
    exit::{End::Code, End::Signal, ExitStatus, Reason},
};
use std::io::{Read, Write};

/// One job.
pub struct Scenario {
    pub name: &'static str,
    /// Changes to the monitor's usual configuration.
    pub configure: fn(&mut Config),
    /// What the initial process does.
    pub main: fn(&mut Me),
    /// What came of it.
    pub check: fn(&Record, End),
}

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// What a worker of that name does.
pub fn worker(name: &str) -> fn(&mut Me) {
    match name {
        "greet" => |me| {
            println!("hello from {}", me.birth.pid);
            me.parent.as_mut().unwrap().write_all(b"done").unwrap();
        },
        "code 7" => |_| std::process::exit(7),
        "sleep" => |_| loop {
            std::thread::park();
        },
        _ => panic!("no worker is called {name}"),
    }
}

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "hello_ten_workers",
        configure: |_| {},
        main: |me| {
            for _ in 0..10 {
                let (_, mut connection) = me.spawn("greet");
                let mut text = String::new();
                connection.read_to_string(&mut text).unwrap();
                assert_eq!(text, "done");
            }
            println!("total");
        },
        check: |record, end| {
            assert_eq!(end.interrupted, None);
            assert_eq!(record.stdout(0), "total\n");
            assert_eq!(record.text(0, Stream::Stderr), "");
            for (number, pid) in record.pids().into_iter().enumerate().skip(1) {
                assert_eq!(record.stdout(number as u32), format!("hello from {pid}\n"));
            }
            assert_eq!(record.pids().len(), 11);
        },
    },
    Scenario {
        name: "ends_are_told_exactly",
        configure: |_| {},
        main: |me| {
            let (pid, _connection) = me.spawn("code 7");
            assert_eq!(me.wait(pid), Some(ExitStatus::new(Code(7))));
            let (pid, _connection) = me.spawn("sleep");
            assert!(me.kill(pid));
            let killed = ExitStatus::new(Signal(9)).because(Reason::Killed);
            assert_eq!(me.wait(pid), Some(killed));
            assert!(me.kill(pid), "it is known after its end");
            assert_eq!(me.wait(pid), Some(killed));
            std::process::exit(3);
        },
        check: |record, _| {
            assert_eq!(record.status(0), ExitStatus::new(Code(3)));
            assert_eq!(record.status(1), ExitStatus::new(Code(7)));
        },
    },
];
