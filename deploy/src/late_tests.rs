//! What comes later than something else that it is expected before: a connection behind the word of its peer's end, which
//! overtook it because the two take different ways between machines; the end of a connection that is cut or broke, behind the same,
//! or never. A real socket, and a monitor that this test plays.
//!
//! Deliberately absent: the network that makes it late, which is the nemesis's business.

use crate::{
    channel_tests::end,
    error::{ChannelError, ExitStatus, Lost, RecvTimeoutError},
    link::Link,
    links::Links,
    receiver::Receiver,
    sender::Sender,
};
use deploy_sys::{fd, packet};
use deploy_wire::{
    control::{Notice, Request},
    exit::End,
    pid::{Job, Pid},
    secret::Secret,
};
use std::{
    io,
    mem::ManuallyDrop,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

#[test]
fn whoever_is_connected_to_the_dead_hears_of_the_end_again() {
    let (links, monitor) = end(1 << 30);
    let monitor = ManuallyDrop::new(monitor); // A process whose monitor is gone aborts.
    let (own, peer) = (pid(0), pid(1));
    let status = ExitStatus::new(End::Signal(9));
    let ended = Notice::Ended {
        peer,
        status: Some(status),
    };
    let (one, other) = fd::socketpair_stream().unwrap();
    let (seal, _) = Secret::from_bytes([1; 32]).seals(own, peer, true);
    let connected = Notice::Connected {
        peer,
        seal: Some(seal),
    };
    tell(&monitor, &ended, &[]);
    tell(&monitor, &connected, &[one]);
    drop(other); // The peer has ended.
    assert_eq!(asked(&monitor), Request::Connect { peer });
    let receiver = Receiver::<u8>::on(to(&links, peer));
    tell(&monitor, &ended, &[]);
    assert_eq!(receiver.recv(), Err(ChannelError::Exited(status)));
}

#[test]
fn who_is_cut_off_is_lost_behind_what_came_also_where_the_other_has_ended_since() {
    let [(links, monitor), (others, other_monitor)] = [(); 2].map(|()| end(1 << 30));
    let [monitor, _other_monitor] = [monitor, other_monitor].map(ManuallyDrop::new);
    let (own, peer) = (pid(0), pid(1));
    let (one, other) = fd::socketpair_stream().unwrap();
    let sender = Sender::<u32>::on(others.handle_connected(own, other, None));
    let receiver = Receiver::<u32>::on(links.handle_connected(peer, one, None));
    for value in 0..1000 {
        sender.send(value).unwrap();
    }
    sender.flush().unwrap();
    let status = Some(ExitStatus::new(End::Code(0)));
    tell(&monitor, &Notice::Cut { peer }, &[]);
    tell(&monitor, &Notice::Ended { peer, status }, &[]);
    for value in 0..1000 {
        assert_eq!(receiver.recv(), Ok(value));
    }
    assert_eq!(receiver.recv(), Err(ChannelError::Lost(Lost::Cut)));
}

#[test]
fn what_broke_on_its_way_is_lost_also_where_the_other_has_ended_since() {
    let status = Some(ExitStatus::new(End::Code(0)));
    // Whoever reads finds the end before the word of it, or behind it.
    for is_end_first in [true, false] {
        let (links, monitor) = end(1 << 30);
        let monitor = ManuallyDrop::new(monitor);
        let peer = pid(1);
        let (one, other) = fd::socketpair_stream().unwrap();
        let receiver = Receiver::<u32>::on(links.handle_connected(peer, one, None));
        if is_end_first {
            drop(other);
            let timeout = Duration::from_millis(1);
            assert_eq!(
                receiver.recv_timeout(timeout),
                Err(RecvTimeoutError::Timeout)
            );
            tell(&monitor, &Notice::Broken { peer }, &[]);
            tell(&monitor, &Notice::Ended { peer, status }, &[]);
        } else {
            tell(&monitor, &Notice::Broken { peer }, &[]);
            tell(&monitor, &Notice::Ended { peer, status }, &[]);
            await_some(|| links.by_peer(peer).filter(|link| link.has_fate()));
            drop(other);
        }
        let broken = ChannelError::Lost(Lost::Broken);
        assert_eq!(receiver.recv(), Err(broken), "{is_end_first}");
    }
}

#[test]
fn what_the_other_says_is_over_ends_behind_what_came() {
    let [(links, monitor), (others, other_monitor)] = [(); 2].map(|()| end(1 << 30));
    let [monitor, _other_monitor] = [monitor, other_monitor].map(ManuallyDrop::new);
    let (own, peer) = (pid(0), pid(1));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let other = listener.accept().unwrap().0;
    let (first, second) = Secret::from_bytes([1; 32]).seals(own, peer, true);
    let link = others.handle_connected(own, other.into(), Some(second));
    let sender = Sender::<u32>::on(link);
    let receiver = Receiver::<u32>::on(links.handle_connected(peer, one.into(), Some(first)));
    for value in 0..1000 {
        sender.send(value).unwrap();
    }
    sender.flush().unwrap();
    // Its kernel still has it for open, as where something on the way has reset only the other end.
    tell(&monitor, &Notice::Broken { peer }, &[]);
    for value in 0..1000 {
        assert_eq!(receiver.recv(), Ok(value));
    }
    assert_eq!(receiver.recv(), Err(ChannelError::Lost(Lost::Broken)));
}

#[test]
fn what_broke_before_it_was_there_is_lost_also_where_the_other_has_ended_since() {
    let (links, monitor) = end(1 << 30);
    let monitor = ManuallyDrop::new(monitor);
    let peer = pid(1);
    let status = Some(ExitStatus::new(End::Code(0)));
    tell(&monitor, &Notice::Broken { peer }, &[]);
    assert_eq!(asked(&monitor), Request::Connect { peer });
    let receiver = Receiver::<u32>::on(to(&links, peer));
    tell(&monitor, &Notice::Ended { peer, status }, &[]);
    assert_eq!(receiver.recv(), Err(ChannelError::Lost(Lost::Broken)));
}

#[test]
fn whoever_asks_for_the_dead_again_hears_what_broke_before() {
    let (links, monitor) = end(1 << 30);
    let monitor = ManuallyDrop::new(monitor);
    let peer = pid(1);
    let status = Some(ExitStatus::new(End::Code(0)));
    let (one, other) = fd::socketpair_stream().unwrap();
    links.handle_connected(peer, one, None);
    tell(&monitor, &Notice::Broken { peer }, &[]);
    drop(other);
    tell(&monitor, &Notice::Ended { peer, status }, &[]);
    await_some(|| links.by_peer(peer).is_none().then_some(()));
    let link = links.to(peer, || {
        tell(&monitor, &Notice::Ended { peer, status }, &[])
    });
    let receiver = Receiver::<u32>::on(link);
    assert_eq!(receiver.recv(), Err(ChannelError::Lost(Lost::Broken)));
}

/// The connection, which is there: whoever makes a channel asks for nothing.
fn to(links: &Links, peer: Pid) -> Arc<Link> {
    await_some(|| links.by_peer(peer))
}

fn tell(monitor: &OwnedFd, notice: &Notice, beside: &[OwnedFd]) {
    let beside: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
    packet::send(monitor.as_fd(), &notice.encode(), &beside).unwrap();
}

/// What the process asks next.
fn asked(monitor: &OwnedFd) -> Request {
    let mut packet = Vec::new();
    await_some(|| match packet::try_receive(monitor.as_fd(), &mut packet) {
        Ok(beside) => Some(beside.expect("the process is there")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    });
    Request::decode(&packet).unwrap()
}

fn await_some<T>(mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "it comes in time");
        thread::yield_now();
    }
}

fn pid(number: u32) -> Pid {
    Pid::new(Job::from_bits(1), number)
}
