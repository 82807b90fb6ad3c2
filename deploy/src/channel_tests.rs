//! Channels between two halves of one process: real sockets, real threads, no monitor.

use crate::{
    control::Control,
    error::{ChannelError, Lost, RecvTimeoutError, TryRecvError, TrySendError},
    hub::Hub,
    link::Link,
    links::Links,
    reactor::Reactor,
    receiver::Receiver,
    sender::Sender,
    share::Sharing,
    spin::Spin,
};
use deploy_sys::{fd, packet, poller::Poller, stream};
use deploy_wire::{
    frame::NAME_BYTES_MAX,
    pid::{Job, Pid},
    secret::{Seal, Secret},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    any::type_name,
    fs,
    marker::PhantomData,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// What one process of so much memory has, but for a monitor that says anything.
pub(crate) fn end(mem_bytes: u64) -> (Arc<Links>, OwnedFd) {
    end_with(mem_bytes, Sharing::from_env())
}

pub(crate) fn end_with(mem_bytes: u64, sharing: Sharing) -> (Arc<Links>, OwnedFd) {
    let hub = Hub::new(
        mem_bytes,
        Spin::new(true),
        sharing,
        Arc::new(Poller::new().unwrap()),
    );
    let links = Arc::new(Links::new(Arc::new(hub)));
    let (socket, monitor) = packet::pair().unwrap();
    let control = Control::new(socket, links.clone(), Vec::new()).unwrap();
    Reactor::new(Arc::new(control), links.clone())
        .start()
        .unwrap();
    (links, monitor)
}

/// Runs `f` on a thread of its own; what does not end in time has lost a wake-up, or a value.
#[track_caller]
pub(crate) fn in_time<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(f()));
    told.recv_timeout(IN_TIME)
        .expect("it ends in time, and without a panic")
}

pub(crate) struct Ends {
    pub(crate) left: Arc<Link>,
    pub(crate) right: Arc<Link>,
}

pub(crate) fn connected() -> Ends {
    let (ends, connect) = to_be_connected();
    connect();
    ends
}

/// Two ends, and what connects them.
pub(crate) fn to_be_connected() -> (Ends, impl FnOnce()) {
    let ((left, left_monitor), (right, right_monitor)) = (end(1 << 30), end(1 << 30));
    let pid = |number| Pid::new(Job::from_bits(1), number);
    let [(one, seal), (other, other_seal)] = sockets();
    // A process whose monitor is gone aborts; the reactors here live on when a test is over.
    std::mem::forget([left_monitor, right_monitor]);
    let ends = Ends {
        left: left.to(pid(1), || {}),
        right: right.to(pid(0), || {}),
    };
    let connect = move || {
        left.handle_connected(pid(1), one, seal);
        right.handle_connected(pid(0), other, other_seal);
    };
    (ends, connect)
}

/// Both ends of a connection, of the kind that `DEPLOY_CHANNELS` says, as for a whole program.
fn sockets() -> [(OwnedFd, Option<Seal>); 2] {
    let encrypted = match std::env::var("DEPLOY_CHANNELS").as_deref() {
        Err(_) | Ok("" | "sockets" | "memory") => {
            let (one, other) = fd::socketpair_stream().unwrap();
            return [(one, None), (other, None)];
        }
        Ok("tcp") => true,
        Ok("tcp-plain") => false,
        Ok(other) => panic!("no kind of connection is called {other:?}"),
    };
    let pid = |number| Pid::new(Job::from_bits(1), number);
    let (seal, other_seal) = Secret::from_bytes([1; 32]).seals(pid(0), pid(1), encrypted);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let other = listener.accept().unwrap().0;
    for socket in [&one, &other] {
        socket.set_nodelay(true).unwrap();
    }
    [(one.into(), Some(seal)), (other.into(), Some(other_seal))]
}

