//! What a door does when no descriptor is left. Alone in its program: the limit is the whole process's.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use deploy_trust::door::{Arrival, DataHello, Door};
use mio::{Events, Poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

const DATA: DataHello = DataHello {
    first_byte: b'D',
    len: 4,
};

/// One turn of a loop: waits for at most a second.
fn turn(poll: &mut Poll, events: &mut Events, door: &mut Door) {
    let until = |at: Instant| at.saturating_duration_since(Instant::now());
    let second = Duration::from_secs(1);
    let wait = door.deadline().map_or(second, until).min(second);
    poll.poll(events, Some(wait)).unwrap();
    let now = Instant::now();
    for event in &*events {
        door.handle_ready(event.token(), now);
    }
    door.handle_timeout(now);
}

#[test]
fn without_descriptors_a_door_sheds_rests_and_recovers() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(64);
    let any = "127.0.0.1:0".parse().unwrap();
    let mut door = Door::open(any, poll.registry(), 0, None, Some(DATA)).unwrap();
    let address = door.address().unwrap();
    let mut clients: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let few = clients.last().unwrap().as_raw_fd() as u64 + 11;
    setrlimit(Resource::RLIMIT_NOFILE, few, hard).unwrap();

    let (began, mut turns) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        turn(&mut poll, &mut events, &mut door);
        turns += 1;
    }
    println!("{turns} turns in a second without descriptors");
    assert!(turns < 40, "{turns}");
    // The first were taken in; those that were shed know it.
    let ended = |client: &mut TcpStream| {
        client.set_nonblocking(true).unwrap();
        matches!(client.read(&mut [0]), Ok(0))
    };
    let shed = clients
        .iter_mut()
        .filter_map(|one| ended(one).then_some(()));
    let shed = shed.count();
    println!("{shed} of 60 were told");
    assert!((1..60).contains(&shed));

    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let began = Instant::now();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"Data").unwrap();
    let hello = loop {
        turn(&mut poll, &mut events, &mut door);
        if let Some(Arrival::Data(_, hello)) = door.poll_arrival() {
            break hello;
        }
    };
    println!("recovered after {:?}", began.elapsed());
    assert_eq!(hello, b"Data");
    assert!(began.elapsed() < Duration::from_secs(5));
}
