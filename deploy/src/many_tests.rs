//! Many connections of one process at once, each to a peer that this test plays: with the machines of `wire` and a
//! socket, and without a process.
//!
//! Deliberately absent: what many real processes do (`tests/programs`).

use crate::{
    channel_tests::end, error::ExitStatus, link::Link, links::Links, receiver::Receiver,
    sender::Sender,
};
use deploy_sys::{fd, packet, process, stream};
use deploy_wire::{
    control::Notice,
    exit::End,
    inbound::{Inbound, Taken, WINDOW_UNITS_MIN},
    outbound::{Outbound, record_units},
    pid::{Job, Pid},
};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// The other side of a connection.
struct Peer {
    socket: OwnedFd,
    out: Outbound,
    inbound: Inbound,
}

impl Peer {
    /// Connected to `links` as the process with this number, and about to send values of type `type_name`.
    fn connect(links: &Links, number: u32, type_name: &str) -> (Peer, Arc<Link>) {
        let (ours, theirs) = fd::socketpair_stream().unwrap();
        let mut out = Outbound::new();
        out.queue_open(type_name);
        let (socket, inbound) = (fd::raise(ours).unwrap(), Inbound::new());
        let link = links.handle_connected(
            Pid::new(Job::from_bits(1), number),
            fd::raise(theirs).unwrap(),
            None,
        );
        let peer = Peer {
            socket,
            out,
            inbound,
        };
        (peer, link)
    }

    /// Writes and reads what the socket takes and holds.
    fn step(&mut self) {
        let (arrived, granted) = (self.inbound.arrived(), self.inbound.granted());
        if self.out.pending() > 0 || self.inbound.ack_is_due() {
            self.out.queue_ack();
            let bytes = self.out.poll_transmit(arrived, granted);
            let written = stream::write(self.socket.as_fd(), bytes, &[]).unwrap_or(0);
            self.out.handle_written(written, &[]);
            let (arrived, limit) = self.out.told();
            self.inbound.handle_told(arrived, limit);
        }
        while let Ok(count @ 1..) = stream::read(self.socket.as_fd(), self.inbound.space()) {
            self.inbound.handle_read(count).unwrap();
        }
    }

    fn send(&mut self, number: u64) {
        self.out.queue_record(&number.to_le_bytes());
        self.step();
    }

    /// Blocks until there is a value.
    fn receive(&mut self) -> u64 {
        loop {
            if let Taken::Record(record) = self.inbound.take(1).unwrap() {
                return u64::from_le_bytes(record.try_into().unwrap());
            }
            stream::wait(self.socket.as_fd(), false, None);
            self.step();
        }
    }

    /// Offers long values until no more are let in.
    fn fill(&mut self) {
        while self.out.sequence() + record_units(VALUE_BYTES) + HEADERS <= self.inbound.limit() {
            self.out.queue_record(&vec![0; VALUE_BYTES]);
            self.step();
        }
        self.step();
    }
}

#[test]
fn two_thousand_connections_at_once() {
    process::raise_descriptor_limit().unwrap();
    let (links, monitor) = end(1 << 30);
    std::mem::forget(monitor); // A process whose monitor is gone aborts.
    let connect = |number| Peer::connect(&links, number, "u64");
    let (mut first, link) = connect(1);
    let (sender, receiver) = (Sender::<u64>::on(link.clone()), Receiver::on(link));
    // Of a process that has nothing but this one.
    let (bare, bare_monitor) = end(1 << 30);
    std::mem::forget(bare_monitor);
    let (mut other, link) = Peer::connect(&bare, 1, "u64");
    let (to_other, from_other) = (Sender::<u64>::on(link.clone()), Receiver::on(link));
    let (mut peers, links): (Vec<_>, Vec<_>) = (2..COUNT + 2).map(connect).unzip();
    let ends: Vec<_> = links
        .into_iter()
        .map(|link| (Sender::<u64>::on(link.clone()), Receiver::<u64>::on(link)))
        .collect();
    for (number, peer) in (0..).zip(&mut peers) {
        peer.send(number);
    }
    for (number, (sender, receiver)) in (0..).zip(&ends) {
        assert_eq!(receiver.recv(), Ok(number));
        sender.send(number + 1).unwrap();
    }
    for (number, peer) in (0..).zip(&mut peers) {
        assert_eq!(peer.receive(), number + 1);
    }
    // In turns, because the machine has now more, now less to do.
    let (mut alone, mut among) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        alone.push(round_trip(number, &mut other, &to_other, &from_other));
        among.push(round_trip(number, &mut first, &sender, &receiver));
    }
    let (alone, among) = (median(alone), median(among));
    eprintln!("a round trip: {among:?} beside {COUNT} idle connections, {alone:?} alone");
    assert!(among < 10 * alone, "{among:?}, and {alone:?} alone");
}

fn round_trip(
    number: u64,
    peer: &mut Peer,
    sender: &Sender<u64>,
    receiver: &Receiver<u64>,
) -> Duration {
    let start = Instant::now();
    sender.send(number).unwrap();
    let back = peer.receive();
    peer.send(back);
    assert_eq!(receiver.recv(), Ok(number));
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn windows_are_bounded_in_sum_and_given_back() {
    const MEM: u64 = 64 << 20;
    const LINKS: u32 = 40;
    let (links, monitor) = end(MEM);
    let left = || links.hub.windows.units_left();
    let before = left();
    // What waits costs up to twice as much.
    assert_eq!(before, MEM as i64 / 4 / 2);
    let type_name = std::any::type_name::<Vec<u8>>();
    let (mut peers, all): (Vec<_>, Vec<_>) = (1..=LINKS)
        .map(|number| Peer::connect(&links, number, type_name))
        .unzip();
    let receivers: Vec<_> = all.iter().cloned().map(Receiver::<Vec<u8>>::on).collect();
    // All keep up for a while, and then nobody receives any more.
    for _ in 0..50 {
        for (peer, receiver) in peers.iter_mut().zip(&receivers) {
            peer.fill();
            while receiver.try_recv().is_ok() {}
            peer.step();
        }
    }
    peers.iter_mut().for_each(Peer::fill);
    let windows: Vec<u64> = all.iter().map(|link| link.rx().inbound.window()).collect();
    let sum: u64 = windows.iter().sum();
    assert_eq!(left(), before - sum as i64);
    assert!(sum <= MEM / 4 / 2, "windows of {sum} units in all");
    assert!(
        windows.iter().max() > Some(&WINDOW_UNITS_MIN),
        "some have grown"
    );
    let granted: u64 = peers.iter().map(|peer| peer.inbound.limit()).sum();
    let taken = |link: &Arc<Link>| {
        let inbound = &link.rx().inbound;
        inbound.granted() - inbound.window()
    };
    let taken: u64 = all.iter().map(taken).sum();
    assert!(granted - taken <= sum, "no more was granted than that");
    // Their processes end, and the windows go with the connections.
    drop((receivers, peers));
    for link in all {
        let ended = Notice::Ended {
            peer: link.peer,
            status: Some(ExitStatus::new(End::Code(0))),
        };
        packet::send(monitor.as_fd(), &ended.encode(), &[]).unwrap();
    }
    await_that(|| links.all().is_empty() && left() == before);
    std::mem::forget(monitor); // A process whose monitor is gone aborts.
}

fn await_that(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it comes in time");
        thread::yield_now();
    }
}

const COUNT: u32 = 2000;

/// A quarter of the smallest window.
const VALUE_BYTES: usize = 16 << 10;

/// More than the headers that go before a value.
const HEADERS: u64 = 128;
