//! Which of several operations is chosen, how likely, and when none is.
//!
//! Deliberately absent: what becomes of the one that was chosen (`select_tests.rs`).

use crate::{
    channel_tests::{connected, end},
    receiver::Receiver,
    select,
    select::Select,
    sender::Sender,
};
use deploy_wire::pid::{Job, Pid};
use std::{
    cell::Cell,
    mem, thread,
    time::{Duration, Instant},
};

/// Once it was: whoever was ready behind idle ones was chosen in their place too, seven times in eight.
#[test]
fn among_several_that_are_ready_each_is_as_likely_as_the_others() {
    let (one, other) = (connected(), connected());
    let senders = [Sender::<u64>::on(one.left), Sender::<u64>::on(other.left)];
    let mut receivers = vec![Receiver::on(one.right), Receiver::on(other.right)];
    receivers.extend(idle(6));
    for sender in &senders {
        (0..SELECTIONS as u64).for_each(|n| sender.send(n).unwrap());
        sender.flush().unwrap();
    }
    let mut chosen = [0; 2];
    for _ in 0..SELECTIONS {
        let mut select = Select::new();
        for receiver in &receivers {
            select.recv(receiver);
        }
        let operation = select.select();
        let index = operation.index();
        operation.recv(&receivers[index]).unwrap();
        chosen[index] += 1;
    }
    assert!(
        chosen.iter().all(|times| *times >= EACH_AT_LEAST),
        "{chosen:?}"
    );
}

#[test]
fn to_send_is_as_likely_as_to_receive() {
    let (one, other) = (connected(), connected());
    let (sender, receiver) = (
        Sender::<u64>::on(one.left),
        Receiver::<u64>::on(other.right),
    );
    let (_receiver, other_sender) = (
        Receiver::<u64>::on(one.right),
        Sender::<u64>::on(other.left),
    );
    let idle = idle(6);
    (0..SELECTIONS as u64).for_each(|n| other_sender.send(n).unwrap());
    other_sender.flush().unwrap();
    let mut chosen = [0; 2];
    // One set for all of them: what it remembers of earlier looks makes nothing likelier.
    let mut select = Select::new();
    select.send(&sender);
    select.recv(&receiver);
    for receiver in &idle {
        select.recv(receiver);
    }
    for _ in 0..SELECTIONS {
        let operation = select.select();
        let index = operation.index();
        match index {
            0 => operation.send(&sender, 7).unwrap(),
            _ => assert!(operation.recv(&receiver).is_ok()),
        }
        chosen[index] += 1;
    }
    assert!(
        chosen.iter().all(|times| *times >= EACH_AT_LEAST),
        "{chosen:?}"
    );
}

#[test]
fn what_is_to_be_sent_is_evaluated_only_when_it_is_chosen() {
    let (one, other) = (connected(), connected());
    let (sender, slow) = (
        Sender::<Vec<u8>>::on(one.left),
        Receiver::<Vec<u8>>::on(one.right),
    );
    let (numbers, receiver) = (
        Sender::<u64>::on(other.left),
        Receiver::<u64>::on(other.right),
    );
    let evaluated = Cell::new(0);
    let value = || {
        evaluated.set(evaluated.get() + 1);
        vec![1]
    };
    (0..SELECTIONS as u64).for_each(|n| numbers.send(n).unwrap());
    numbers.flush().unwrap();
    // Both are ready.
    let (mut sent, mut received) = (0, 0);
    while received < 10 {
        select! {
            send(sender, value()) -> done => { done.unwrap(); sent += 1 }
            recv(receiver) -> n => { n.unwrap(); received += 1 }
        }
        assert_eq!(evaluated.get(), sent);
    }
    while sender.try_send(vec![0; 1000]).is_ok() {}
    let by_then = evaluated.get();
    select! {
        send(sender, value()) -> _ => panic!("there is no room"),
        recv(receiver) -> n => assert!(n.is_ok()),
    }
    let idle = &idle(1)[0];
    select! {
        send(sender, value()) -> _ => panic!("there is no room"),
        recv(idle) -> _ => panic!("nobody sends"),
        default => {}
    }
    select! {
        send(sender, value()) -> _ => panic!("there is no room"),
        recv(idle) -> _ => panic!("nobody sends"),
        default(Duration::from_millis(1)) => {}
    }
    assert_eq!(evaluated.get(), by_then);
    drop(slow);
}

/// Also where the thread is woken meanwhile, for something else.
#[test]
fn whoever_waits_for_a_time_waits_for_all_of_it() {
    const TIMEOUT: Duration = Duration::from_millis(30);
    let ends = connected();
    let (sender, _slow) = (
        Sender::<Vec<u8>>::on(ends.left.clone()),
        Receiver::<Vec<u8>>::on(ends.right),
    );
    let silent = Receiver::<u64>::on(ends.left);
    while sender.try_send(vec![0; 1000]).is_ok() {}
    let wait = |round| {
        let start = Instant::now();
        if round % 2 == 0 {
            select! {
                recv(silent) -> _ => panic!("nobody sends"),
                send(sender, vec![1]) -> _ => panic!("there is no room"),
                default(TIMEOUT) => {}
            }
        } else {
            let mut select = Select::new();
            select.recv(&silent);
            select.send(&sender);
            assert!(select.select_timeout(TIMEOUT).is_none());
        }
        assert!(start.elapsed() >= TIMEOUT, "{:?}", start.elapsed());
    };
    thread::scope(|scope| {
        let waiter = scope.spawn(|| (0..4).for_each(wait));
        while !waiter.is_finished() {
            waiter.thread().unpark();
            silent.link.turn.ring();
            thread::yield_now();
        }
    });
}

/// Receivers from processes that are not there yet.
fn idle(count: u32) -> Vec<Receiver<u64>> {
    let (links, monitor) = end(1 << 30);
    mem::forget(monitor); // A process whose monitor is gone aborts; the reactor here lives on when a test is over.
    let receiver = |number| {
        let pid = Pid::new(Job::from_bits(1), number);
        Receiver::on(links.to(pid, || {}))
    };
    (1..=count).map(receiver).collect()
}

/// How often is chosen. Each of two that are as likely is chosen half as often, give or take 10.
const SELECTIONS: usize = 400;

/// By chance one of them stays below that less than once in 10^14.
const EACH_AT_LEAST: usize = 120;
