//! Signals to the monitor: passed on, and in the end obeyed.

use super::{Scenario, Worker, scenario};
use crate::newborn::{Me, ended};
use deploy_sys::{pidfd::Process, process};
use deploy_wire::exit::{End, ExitStatus, Reason};
use std::{
    fs,
    io::{Read, Write},
    thread,
    time::Duration,
};

pub const WORKERS: &[Worker] = &[
    ("count signals", |me| {
        let mut signals = deploy_sys::signal::Signals::catch(&[SIGINT, SIGUSR1]).unwrap();
        me.parent().write_all(b"x").unwrap();
        loop {
            match signals.take() {
                Some(caught) if caught.signal == SIGUSR1 => return println!("told"),
                Some(_) => {
                    println!("asked");
                    let _ = me.parent().write_all(b"x"); // Not everybody listens.
                }
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
    }),
    ("linger", |_| {
        loop {
            thread::park();
        }
    }),
];

/// As somebody in another window does.
pub fn signal_monitor(signal: i32) {
    let monitor = Process::open(process::parent()).unwrap();
    monitor.signal(signal).unwrap();
}

/// Interrupts the monitor while it cannot know in which order that and the request for a lingering worker came.
pub fn interrupt_behind_a_request(me: &mut Me) {
    stop_monitor();
    let request = me.worker("linger");
    me.send_spawn(&request, &[]);
    signal_monitor(SIGINT);
    signal_monitor(SIGCONT);
}

/// Stops the monitor for now, so that what happens meanwhile comes to it at once.
pub fn stop_monitor() {
    signal_monitor(SIGSTOP);
    wait_for_state(process::parent(), 'T');
}

/// Waits until the kernel says so of a process: `T` is stopped, `Z` is dead and not reaped.
pub fn wait_for_state(process: u32, state: char) {
    let (stat, state) = (format!("/proc/{process}/stat"), format!(") {state} "));
    while !fs::read_to_string(&stat).unwrap().contains(&state) {
        thread::yield_now();
    }
}

pub fn interrupted(signal: i32) -> ExitStatus {
    ExitStatus::new(End::Signal(signal)).because(Reason::Interrupted)
}

/// Starts a worker that lives until it is killed or told.
fn start(me: &mut Me, name: &str) {
    let (_, mut connection) = me.spawn(name);
    connection.read_exact(&mut [0]).unwrap();
}

pub const ALL: &[Scenario] = &[
    scenario(
        "an_interrupt_reaches_everybody_and_is_told_as_what_it_was",
        |me| {
            start(me, "sleep");
            signal_monitor(SIGINT);
            thread::park();
        },
        |record, outcome| {
            assert_eq!(record.status(0), interrupted(SIGINT));
            assert_eq!(record.status(1), interrupted(SIGINT));
            assert_eq!(outcome.unwrap().interrupted, Some(SIGINT));
        },
    ),
    scenario(
        "termination_reaches_everybody",
        |me| {
            start(me, "sleep");
            signal_monitor(SIGTERM);
            thread::park();
        },
        |record, outcome| {
            assert_eq!(record.status(1), interrupted(SIGTERM));
            assert_eq!(outcome.unwrap().interrupted, Some(SIGTERM));
        },
    ),
    scenario(
        "a_signal_that_the_program_handles_ends_nobody",
        |me| {
            let (pid, mut connection) = me.spawn("count signals");
            connection.read_exact(&mut [0]).unwrap();
            let _own = deploy_sys::signal::Signals::catch(&[SIGUSR1]).unwrap();
            signal_monitor(SIGUSR1);
            assert_eq!(me.wait(pid), ended(End::Code(0)));
        },
        |record, outcome| {
            assert_eq!(record.stdout(1), "told\n");
            assert_eq!(outcome.unwrap().interrupted, None);
        },
    ),
    scenario(
        "who_is_born_too_late_for_its_parents_interrupt_gets_it_too",
        |me| {
            interrupt_behind_a_request(me);
            thread::park();
        },
        |record, outcome| {
            for pid in record.pids() {
                assert_eq!(record.status(pid.number()), interrupted(SIGINT));
            }
            assert_eq!(outcome.unwrap().interrupted, Some(SIGINT));
        },
    ),
    scenario(
        "whoever_handles_an_interrupt_may_start_others_after_it",
        |me| {
            let mut own = deploy_sys::signal::Signals::catch(&[SIGINT]).unwrap();
            interrupt_behind_a_request(me);
            let (before, _connection) = me.spawned(1).unwrap();
            while own.take().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            let (after, mut connection) = me.spawn("greet");
            connection.read_exact(&mut [0]).unwrap();
            assert_eq!(me.wait(after), ended(End::Code(0)));
            me.kill(before);
        },
        |record, outcome| {
            assert_eq!(record.status(1).reason(), Some(Reason::Killed));
            assert!(record.stdout(2).starts_with("hello"));
            assert_eq!(outcome.unwrap().interrupted, None);
        },
    ),
    scenario(
        "a_second_interrupt_kills",
        |me| {
            let mut own = deploy_sys::signal::Signals::catch(&[SIGINT]).unwrap();
            let (_, mut connection) = me.spawn("count signals");
            connection.read_exact(&mut [0]).unwrap();
            signal_monitor(SIGINT);
            connection.read_exact(&mut [0]).unwrap();
            while own.take().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            // It has been passed on; sooner than that, the next would be taken for the same one.
            thread::sleep(Duration::from_millis(150));
            signal_monitor(SIGINT);
            thread::park();
        },
        |record, outcome| {
            assert_eq!(record.stdout(1), "asked\n");
            assert_eq!(record.status(0), interrupted(SIGKILL));
            assert_eq!(record.status(1), interrupted(SIGKILL));
            assert_eq!(outcome.unwrap().interrupted, Some(SIGINT));
        },
    ),
];

pub const SIGINT: i32 = 2;
pub const SIGKILL: i32 = 9;
const SIGUSR1: i32 = 10;
const SIGTERM: i32 = 15;
pub const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;
