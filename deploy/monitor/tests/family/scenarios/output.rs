//! What processes write: all of it, in order, however slow the listener.

use super::{Scenario, Worker, scenario};
use crate::newborn::ended;
use deploy_wire::{
    event::{Event, Stream},
    exit::End,
};
use std::io::{self, ErrorKind, Read, Write};

pub const WORKERS: &[Worker] = &[
    ("write a lot", |_| {
        let line = [b'x'; 99];
        let mut out = io::stdout().lock();
        for _ in 0..LINES {
            out.write_all(&line).unwrap();
            out.write_all(b"\n").unwrap();
        }
        out.flush().unwrap();
    }),
    // Fits its pipe, so that the process is gone long before it is heard.
    ("write and end", |_| {
        io::stdout().write_all(&[b'y'; 60_000]).unwrap()
    }),
    ("outlive its parent", |me| {
        me.parent().write_all(b"x").unwrap();
        let _ = me.parent().read(&mut [0]);
        println!("alone");
    }),
    // Whether the kernel says that nobody listens.
    ("write until refused", |_| {
        loop {
            if let Err(error) = io::stdout().write_all(b"is anybody there?\n") {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                std::process::exit(5);
            }
        }
    }),
];

const LINES: usize = 200_000;

pub const ALL: &[Scenario] = &[
    scenario(
        "every_byte_of_both_streams_arrives",
        |_| {
            let all: Vec<u8> = (0..=127).collect();
            io::stdout().write_all(&all).unwrap();
            io::stdout().flush().unwrap();
            io::stderr().write_all(b"on the other\n").unwrap();
        },
        |record, _| {
            assert_eq!(record.stdout(0).as_bytes(), (0..=127).collect::<Vec<u8>>());
            assert_eq!(record.text(0, Stream::Stderr), "on the other\n");
        },
    ),
    scenario(
        "twenty_megabytes_from_each_of_three",
        |me| {
            let pids: Vec<_> = (0..3).map(|_| me.spawn("write a lot").0).collect();
            for pid in pids {
                assert_eq!(me.wait(pid), ended(End::Code(0)));
            }
        },
        |record, _| {
            for number in 1..=3 {
                let text = record.stdout(number);
                assert_eq!(text.len(), LINES * 100);
                assert!(text.lines().all(|line| line.len() == 99));
            }
        },
    ),
    Scenario {
        listen: |record| record.full_until_born = Some(2),
        ..scenario(
            "a_slow_listener_loses_nothing_and_blocks_nobody",
            |me| {
                let (_, _connection) = me.spawn("write and end");
                // Were its birth to wait for room, there would never be any.
                let (pid, mut connection) = me.spawn("greet");
                connection.read_to_string(&mut String::new()).unwrap();
                assert!(me.kill(pid));
            },
            |record, _| {
                assert_eq!(record.stdout(1).len(), 60_000);
                let at = |wanted: fn(&Event) -> bool| record.events.iter().position(wanted);
                let output = at(|event| matches!(event, Event::Output { .. }));
                let second =
                    at(|event| matches!(event, Event::Spawned { pid, .. } if pid.number() == 2));
                assert!(output > second, "it was full until then");
            },
        )
    },
    Scenario {
        listen: |record| record.unwanted = Some(Stream::Stdout),
        ..scenario(
            "who_writes_where_nobody_reads_is_told",
            |me| {
                let (pid, _connection) = me.spawn("write until refused");
                assert_eq!(me.wait(pid), ended(End::Code(5)));
                let (pid, _connection) = me.spawn("write until refused");
                assert_eq!(me.wait(pid), ended(End::Code(5)));
                eprintln!("this is heard");
            },
            |record, _| assert_eq!(record.text(0, Stream::Stderr), "this is heard\n"),
        )
    },
];
