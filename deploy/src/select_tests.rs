//! The first of several channels, between two halves of one process.

use crate::{
    channel_tests::{connected, to_be_connected},
    error::{ChannelError, TryRecvError},
    receiver::Receiver,
    select,
    select::Select,
    selectable::run,
    sender::Sender,
};
use std::{
    cell::RefCell,
    io::{Read, Write},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

#[test]
fn every_value_of_several_channels_comes_once_and_in_order() {
    const COUNT: u64 = 20_000;
    let ends: Vec<_> = (0..3).map(|_| connected()).collect();
    let receivers: Vec<_> = ends
        .iter()
        .map(|ends| Receiver::<u64>::on(ends.right.clone()))
        .collect();
    thread::scope(|scope| {
        for ends in &ends {
            let sender = Sender::<u64>::on(ends.left.clone());
            scope.spawn(move || (0..COUNT).for_each(|n| sender.send(n).unwrap()));
        }
        let (mut next, mut open) = ([0; 3], vec![0, 1, 2]);
        while !open.is_empty() {
            let mut select = Select::new();
            for index in &open {
                select.recv(&receivers[*index]);
            }
            let operation = select.select();
            let at = operation.index();
            match operation.recv(&receivers[open[at]]) {
                Ok(n) => {
                    assert_eq!(n, next[open[at]]);
                    next[open[at]] += 1;
                }
                Err(error) => {
                    assert_eq!(error, ChannelError::Closed);
                    open.remove(at);
                }
            }
        }
        assert_eq!(next, [COUNT; 3]);
    });
}

/// Once it was: whoever waited before there was a socket never heard of it.
#[test]
fn a_wait_may_begin_before_the_connection_is_there() {
    const LATE: Duration = Duration::from_secs(5);
    let (ends, connect) = to_be_connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    let mut select = Select::new();
    select.recv(&receiver);
    assert!(select.select_timeout(Duration::from_millis(1)).is_none());
    connect();
    let writer = thread::spawn(move || {
        for n in 0..3 {
            // Until the reactor, which looks at what was in use for some ticks, hears only of sockets it listens to.
            thread::sleep(Duration::from_millis(20));
            sender.send(n).unwrap();
        }
    });
    for n in 0..3 {
        let mut select = Select::new();
        select.recv(&receiver);
        let start = Instant::now();
        let arrived = select.select_timeout(LATE).expect("it arrives");
        assert!(start.elapsed() < LATE, "it was found, but not heard of");
        assert_eq!(arrived.recv(&receiver), Ok(n));
    }
    writer.join().unwrap();
}

#[test]
fn the_macro_takes_blocks_and_expressions_and_its_arms_are_its_value() {
    let ends = connected();
    let (numbers, from) = (
        Sender::<u64>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.right.clone()),
    );
    let (texts, heard) = (
        Sender::<String>::on(ends.right),
        Receiver::<String>::on(ends.left),
    );
    let quiet = select! {
        recv(from) -> _ => false,
        recv(heard) -> _ => { false }
        default => true,
    };
    assert!(quiet);
    numbers.send(7).unwrap();
    // A comma behind a block was once no select at all.
    let got = select! {
        recv(from) -> n => { n.unwrap() },
        recv(heard) -> text => text.unwrap().len() as u64,
        default(Duration::from_secs(30)) => 0
    };
    assert_eq!(got, 7);
    let mut evaluated = 0;
    select! {
        send(texts, { evaluated += 1; "hello".to_string() }) -> sent => { sent.unwrap() },
        recv(from) -> _ => panic!("nothing was sent"),
        default(Duration::from_secs(30)) => {},
    }
    assert_eq!((evaluated, heard.recv()), (1, Ok("hello".to_string())));
    for _ in 0..3 {
        select! {
            recv(heard) -> _ => unreachable!("nothing was sent"),
            default(Duration::from_millis(2)) => continue,
        }
    }
    drop(numbers);
    let ended = select! { recv(from) -> n => n };
    assert_eq!(ended, Err(ChannelError::Closed));
}

