//! What only happens when threads meet at the wrong moment: seeded runs over real sockets, and the moments that such
//! runs have found, brought about by hand.
//!
//! Deliberately absent: what one thread at each end finds (`channel_tests.rs`).

use crate::{
    channel_tests::{Ends, connected, in_time},
    error::{ChannelError, ExitStatus, Lost, RecvTimeoutError, TryRecvError, TrySendError},
    link::{Link, Seat},
    receiver::Receiver,
    select::Select,
    sender::Sender,
    share::{RING_BYTES, Sharing},
};
use deploy_sys::stream;
use deploy_wire::{
    exit::End,
    frame::{Kind, Memory},
    outbound::RECORD_BYTES_MAX,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use std::{
    sync::{Arc, Mutex},
    task::{Wake, Waker},
    thread,
    time::{Duration, Instant},
};

/// A sender at the left and its receiver at the right.
fn rightwards<T: Serialize + DeserializeOwned + Send + 'static>(
    ends: &Ends,
) -> (Sender<T>, Receiver<T>) {
    (
        Sender::on(ends.left.clone()),
        Receiver::on(ends.right.clone()),
    )
}

fn leftwards<T: Serialize + DeserializeOwned + Send + 'static>(
    ends: &Ends,
) -> (Sender<T>, Receiver<T>) {
    (
        Sender::on(ends.right.clone()),
        Receiver::on(ends.left.clone()),
    )
}

/// Blocks until a thread sleeps on this connection's socket.
fn await_owner(link: &Arc<Link>) {
    while !link.turn.has_owner() {
        thread::yield_now();
    }
}

/// Blocks until bytes may travel: at once, but for connections that begin with a handshake.
fn await_open(ends: &Ends) {
    while [&ends.left, &ends.right].iter().any(|link| !link.is_open()) {
        thread::yield_now();
    }
}