#[test]
fn values_of_every_length_come_whole_and_in_order() {
    let ends = connected();
    let lengths = [
        0,
        1,
        100,
        16 << 10,
        65_523,
        65_524,
        65_525,
        200_000,
        3 << 20,
        20 << 20,
    ];
    let (sender, receiver) = (
        Sender::<Vec<u8>>::on(ends.left),
        Receiver::<Vec<u8>>::on(ends.right),
    );
    let writer = thread::spawn(move || {
        for (index, length) in lengths.into_iter().enumerate() {
            sender.send(vec![index as u8; length]).unwrap();
        }
    });
    for (index, length) in lengths.into_iter().enumerate() {
        assert!(
            receiver.recv().unwrap() == vec![index as u8; length],
            "{length}"
        );
    }
    writer.join().unwrap();
    assert_eq!(receiver.recv(), Err(ChannelError::Closed));
}

/// Where two long values were alike a third is expected, and read with its header.
#[test]
fn values_come_whole_whether_they_are_as_long_as_expected_or_not() {
    let lengths = [
        50_000, 50_000, 50_000, 50_000, 30_000, 50_000, 50_000, 70_000, 50_000, 50_000, 8, 50_000,
        50_000, 500_000, 50_000, 50_000, 0, 50_000, 50_000, 50_000,
    ];
    there_and_back(lengths.map(|length| (0..length).map(|n| n as u8).collect::<Vec<u8>>()));
    there_and_back(lengths.map(|length| (0..length / 4).collect::<Vec<u32>>()));
    there_and_back(lengths.map(|length| "é".repeat(length as usize / 2)));
    there_and_back([(0..1 << 19).map(|n| n as i16).collect::<Vec<i16>>()]);
}

/// Each value is sent when the one before has come back, and then all of them without a pause.
fn there_and_back<T, const N: usize>(values: [T; N])
where
    T: Serialize + DeserializeOwned + Send + Clone + PartialEq + 'static,
{
    let Ends { left, right } = connected();
    let echo = thread::spawn(move || {
        let (sender, receiver) = (Sender::<T>::on(right.clone()), Receiver::<T>::on(right));
        receiver
            .iter()
            .for_each(|value| sender.send(value.unwrap()).unwrap());
    });
    let (sender, receiver) = (Sender::<T>::on(left.clone()), Receiver::<T>::on(left));
    for value in &values {
        sender.send(value.clone()).unwrap();
        assert!(receiver.recv().unwrap() == *value);
    }
    let sent = values.clone();
    let writer = thread::spawn(move || sent.into_iter().for_each(|v| sender.send(v).unwrap()));
    for value in &values {
        assert!(receiver.recv().unwrap() == *value);
    }
    writer.join().unwrap();
    echo.join().unwrap();
}

#[test]
fn long_values_that_are_no_bulk_stream_through() {
    let ends = connected();
    type Rows = Vec<(u64, String)>;
    let (sender, receiver) = (
        Sender::<Rows>::on(ends.left),
        Receiver::<Rows>::on(ends.right),
    );
    let rows: Rows = (0..100_000).map(|n| (n, format!("row {n}"))).collect();
    let expected = rows.clone();
    let writer = thread::spawn(move || {
        sender.send(rows.clone()).unwrap();
        sender.send(Vec::new()).unwrap();
        sender.send(rows).unwrap();
    });
    assert!(receiver.recv().unwrap() == expected);
    assert!(
        receiver
            .recv_timeout(Duration::from_secs(60))
            .unwrap()
            .is_empty()
    );
    assert!(receiver.recv_timeout(Duration::from_secs(60)).unwrap() == expected);
    writer.join().unwrap();
}

