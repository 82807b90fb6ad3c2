//! Channels used by tasks, on an executor that knows nothing of them, beside threads that block.

use crate::{channel_tests::connected, error::ChannelError, receiver::Receiver, sender::Sender};
use futures::{
    FutureExt, SinkExt, StreamExt,
    executor::block_on,
    future::{join, poll_fn},
    stream,
};
use std::{future::Future, pin::pin, task::Poll, thread};

type Rows = Vec<(u64, String)>;

fn rows(count: u64) -> Rows {
    (0..count).map(|n| (n, format!("row {n}"))).collect()
}

#[test]
fn a_sink_feeds_a_stream() {
    let ends = connected();
    let (mut sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    const COUNT: u64 = 200_000;
    let feed = async move {
        sender
            .send_all(&mut stream::iter((0..COUNT).map(Ok)))
            .await
            .unwrap();
        drop(sender);
    };
    let (sum, ()) = block_on(join(
        receiver
            .map(Result::unwrap)
            .enumerate()
            .fold(0, |sum, (index, n)| async move {
                assert_eq!(index as u64, n);
                sum + n
            }),
        feed,
    ));
    assert_eq!(sum, COUNT * (COUNT - 1) / 2);
}

/// Once it was kept until the next: `send` overtook it, and whoever dropped the sender then had lost it.
#[test]
fn what_a_sink_is_fed_is_sent_where_there_is_room() {
    let ends = connected();
    let (mut sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    block_on(sender.feed(1)).unwrap();
    sender.send(2).unwrap();
    block_on(sender.feed(3)).unwrap();
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [Ok(1), Ok(2), Ok(3)]);
}

/// Once it was not: a task that had closed its sink, and kept it, waited for its peer's answer to the end for ever.
#[test]
fn a_sink_that_is_closed_is_as_good_as_dropped() {
    let ends = connected();
    let (mut sender, mut receiver) = (
        Sender::<u64>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.right.clone()),
    );
    block_on(async {
        let numbers = stream::iter((0..3).map(Ok));
        numbers.forward(&mut sender).await.unwrap();
        for n in 0..3 {
            assert_eq!(receiver.next().await, Some(Ok(n)));
        }
        assert_eq!(receiver.next().await, None);
        assert_eq!(sender.send_async(3).await, Err(ChannelError::Closed));
        assert_eq!(sender.send(3), Err(ChannelError::Closed));
        sender.close().await.unwrap();
    });
    // The next one may be made, and is not ended by the end of this one.
    let next = Sender::<u64>::on(ends.left);
    drop((sender, receiver));
    let receiver = Receiver::<u64>::on(ends.right);
    next.send(4).unwrap();
    assert_eq!(receiver.recv(), Ok(4));
}

#[test]
fn tasks_and_threads_talk_both_ways() {
    let ends = connected();
    let (to, from) = (
        Sender::<u64>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.left),
    );
    let (back, asked) = (
        Sender::<u64>::on(ends.right.clone()),
        Receiver::<u64>::on(ends.right),
    );
    let echo = thread::spawn(move || {
        while let Ok(n) = asked.recv() {
            back.send(n + 1).unwrap();
        }
    });
    block_on(async {
        for n in 0..2_000 {
            to.send_async(n).await.unwrap();
            assert_eq!(from.recv_async().await, Ok(n + 1));
        }
    });
    drop(to);
    echo.join().unwrap();
}

#[test]
fn long_values_are_sent_and_received_by_tasks() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<Rows>::on(ends.left),
        Receiver::<Rows>::on(ends.right),
    );
    let (sent, received) = block_on(join(
        sender.send_async(rows(100_000)),
        receiver.recv_async(),
    ));
    assert_eq!((sent, received == Ok(rows(100_000))), (Ok(()), true));
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    let writer = thread::spawn(move || (0..10_000).for_each(|n| sender.send(n).unwrap()));
    let mut expected = 0;
    while expected < 10_000 {
        let once = async {
            let mut receive = pin!(receiver.recv_async());
            // Polled once and dropped, whatever came.
            poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx))).await
        };
        match block_on(once) {
            Poll::Ready(value) => assert_eq!(value, Ok(expected)),
            Poll::Pending => assert_eq!(block_on(receiver.recv_async()), Ok(expected)),
        }
        expected += 1;
    }
    writer.join().unwrap();
}

#[test]
fn a_send_that_is_dropped_has_sent_wholly_or_not_at_all() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<Rows>::on(ends.left),
        Receiver::<Rows>::on(ends.right),
    );
    let reader = thread::spawn(move || receiver.iter().map(Result::unwrap).collect::<Vec<_>>());
    for round in 0..50 {
        let once = async {
            let mut send = pin!(sender.send_async(rows(1_000 * (round % 10))));
            let _ = poll_fn(|cx| Poll::Ready(send.as_mut().poll(cx))).await;
        };
        block_on(once);
        sender.send(rows(1)).unwrap();
    }
    drop(sender);
    let received = reader.join().unwrap();
    assert_eq!(received.iter().filter(|value| value.len() == 1).count(), 50);
    for value in received {
        assert!(
            value == rows(value.len() as u64),
            "{} rows, torn",
            value.len()
        );
    }
}

#[test]
fn a_future_that_is_dropped_leaves_nothing_behind() {
    let ends = connected();
    let (_silent, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right.clone()),
    );
    for _ in 0..100 {
        let polled = receiver.recv_async().now_or_never();
        assert_eq!((polled, ends.right.turn.tasks()), (None, 0));
    }
    let mut stream = receiver;
    assert!(stream.next().now_or_never().is_none());
    drop(stream);
    assert_eq!(ends.right.turn.tasks(), 0);
}

/// They wait for one connection, with one waker.
#[test]
fn a_task_that_leaves_one_wait_keeps_its_other() {
    let ends = connected();
    let (sender, silence) = (
        Sender::<Vec<u8>>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.left),
    );
    let receiver = Receiver::<Vec<u8>>::on(ends.right);
    while sender.try_send(vec![0; 1000]).is_ok() {}
    let talk = async {
        let mut receive = pin!(silence.recv_async());
        let mut send = pin!(sender.send_async(vec![1; 1000]));
        assert!(futures::poll!(send.as_mut()).is_pending());
        assert!(futures::poll!(receive.as_mut()).is_pending());
        let reader = thread::spawn(move || receiver.iter().map(Result::unwrap).last());
        assert!(futures::poll!(receive.as_mut()).is_pending());
        receive.set(silence.recv_async());
        send.await.unwrap();
        reader
    };
    let reader = block_on(talk);
    drop(sender);
    assert_eq!(reader.join().unwrap(), Some(vec![1; 1000]));
}

#[test]
fn a_task_hears_of_the_end() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    let (received, ()) = block_on(join(receiver.recv_async(), async { drop(sender) }));
    assert_eq!(received, Err(ChannelError::Closed));
}

#[test]
fn a_panic_is_no_clean_end() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    thread::spawn(move || {
        let _sender = sender;
        panic!("on purpose");
    })
    .join()
    .unwrap_err();
    let lost = ChannelError::Lost(crate::error::Lost::Panicked);
    assert_eq!(block_on(receiver.recv_async()), Err(lost.clone()));
    assert_eq!(receiver.recv(), Err(lost));
}
