//! How processes end: exactly, for a reason, and with everything that they started.

use super::{Scenario, Worker, scenario};
use crate::{
    monitor::Record,
    newborn::{Me, ended},
};
use deploy_wire::exit::{End, ExitStatus, Reason};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

pub const WORKERS: &[Worker] = &[
    ("code 7", |_| std::process::exit(7)),
    ("abort", |_| std::process::abort()),
    ("sleep", |me| {
        me.parent().write_all(b"x").unwrap();
        sleep();
    }),
    ("parent of a linked one", |me| {
        let mut request = me.worker("sleep");
        request.link = true;
        let (linked, mut connection) = me.try_spawn(request).unwrap();
        connection.read_exact(&mut [0]).unwrap();
        let (free, mut connection) = me.spawn("until told to end");
        connection.read_exact(&mut [0]).unwrap();
        let numbers = [linked.number(), free.number()].map(|number| number as u8);
        me.parent().write_all(&numbers).unwrap();
    }),
    ("until told to end", |me| {
        me.parent().write_all(b"x").unwrap();
        // Its parent ends; it goes on, until somebody connects and goes away.
        let _ = me.parent().read(&mut [0]);
        let mut connection = me.any_connection();
        let _ = connection.read(&mut [0]);
    }),
    // Leaves a program behind that holds its standard output.
    ("leave an heir", |_| {
        shell("echo heir; exec sleep 1000", false);
        println!("last words");
    }),
    ("leave an escaped heir", |_| {
        shell(
            "setsid sh -c 'setsid sleep 1000 & sleep 1000' & echo heir",
            false,
        );
        println!("last words");
    }),
    // Leaves a program behind that holds nothing.
    ("leave a silent heir", |_| {
        shell("exec sleep 1000", true);
    }),
];

fn sleep() -> ! {
    loop {
        std::thread::park();
    }
}

/// Starts a shell and does not wait for it, but for its first line if that is not silenced.
fn shell(script: &str, is_silent: bool) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("({script}) & echo started >&0")]);
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    command.stdin(std::os::fd::OwnedFd::from(theirs));
    if is_silent {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let mut child = command.spawn().unwrap();
    drop(command);
    ours.read_exact(&mut [0; 7]).unwrap();
    child.wait().unwrap();
}

/// That of each of these workers, which have all ended.
fn wait_for(me: &mut Me, names: &[&str]) {
    for name in names {
        let (pid, _connection) = me.spawn(name);
        assert_eq!(me.wait(pid), ended(End::Code(0)), "{name}");
    }
}

/// What a process can leave behind.
const HEIRS: [&str; 3] = [
    "leave an heir",
    "leave an escaped heir",
    "leave a silent heir",
];

fn check_heirs(record: &Record) {
    assert!(
        record.stdout(1).contains("last words\n"),
        "{:?}",
        record.stdout(1)
    );
    assert!(record.stdout(2).contains("last words\n"));
    let span = record.times[record.times.len() - 1].duration_since(record.times[0]);
    assert!(span < Duration::from_secs(4), "{span:?}");
}

pub const ALL: &[Scenario] = &[
    scenario(
        "ends_are_told_exactly",
        |me| {
            let (pid, _connection) = me.spawn("code 7");
            assert_eq!(me.wait(pid), ended(End::Code(7)));
            let (pid, _connection) = me.spawn("abort");
            assert_eq!(me.wait(pid), ended(End::Signal(6)));
            std::process::exit(3);
        },
        |record, _| {
            assert_eq!(record.status(0), ExitStatus::new(End::Code(3)));
            assert_eq!(record.status(1), ExitStatus::new(End::Code(7)));
            assert_eq!(record.status(2), ExitStatus::new(End::Signal(6)));
        },
    ),
    scenario(
        "who_is_killed_ends_for_that_reason",
        |me| {
            let (pid, mut connection) = me.spawn("sleep");
            connection.read_exact(&mut [0]).unwrap();
            assert!(me.kill(pid) && me.kill(pid));
            let killed = ExitStatus::new(End::Signal(9)).because(Reason::Killed);
            assert_eq!(me.wait(pid), Some(killed));
            assert!(me.kill(pid), "it is known after its end");
            assert_eq!(me.wait(pid), Some(killed));
        },
        |_, _| {},
    ),
    scenario(
        "a_job_ends_with_its_last_process",
        |me| {
            let (_, mut connection) = me.spawn("outlive its parent");
            connection.read_exact(&mut [0]).unwrap();
        },
        |record, _| {
            assert_eq!(record.stdout(1), "alone\n");
            let last = record.events.last().unwrap();
            assert!(format!("{last:?}").contains("Exited"), "{last:?}");
        },
    ),
    scenario(
        "the_linked_end_with_their_parent_and_others_go_on",
        |me| {
            let (parent, mut connection) = me.spawn("parent of a linked one");
            let mut numbers = [0; 2];
            connection.read_exact(&mut numbers).unwrap();
            assert_eq!(me.wait(parent), ended(End::Code(0)));
            let [linked, free] = numbers.map(|number| me.pid(u32::from(number)));
            let status = ExitStatus::new(End::Signal(9)).because(Reason::Linked);
            assert_eq!(me.wait(linked), Some(status));
            drop(me.connect(free).unwrap());
            assert_eq!(me.wait(free), ended(End::Code(0)));
        },
        |_, _| {},
    ),
    scenario(
        "what_a_process_leaves_behind_is_killed",
        |me| wait_for(me, &HEIRS),
        |record, _| check_heirs(record),
    ),
    Scenario {
        is_unprivileged: true,
        ..scenario(
            "without_groups_what_is_left_behind_is_killed_too",
            |me| wait_for(me, &HEIRS),
            |record, _| check_heirs(record),
        )
    },
    Scenario {
        is_unprivileged: true,
        ..scenario(
            "without_groups_a_family_works_as_well",
            |me| {
                for _ in 0..10 {
                    let (pid, _connection) = me.spawn("greet");
                    assert_eq!(me.wait(pid), ended(End::Code(0)));
                }
            },
            |record, _| assert_eq!(record.pids().len(), 11),
        )
    },
];