/// Once it was: whoever had chosen a value that another thread then took waited for the next one, and heard neither the
/// other operations nor its deadline.
#[test]
fn threads_that_share_a_receiver_wait_no_longer_than_they_asked_to() {
    const ROUNDS: u64 = 300;
    const THREADS: usize = 3;
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    let (receiver, round) = (&receiver, &Barrier::new(THREADS + 1));
    let sum = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(move || {
                    let mut sum = 0;
                    for _ in 0..ROUNDS {
                        round.wait();
                        select! {
                            recv(receiver) -> n => sum += n.unwrap(),
                            default(Duration::from_millis(2)) => {}
                        }
                        round.wait();
                    }
                    sum
                })
            })
            .collect();
        // The next one is not sent before every thread is back.
        for n in 0..ROUNDS {
            round.wait();
            sender.send(n).unwrap();
            round.wait();
        }
        let sums = threads.into_iter().map(|thread| thread.join().unwrap());
        sums.sum::<u64>()
    });
    drop(sender);
    let late: u64 = receiver.iter().map(Result::unwrap).sum();
    assert_eq!(sum + late, ROUNDS * (ROUNDS - 1) / 2);
}

#[test]
fn what_was_chosen_is_its_choosers_and_comes_first_if_it_is_not_taken() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<String>::on(ends.left),
        Receiver::<String>::on(ends.right),
    );
    let mut select = Select::new();
    select.recv(&receiver);
    for text in ["one", "two", &"long ".repeat(100_000)] {
        let chosen = thread::scope(|scope| {
            scope.spawn(|| sender.send(text.to_string()).unwrap());
            select.select()
        });
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        drop(chosen);
        sender.send("next".to_string()).unwrap();
        assert_eq!(select.select().recv(&receiver).as_deref(), Ok(text));
        assert_eq!(receiver.recv().as_deref(), Ok("next"));
    }
    drop(sender);
    drop(select.select());
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
}

#[test]
fn a_byte_that_was_chosen_and_not_taken_is_read_before_those_behind_it() {
    let ends = connected();
    let (sender, receiver) = (Sender::<u8>::on(ends.left), Receiver::<u8>::on(ends.right));
    (&sender).write_all(b"bytes").unwrap();
    let mut select = Select::new();
    select.recv(&receiver);
    drop(select.select());
    let mut bytes = [0; 5];
    (&receiver).read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"bytes");
}

#[test]
#[should_panic(expected = "done with the receiver that was added")]
fn a_chosen_operation_is_not_done_with_another_receiver() {
    let (one, other) = (connected(), connected());
    let sender = Sender::<u64>::on(one.left);
    let (receiver, another) = (
        Receiver::<u64>::on(one.right),
        Receiver::<u64>::on(other.right),
    );
    sender.send(7).unwrap();
    let mut select = Select::new();
    select.recv(&receiver);
    let _ = select.select().recv(&another);
}

#[test]
#[should_panic(expected = "done with the sender that was added")]
fn a_chosen_operation_is_not_done_with_another_sender() {
    let (one, other) = (connected(), connected());
    let (sender, another) = (Sender::<u64>::on(one.left), Sender::<u64>::on(other.left));
    let mut select = Select::new();
    select.send(&sender);
    let _ = select.select().send(&another, 7);
}

#[test]
fn a_full_window_is_not_ready() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<Vec<u8>>::on(ends.left),
        Receiver::<Vec<u8>>::on(ends.right),
    );
    while sender.try_send(vec![0; 1000]).is_ok() {}
    let full = select! { send(sender, vec![1]) -> _ => false, default => true };
    assert!(full);
    let reader = thread::spawn(move || receiver.iter().count());
    select! { send(sender, vec![1]) -> sent => sent.unwrap() }
    drop(sender);
    assert!(reader.join().unwrap() > 60);
}

#[test]
fn the_classic_form_does_each_operation_once() {
    let ends = connected();
    let (to, from) = (
        Sender::<u64>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.right.clone()),
    );
    let (back, heard) = (
        Sender::<u64>::on(ends.right),
        Receiver::<u64>::on(ends.left),
    );
    let log = RefCell::new(Vec::new());
    run(vec![
        Box::new(heard.selectable_recv(|n| log.borrow_mut().push(n), |error| panic!("{error}"))),
        Box::new(to.selectable_send(|| 1, |error| panic!("{error}"))),
        Box::new(from.selectable_recv(
            |n| {
                log.borrow_mut().push(n);
                back.send(n + 1).unwrap();
            },
            |error| panic!("{error}"),
        )),
    ]);
    assert_eq!(log.into_inner(), [1, 2]);
}