#[test]
fn a_full_window_gives_the_value_back_and_lets_go_on_later() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    let mut sent = 0;
    let back = loop {
        match sender.try_send(sent) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(back, TrySendError::Full(sent));
    assert!(
        (1..=65_536 / 12).contains(&sent),
        "{sent} of 12 bytes, and headers, in 64 KiB"
    );
    let reader = thread::spawn(move || {
        (0..=sent)
            .map(|_| receiver.recv().unwrap())
            .collect::<Vec<_>>()
    });
    sender.send(sent).unwrap();
    sender.flush().unwrap();
    assert_eq!(reader.join().unwrap(), (0..=sent).collect::<Vec<_>>());
}

#[test]
fn a_channel_is_made_again_with_another_type() {
    let ends = connected();
    for round in 0..100u64 {
        let (sender, receiver) = (
            Sender::on(ends.left.clone()),
            Receiver::on(ends.right.clone()),
        );
        sender.send(round).unwrap();
        assert_eq!(receiver.recv(), Ok(round));
        drop(sender);
        let (sender, receiver) = {
            assert_eq!(receiver.recv(), Err(ChannelError::Closed));
            drop(receiver);
            (
                Sender::on(ends.left.clone()),
                Receiver::on(ends.right.clone()),
            )
        };
        sender.send(round.to_string()).unwrap();
        sender.send("never taken".to_string()).unwrap();
        assert_eq!(receiver.recv(), Ok(round.to_string()));
    }
}

#[test]
fn another_type_is_told_to_both_ends() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<String>::on(ends.right),
    );
    sender.send(1).unwrap();
    let mismatch = ChannelError::TypeMismatch {
        sent: "u64".into(),
        expected: "alloc::string::String".into(),
    };
    assert_eq!(receiver.recv(), Err(mismatch.clone()));
    assert_eq!(receiver.recv(), Err(mismatch.clone()));
    let refused = (0..10_000).find_map(|_| sender.send(1).and_then(|()| sender.flush()).err());
    assert_eq!(refused, Some(mismatch));
}

/// Doubled fourteen times over, the name of this type is longer than a frame may carry.
#[test]
fn types_with_the_longest_names_have_channels_and_are_told_apart() {
    type Four<T> = ((T, T), (T, T));
    type Wide<T> = PhantomData<Four<Four<Four<Four<Four<Four<Four<T>>>>>>>>;
    assert!(type_name::<Wide<u64>>().len() > NAME_BYTES_MAX as usize);
    let ends = connected();
    let sender = Sender::<Wide<u64>>::on(ends.left.clone());
    let receiver = Receiver::<Wide<u64>>::on(ends.right.clone());
    sender.send(PhantomData).unwrap();
    assert_eq!(receiver.recv(), Ok(PhantomData));
    drop((sender, receiver));
    let sender = Sender::<Wide<u64>>::on(ends.left);
    let receiver = Receiver::<Wide<i64>>::on(ends.right);
    sender.send(PhantomData).unwrap();
    let refused = receiver.recv();
    assert!(matches!(refused, Err(ChannelError::TypeMismatch { .. })));
}

#[test]
fn nothing_yet_and_not_in_time() {
    let ends = connected();
    let (sender, receiver) = (Sender::<u8>::on(ends.left), Receiver::<u8>::on(ends.right));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(
        receiver.recv_timeout(Duration::from_millis(5)),
        Err(RecvTimeoutError::Timeout)
    );
    sender.send(9).unwrap();
    sender.flush().unwrap(); // From here on it is there, also over TCP on a busy machine.
    assert_eq!(receiver.try_recv(), Ok(9));
}

#[test]
fn a_dropped_receiver_closes_its_sender() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left),
        Receiver::<u64>::on(ends.right),
    );
    sender.send(1).unwrap();
    drop(receiver);
    assert_eq!(
        sender.flush().and_then(|()| sender.send(2)),
        Err(ChannelError::Closed)
    );
}