#[test]
fn values_received_aside_keep_their_place() {
    let ends = connected();
    let (sender, receiver) = rightwards::<Vec<u8>>(&ends);
    const COUNT: u32 = 4_000;
    let writer = thread::spawn(move || {
        for number in 0..COUNT {
            let mut value = number.to_le_bytes().to_vec();
            value.resize(if number % 2 == 0 { 17 << 10 } else { 4 }, 7);
            sender.send(value).unwrap();
        }
    });
    in_time(move || {
        for number in 0..COUNT {
            let value = loop {
                match receiver.try_recv() {
                    Ok(value) => break value,
                    Err(TryRecvError::Empty) => thread::yield_now(), // There may be one processor.
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(value[..4], number.to_le_bytes());
        }
        assert_eq!(receiver.recv(), Err(ChannelError::Closed));
    });
    writer.join().unwrap();
}

#[test]
fn credit_is_told_while_another_thread_sleeps_on_the_socket() {
    let ends = connected();
    let (full, _never_received) = rightwards::<u64>(&ends);
    let (sender, receiver) = leftwards::<Vec<u8>>(&ends);
    thread::spawn(move || while full.send(0).is_ok() {});
    await_owner(&ends.left);
    sender.send(vec![1; 10 << 10]).unwrap();
    sender.flush().unwrap();
    assert!(receiver.try_recv().is_ok());
    // Needs the smallest window whole; nobody at the left does anything any more.
    in_time(move || {
        let mut value = vec![2; RECORD_BYTES_MAX];
        while let Err(TrySendError::Full(back)) = sender.try_send(value) {
            value = back;
            thread::yield_now();
        }
        sender
    });
}

/// Who takes many short values settles once for several, and may take no more before it did.
#[test]
fn room_that_a_reader_made_is_told_though_it_takes_no_more() {
    let ends = connected();
    let (sender, receiver) = rightwards::<u64>(&ends);
    while sender.try_send(7).is_ok() {}
    sender.flush().unwrap();
    for _ in 0..1000 {
        assert_eq!(receiver.recv(), Ok(7));
    }
    // With a header for each, if they leave alone, they need half of that room.
    in_time(move || {
        for _ in 0..100 {
            sender.send(8).unwrap();
        }
    });
    drop(receiver);
}

#[test]
fn a_receiver_that_refuses_and_goes_says_why() {
    for _ in 0..200 {
        let ends = connected();
        let (sender, receiver) = (
            Sender::<u64>::on(ends.left.clone()),
            Receiver::<String>::on(ends.right.clone()),
        );
        sender.send(1).unwrap();
        let told = receiver.recv().unwrap_err();
        drop(receiver);
        let refused =
            in_time(move || (0..).find_map(|_| sender.send(1).and_then(|()| sender.flush()).err()));
        assert_eq!(refused, Some(told));
    }
}

#[test]
fn a_process_that_ends_in_the_middle_of_a_long_value_has_exited() {
    let ends = connected();
    let (sender, receiver) = rightwards::<Vec<u8>>(&ends);
    thread::spawn(move || sender.send(vec![4; 1 << 20]));
    await_owner(&ends.left);
    {
        let mut tx = ends.left.tx();
        tx.out.queue_end(Kind::Bye);
        ends.left.flush(&mut tx);
    }
    let status = ExitStatus::new(End::Code(7));
    let right = ends.right.clone();
    thread::spawn(move || {
        await_owner(&right);
        thread::sleep(Duration::from_millis(20)); // The socket's end comes before the word of the process's.
        ends.left.shut_down();
        thread::sleep(Duration::from_millis(20));
        right.handle_fate(Some(status));
    });
    assert_eq!(
        in_time(move || receiver.recv()),
        Err(ChannelError::Exited(status))
    );
}

#[test]
fn a_long_value_that_nobody_can_decode_is_let_through() {
    let ends = connected();
    let (sender, receiver) = rightwards::<Stubborn>(&ends);
    let sent = thread::spawn(move || sender.send(Stubborn));
    await_owner(&ends.left);
    let (receiver, result) = in_time(move || {
        let result = receiver.recv();
        (receiver, result)
    });
    assert!(matches!(result, Err(ChannelError::Codec(_))), "{result:?}");
    in_time(move || sent.join().unwrap()).unwrap();
    drop(receiver);
}

/// Encodes as a megabyte, decodes as nothing at all.
#[derive(Debug)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        vec![5u8; 1 << 20].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Stubborn, D::Error> {
        Err(serde::de::Error::custom("no"))
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_loses_the_connection() {
    let ends = connected();
    let (sender, receiver) = rightwards::<u64>(&ends);
    sender.send(1).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
    if ends.left.hub.sharing == Sharing::AtOnce {
        return; // There, what the socket brings says nothing: see the next one.
    }
    stream::write(ends.left.socket().unwrap(), &[255; 64], &[]).unwrap();
    is_lost(&ends, receiver);
}

#[test]
fn who_speaks_of_memory_out_of_turn_loses_the_connection() {
    let ends = connected();
    let (sender, receiver) = rightwards::<u64>(&ends);
    sender.send(1).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
    say_given(&ends.left);
    is_lost(&ends, receiver);
}

/// What nobody asked for, or what was said already.
fn say_given(link: &Arc<Link>) {
    let mut tx = link.tx();
    tx.out.queue_memory(Memory::Given);
    link.flush(&mut tx);
}

fn is_lost(ends: &Ends, receiver: Receiver<u64>) {
    let lost = in_time(move || receiver.recv());
    assert!(matches!(lost, Err(ChannelError::Lost(_))), "{lost:?}");
    // Nor does a process that ends wait for it.
    while !ends.left.has_ended() {
        thread::yield_now();
    }
}

/// Whether both directions lie in memory is not the connection's alone: each end pays for what it reads.
#[test]
fn a_busy_connection_goes_over_to_memory_as_far_as_that_can_be_had() {
    if std::env::var_os("DEPLOY_CHANNELS").is_some_and(|kind| !kind.is_empty()) {
        return; // Over TCP none does, and others do so before it is busy.
    }
    for (left_pays, right_pays) in [(true, true), (true, false), (false, true), (false, false)] {
        let ends = connected();
        for (link, pays) in [(&ends.left, left_pays), (&ends.right, right_pays)] {
            while !pays && link.hub.windows.take_ring(RING_BYTES as u64) {}
        }
        let (sender, there) = rightwards::<Vec<u8>>(&ends);
        let (back, receiver) = leftwards::<Vec<u8>>(&ends);
        let Ends { left, right } = ends;
        thread::spawn(move || {
            while let Ok(value) = there.recv() {
                back.send(value).unwrap();
            }
        });
        in_time(move || {
            for round in 0..2000_usize {
                let value = vec![
                    round as u8;
                    [10, 60_000, 300_000]
                        [usize::from(round % 64 == 0) + usize::from(round % 256 == 0)]
                ];
                sender.send(value.clone()).unwrap();
                assert!(receiver.recv().unwrap() == value, "{round}");
            }
        });
        let rings = (left.has_ring(), right.has_ring());
        assert_eq!(rings, (left_pays, right_pays));
    }
}

#[test]
fn a_receiver_that_goes_while_a_long_value_comes_aside_leaves_the_next_one_free() {
    let ends = connected();
    for round in 0..50 {
        let (sender, receiver) = rightwards::<Vec<u8>>(&ends);
        let sent = thread::spawn(move || sender.send(vec![6; 1 << 20]));
        while !ends.right.rx().long && receiver.try_recv().is_err() {}
        drop(receiver);
        let _ = in_time(move || sent.join().unwrap());
        let (sender, receiver) = rightwards::<Vec<u8>>(&ends);
        let sent = thread::spawn(move || sender.send(vec![round; 1 << 20]));
        let came = in_time(move || receiver.recv());
        assert!(came.unwrap() == vec![round; 1 << 20]);
        in_time(move || sent.join().unwrap()).unwrap();
    }
}

#[test]
fn a_task_that_is_dropped_when_it_is_woken_may_hold_a_channel() {
    let ends = connected();
    let (sender, receiver) = rightwards::<Vec<u8>>(&ends);
    let (_silent, held) = leftwards::<u64>(&ends);
    let held = Arc::new(Holder(Mutex::new(Some(held))));
    let mut seat = Seat::default();
    seat.listen(&ends.left, &Waker::from(held.clone()), None);
    in_time(move || {
        sender.send(vec![8; 20 << 10]).unwrap();
        drop(sender);
    });
    assert_eq!(receiver.recv().unwrap().len(), 20 << 10);
    assert!(held.0.lock().unwrap().is_none());
}

/// As of an executor that is gone: to be woken is the end of its tasks.
struct Holder(Mutex<Option<Receiver<u64>>>);

impl Wake for Holder {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_select_leaves_nothing_behind_on_a_channel_that_stays_silent() {
    let ends = connected();
    let (_silent, receiver) = rightwards::<u64>(&ends);
    let mut select = Select::new();
    select.recv(&receiver);
    for _ in 0..100 {
        assert!(select.select_timeout(Duration::ZERO).is_none());
    }
    assert_eq!(ends.right.turn.tasks(), 0);
}

#[test]
fn a_panic_at_the_other_end_keeps_nobody_longer_than_it_would_wait() {
    let ends = connected();
    let (sender, receiver) = rightwards::<u64>(&ends);
    let panicked = thread::spawn(move || {
        let _sender = sender;
        panic!("as it should");
    });
    assert!(panicked.join().is_err());
    let start = Instant::now();
    let timeout = Duration::from_millis(50);
    assert_eq!(
        receiver.recv_timeout(timeout),
        Err(RecvTimeoutError::Timeout)
    );
    // Had it waited for how the process ends, it would have heard that nobody says so.
    assert!(start.elapsed() >= timeout);
    let lost = ChannelError::Lost(Lost::Panicked);
    assert_eq!(in_time(move || receiver.recv()), Err(lost));
}

#[test]
fn a_wait_without_time_reads_what_is_there() {
    let ends = connected();
    let (sender, receiver) = rightwards::<u64>(&ends);
    await_open(&ends);
    for number in 0..100 {
        assert!(receiver.recv_timeout(Duration::ZERO).is_err());
        sender.send(number).unwrap();
        while ends.left.tx().out.pending() > 0 {
            thread::yield_now();
        }
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(number));
    }
}

/// Both directions at once, each through several pairs of ends one after the other, with values of all lengths, by
/// every call there is, at random.
#[test]
fn whatever_is_sent_comes() {
    let seed = std::env::var("DEPLOY_SEED").map_or(0, |seed| seed.parse().unwrap());
    for seed in seed..seed + 20 {
        eprintln!("seed {seed}");
        let ends = connected();
        in_time(move || {
            thread::scope(|scope| {
                for (from, to, seed) in [
                    (&ends.left, &ends.right, 2 * seed),
                    (&ends.right, &ends.left, 2 * seed + 1),
                ] {
                    scope.spawn(move || send_at_random(from, seed));
                    scope.spawn(move || receive_at_random(to, seed));
                }
            });
        });
    }
}

const GENERATIONS: u64 = 6;

/// The n-th value of a generation; none after the last.
fn value(dice: &mut Dice) -> Option<Vec<u8>> {
    let length = match dice.roll(100) {
        0 => return None,
        1..4 => dice.roll(1 << 21),
        4..15 => dice.roll(1 << 17),
        15..17 => RECORD_BYTES_MAX as u64,
        _ => dice.roll(100),
    };
    let byte = dice.roll(256) as u8;
    Some(vec![byte; length as usize])
}

fn send_at_random(link: &Arc<Link>, seed: u64) {
    let (mut values, mut calls) = (Dice(seed), Dice(seed ^ 0xabcd));
    for _ in 0..GENERATIONS {
        let sender = Sender::<Vec<u8>>::on(link.clone());
        while let Some(mut value) = value(&mut values) {
            match calls.roll(8) {
                0 => sender.flush().unwrap(),
                1 => thread::sleep(Duration::from_micros(calls.roll(3000))),
                2 => {
                    while let Err(error) = sender.try_send(value.clone()) {
                        match error {
                            TrySendError::Full(back) => {
                                value = back;
                                thread::yield_now();
                            }
                            TrySendError::TooLarge(back) => {
                                sender.send(back).unwrap();
                                break;
                            }
                            TrySendError::Channel(error) => panic!("{error}"),
                        }
                    }
                    continue;
                }
                _ => {}
            }
            sender.send(value).unwrap();
        }
    }
}

fn receive_at_random(link: &Arc<Link>, seed: u64) {
    let (mut values, mut calls) = (Dice(seed), Dice(seed ^ 0xef01));
    for generation in 0..GENERATIONS {
        let receiver = Receiver::<Vec<u8>>::on(link.clone());
        let mut next = || loop {
            let error = match calls.roll(6) {
                0 => match receiver.try_recv() {
                    Err(TryRecvError::Empty) => continue,
                    Err(TryRecvError::Channel(error)) => Err(error),
                    Ok(value) => Ok(value),
                },
                1 => match receiver.recv_timeout(Duration::from_micros(calls.roll(2000))) {
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Channel(error)) => Err(error),
                    Ok(value) => Ok(value),
                },
                2 => {
                    thread::sleep(Duration::from_micros(calls.roll(3000)));
                    continue;
                }
                _ => receiver.recv(),
            };
            return error;
        };
        while let Some(expected) = value(&mut values) {
            assert!(next().unwrap() == expected, "generation {generation}");
        }
        assert_eq!(next(), Err(ChannelError::Closed));
    }
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % below.max(1)
    }
}
