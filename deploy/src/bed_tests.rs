//! A receiver that sleeps beside the ring, where the socket does not wake it: it hears of every end all the same, and of every
//! value. Real sockets, memory, threads and reactors, no monitor.

use crate::{
    channel_tests::{end_with, in_time},
    error::{ChannelError, ExitStatus, Lost},
    link::Link,
    receiver::Receiver,
    sender::Sender,
    share::Sharing,
};
use deploy_sys::{fd, threads};
use deploy_wire::{
    exit::End,
    pid::{Job, Pid},
};
use std::{
    fs, mem,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

const KILLED: ExitStatus = ExitStatus::new(End::Signal(9));

#[test]
fn who_sleeps_beside_the_ring_hears_that_the_peer_has_ended() {
    let sleeper = Sleeper::in_bed();
    sleeper.peer.shut_down();
    sleeper.own.handle_fate(Some(KILLED));
    assert_eq!(sleeper.found(), ChannelError::Exited(KILLED));
}

#[test]
fn who_sleeps_beside_the_ring_hears_that_the_network_is_cut() {
    let sleeper = Sleeper::in_bed();
    sleeper.own.handle_cut();
    assert_eq!(sleeper.found(), ChannelError::Lost(Lost::Cut));
}

/// The kernel then tells nobody of that number, not even that it is none any more.
#[test]
fn who_sleeps_beside_the_ring_hears_that_its_own_program_closed_the_socket() {
    let sleeper = Sleeper::in_bed();
    let socket = sleeper.own.socket().unwrap();
    sleeper.own.hub.poller.remove(socket).unwrap();
    sleeper.peer.shut_down();
    sleeper.own.handle_broken(); // The peer found the end, and the monitor says so.
    assert_eq!(sleeper.found(), ChannelError::Lost(Lost::Broken));
}

/// The reactor knows it no more, and would pass over the end of its socket.
#[test]
fn who_sleeps_beside_the_ring_hears_that_an_ended_connection_is_let_go() {
    let sleeper = Sleeper::in_bed();
    sleeper.own.handle_lost(Lost::Broken);
    sleeper.own.let_go();
    assert_eq!(sleeper.found(), ChannelError::Lost(Lost::Broken));
}

#[test]
fn who_sleeps_beside_the_ring_is_woken_for_every_value() {
    let sleeper = Sleeper::in_bed();
    for value in 0..2000 {
        sleeper.send(value);
        sleeper.await_bed();
    }
    sleeper.peer.shut_down();
    sleeper.own.handle_fate(Some(KILLED));
    assert_eq!(sleeper.found(), ChannelError::Exited(KILLED));
}

/// A thread that receives, and both ends of its connection.
struct Sleeper {
    own: Arc<Link>,
    peer: Arc<Link>,
    sender: Sender<u32>,
    came: mpsc::Receiver<u32>,
    thread: u32,
    receiving: JoinHandle<ChannelError>,
}

impl Sleeper {
    /// Once it sleeps beside the ring.
    fn in_bed() -> Sleeper {
        let [(links, monitor), (peers, peers_monitor)] =
            [(); 2].map(|()| end_with(1 << 30, Sharing::AtOnce));
        mem::forget([monitor, peers_monitor]); // A process whose monitor is gone aborts.
        let (one, other) = fd::socketpair_stream().unwrap();
        let pid = |number| Pid::new(Job::from_bits(1), number);
        let own = links.handle_connected(pid(1), one, None);
        let peer = peers.handle_connected(pid(0), other, None);
        let receiver = Receiver::on(own.clone());
        let (tell, told) = mpsc::channel();
        let (forward, came) = mpsc::channel();
        let receiving = thread::spawn(move || {
            tell.send(threads::own()).unwrap();
            loop {
                match receiver.recv() {
                    Ok(value) => forward.send(value).unwrap(),
                    Err(error) => return error,
                }
            }
        });
        let sleeper = Sleeper {
            own,
            sender: Sender::on(peer.clone()),
            peer,
            came,
            thread: told.recv().unwrap(),
            receiving,
        };
        while !sleeper.is_in_bed() {
            sleeper.send(0); // It goes over to the ring, and the reactor finds that within a tick.
            sleeper.await_sleep();
        }
        sleeper
    }

    /// The value, all the way.
    fn send(&self, value: u32) {
        self.sender.send(value).unwrap();
        assert_eq!(self.came.recv().unwrap(), value);
    }

    fn await_bed(&self) {
        while !self.is_in_bed() {
            thread::yield_now();
        }
    }

    /// Until the thread sleeps, wherever that is.
    fn await_sleep(&self) {
        while !self.own.turn.has_owner() || self.call().starts_with("running") {
            thread::yield_now();
        }
    }

    /// Whether it sleeps for a word of memory that other processes have too: locks are private.
    fn is_in_bed(&self) -> bool {
        let call = self.call();
        let mut words = call.split(' ');
        let futex = libc::SYS_futex.to_string();
        words.next() == Some(&futex) && words.nth(1) == Some("0x0") && self.own.turn.has_owner()
    }

    fn call(&self) -> String {
        fs::read_to_string(format!("/proc/self/task/{}/syscall", self.thread)).unwrap()
    }

    /// What the receiver found at last.
    fn found(self) -> ChannelError {
        in_time(move || self.receiving.join().unwrap())
    }
}