#[test]
fn threads_that_wait_on_one_connection_do_not_stop_each_other() {
    let ends = connected();
    let (to_right, from_left) = (
        Sender::<u64>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.right.clone()),
    );
    let (to_left, from_right) = (
        Sender::<u64>::on(ends.right),
        Receiver::<u64>::on(ends.left),
    );
    const COUNT: u64 = 100_000;
    thread::scope(|scope| {
        for sender in [&to_right, &to_left] {
            scope.spawn(move || (0..COUNT).for_each(|n| sender.send(n).unwrap()));
        }
        for receiver in [&from_left, &from_right] {
            scope.spawn(move || (0..COUNT).for_each(|n| assert_eq!(receiver.recv(), Ok(n))));
        }
    });
}

#[test]
fn speed() {
    let ends = connected();
    let (sender, receiver) = (
        Sender::<u64>::on(ends.left.clone()),
        Receiver::<u64>::on(ends.right.clone()),
    );
    let (back, answers) = (
        Sender::<u64>::on(ends.right),
        Receiver::<u64>::on(ends.left),
    );
    const COUNT: u64 = 5_000_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..COUNT).for_each(|n| assert_eq!(receiver.recv(), Ok(n)));
            (0..20_000).for_each(|_| back.send(receiver.recv().unwrap()).unwrap());
        });
        let start = std::time::Instant::now();
        (0..COUNT).for_each(|n| sender.send(n).unwrap());
        sender.flush().unwrap();
        eprintln!(
            "stream {:.2} M/s",
            COUNT as f64 / 1e6 / start.elapsed().as_secs_f64()
        );
        let start = std::time::Instant::now();
        for n in 0..20_000 {
            sender.send(n).unwrap();
            assert_eq!(answers.recv(), Ok(n));
        }
        eprintln!(
            "rtt {:.2} us",
            start.elapsed().as_secs_f64() / 20_000.0 * 1e6
        );
    });
}

#[test]
fn what_a_full_socket_refused_leaves_when_there_is_room_and_nobody_looks_until_then() {
    let hub = Hub::new(
        1 << 30,
        Spin::new(true),
        Sharing::from_env(),
        Arc::new(Poller::new().unwrap()),
    );
    let links = Arc::new(Links::new(Arc::new(hub)));
    let (socket, monitor) = packet::pair().unwrap();
    std::mem::forget(monitor);
    let control = Control::new(socket, links.clone(), Vec::new()).unwrap();
    let reactor = Reactor::new(Arc::new(control), links.clone());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        tell.send(fs::read_link("/proc/thread-self").unwrap())
            .unwrap();
        reactor.run()
    });
    let status = Path::new("/proc").join(told.recv().unwrap()).join("status");
    let wake_ups = || -> u64 {
        let status = fs::read_to_string(&status).unwrap();
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse().unwrap()
    };
    let (one, other) = fd::socketpair_stream().unwrap();
    let link = links.handle_connected(Pid::new(Job::from_bits(1), 1), one, None);
    stream::enlarge_send_buffer(link.socket().unwrap(), 4 << 10);
    let receiver = Receiver::<u8>::on(link.clone());
    let receiving = thread::spawn(move || receiver.recv());
    // The owner sleeps on the socket, and hears of what comes, not of room.
    while !link.turn.has_owner() {
        thread::yield_now();
    }
    let sender = Sender::<Vec<u8>>::on(link.clone());
    sender.send(vec![7; 60_000]).unwrap();
    assert!(link.is_blocked());
    thread::sleep(Duration::from_millis(50));
    let before = wake_ups();
    thread::sleep(Duration::from_millis(300));
    assert!(wake_ups() - before < 10, "{} wake-ups", wake_ups() - before);
    let (mut bytes, mut count) = (vec![0; 1 << 20], 0);
    while count < 60_000 {
        stream::wait(other.as_fd(), false, None);
        count += stream::read(other.as_fd(), &mut bytes).unwrap();
    }
    drop(other);
    drop(sender);
    link.handle_fate(None);
    assert_eq!(
        receiving.join().unwrap(),
        Err(ChannelError::Lost(Lost::Unknown))
    );
}

const IN_TIME: Duration = Duration::from_secs(30);
