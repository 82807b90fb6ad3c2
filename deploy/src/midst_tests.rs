//! What never blocks, or no longer than it was told to, while a long value is half on its way: a thread that sends it to a
//! peer that does not read, and a peer that stopped in the midst of sending it.

use crate::{
    channel_tests::{Ends, connected, in_time},
    codec,
    error::{RecvTimeoutError, TryRecvError, TrySendError},
    link::Link,
    receiver::Receiver,
    select,
    sender::Sender,
};
use deploy_wire::frame::{LENGTH_UNKNOWN, Part};
use futures::FutureExt;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Each goes as it lies in memory.
type Bytes = Vec<u8>;

/// Each is encoded while it leaves, and decoded while it comes.
type Rows = Vec<(u64, String)>;

#[test]
fn beside_a_long_value_to_a_peer_that_does_not_read_no_try_to_send_blocks() {
    check_sending::<Bytes>(|| vec![1; 64 << 20], || vec![2; 100]);
    check_sending::<Rows>(|| rows(100_000), || rows(2));
}

#[test]
fn half_a_value_of_a_peer_that_stopped_holds_nobody_up_who_would_not_wait() {
    check_receiving::<Bytes>(vec![1; 40_000]);
    check_receiving::<Rows>(rows(2_000));
}

#[test]
fn nor_does_it_where_another_thread_waits_for_the_rest() {
    check_receiving_beside_another::<Bytes>(vec![1; 40_000]);
    check_receiving_beside_another::<Rows>(rows(2_000));
}

fn check_sending<T>(long: fn() -> T, short: fn() -> T)
where
    T: Serialize + DeserializeOwned + Send + PartialEq + fmt::Debug + 'static,
{
    let ends = connected();
    let (sender, receiver) = (
        Arc::new(Sender::<T>::on(ends.left.clone())),
        Receiver::<T>::on(ends.right),
    );
    let busy = sender.clone();
    let writer = thread::spawn(move || busy.send(long()));
    await_that(|| {
        let tx = ends.left.tx();
        tx.long.is_some() && tx.out.sequence() >= PART_BYTES
    });
    let sender = in_time(move || {
        assert_eq!(sender.try_send(short()), Err(TrySendError::Full(short())));
        let too_large = sender.try_send(long());
        assert!(matches!(too_large, Err(TrySendError::TooLarge(_))));
        select! {
            send(sender, short()) -> _ => panic!("a long value is on its way"),
            default => {}
        }
        assert!(sender.send_async(short()).now_or_never().is_none());
        assert!(sender.send_async(long()).now_or_never().is_none());
        sender
    });
    assert!(receiver.recv() == Ok(long()), "not what was sent");
    assert_eq!(writer.join().unwrap(), Ok(()));
    // What was dropped before it was sent comes never.
    drop(sender);
    assert!(receiver.recv().is_err());
}

fn check_receiving<T>(value: T)
where
    T: Serialize + DeserializeOwned + Send + PartialEq + fmt::Debug + 'static,
{
    // Each is the first to find that a long value has begun.
    for call in calls() {
        let (_ends, receiver, rest) = half_sent(&value);
        let receiver = in_time(move || {
            call(&receiver);
            receiver
        });
        rest();
        assert!(receiver.recv().as_ref() == Ok(&value), "not what was sent");
    }
}

fn check_receiving_beside_another<T>(value: T)
where
    T: Serialize + DeserializeOwned + Send + PartialEq + fmt::Debug + 'static,
{
    let (ends, receiver, rest) = half_sent(&value);
    let receiver = Arc::new(receiver);
    let waiting = receiver.clone();
    let waiter = thread::spawn(move || waiting.recv());
    await_that(|| ends.right.rx().long);
    in_time(move || calls().map(|call| call(&receiver)));
    rest();
    assert!(waiter.join().unwrap() == Ok(value), "not what was sent");
}

/// All that receives without waiting for long. There is nothing to be received.
fn calls<T>() -> [fn(&Receiver<T>); 5]
where
    T: Serialize + DeserializeOwned + Send + PartialEq + fmt::Debug + 'static,
{
    const TIMEOUT: Duration = Duration::from_millis(20);
    [
        |receiver| assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty)),
        |receiver| {
            let received = receiver.recv_timeout(TIMEOUT);
            assert_eq!(received, Err(RecvTimeoutError::Timeout));
        },
        |receiver| assert_eq!(receiver.recv_async().now_or_never(), None),
        |receiver| {
            select! {
                recv(receiver) -> _ => panic!("half of it is not there"),
                default => {}
            }
        },
        |receiver| {
            select! {
                recv(receiver) -> _ => panic!("half of it is not there"),
                default(TIMEOUT) => {}
            }
        },
    ]
}

/// A receiver to which half of a long value has come, and what sends the rest.
fn half_sent<T>(value: &T) -> (Ends, Receiver<T>, impl FnOnce())
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let ends = connected();
    let (sender, receiver) = (
        Sender::<T>::on(ends.left.clone()),
        Receiver::<T>::on(ends.right.clone()),
    );
    let (bytes, total) = match codec::as_bulk(value) {
        Some(bytes) => (bytes.to_vec(), bytes.len() as u64),
        None => {
            let mut bytes = Vec::new();
            codec::encode(value, &mut bytes).unwrap();
            (bytes, LENGTH_UNKNOWN)
        }
    };
    let link: Arc<Link> = ends.left.clone();
    let mark = link.mark_long(&mut link.tx()).unwrap();
    let half = bytes.len() / 2;
    assert!(link.send_piece(mark, Part::More, &bytes[..half], total));
    sender.flush().unwrap();
    let rest = move || {
        assert!(link.send_piece(mark, Part::Last, &bytes[half..], total));
        sender.flush().unwrap();
    };
    (ends, receiver, rest)
}

fn rows(count: u64) -> Rows {
    (0..count).map(|n| (n, format!("row {n}"))).collect()
}

fn await_that(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it comes in time");
        thread::yield_now();
    }
}

/// A part of a value: so much has left of one that is longer than the window.
const PART_BYTES: u64 = 16 << 10;
