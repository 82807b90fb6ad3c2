//! Bytes that no member would send, at every stage.

use crate::{
    master::{DATA, Master, assert_alive, dial, member, name},
    rogue,
};
use deploy_trust::{
    endpoint::Connector,
    join::join,
    limits::{MESSAGE_BYTES_MAX, UNKNOWN_MESSAGE_BYTES_MAX},
    subject::Role,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

#[test]
fn a_stranger_that_says_too_much_or_nonsense_is_dropped() {
    let master = Master::start();
    let limit = usize::try_from(UNKNOWN_MESSAGE_BYTES_MAX).unwrap();
    for message in [&b""[..], b"x", &[1; 300], &vec![1; limit]] {
        let mut stranger = greeted(master.address);
        stranger.write_message(message).unwrap();
        assert!(stranger.is_ended(), "{} bytes", message.len());
    }
    let mut stranger = greeted(master.address);
    stranger.write(UNKNOWN_MESSAGE_BYTES_MAX + 1, b"").unwrap();
    assert!(stranger.is_ended());
    // Before the greeting there is no time for more than a greeting.
    let mut stranger = rogue::dial(master.address, &["fabric/1"], None);
    stranger.read_message().unwrap();
    stranger.write(u32::MAX, b"").unwrap();
    assert!(stranger.is_ended());
    assert_alive(&master);
}

#[test]
fn a_members_message_beyond_the_limit_ends_its_session() {
    let master = Master::start();
    let mut client = dial(&master, &member(&master, Role::Node, "n1")).unwrap();
    let too_long = vec![0; usize::try_from(MESSAGE_BYTES_MAX).unwrap() + 1];
    let error = client
        .send(too_long, Instant::now())
        .unwrap_err()
        .to_string();
    assert!(error.contains("67108864"), "{error}");
    assert_alive(&master);
}

#[test]
fn handshakes_that_are_cut_anywhere_leave_nothing() {
    let master = Master::start();
    let flight = first_flight(&master);
    for len in (0..flight.len()).step_by(7).chain([flight.len()]) {
        let mut stream = TcpStream::connect(master.address).unwrap();
        stream.write_all(&flight[..len]).unwrap();
        if len % 2 == 0 {
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    assert_alive(&master);
}

/// A joiner's bytes pass through a hand that changes one of them, at any place of either direction.
#[test]
fn a_byte_that_is_changed_on_the_way_does_no_harm() {
    let master = Master::start();
    let seed = crate::master::random() as u64;
    println!("seed: {seed}");
    let mut refused = 0;
    for round in 0..60u64 {
        let draw = seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (at, bit) = ((draw >> 33) as usize % 700, 1 << (draw >> 60 & 7));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut token = master.token(Role::Node, false);
        token.address = listener.local_addr().unwrap().to_string();
        let to = master.address;
        let relay = std::thread::spawn(move || relay(&listener, to, at, bit, round % 2 == 0));
        let joined = join(&token, &name("n1"), Duration::from_secs(2));
        relay.join().unwrap();
        let Ok(mut identity) = joined else {
            refused += 1;
            continue;
        };
        // The byte did not count, or was beyond the last. Then it is a member like any other.
        identity.address = to.to_string();
        assert!(dial(&master, &identity).is_ok());
    }
    println!("{refused} of 60 ended");
    assert!(refused > 20);
    assert_alive(&master);
}

#[test]
fn first_bytes_are_anything() {
    let master = Master::start();
    let flight = first_flight(&master);
    let seed = crate::master::random() as u64;
    println!("seed: {seed}");
    let mut draw = seed | 1;
    for round in 0..2_000 {
        let mut bytes = flight.clone();
        for _ in 0..=round % 8 {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            let at = draw as usize % bytes.len();
            bytes[at] = (draw >> 32) as u8;
        }
        bytes[0] = 0x16;
        bytes.truncate(1 + draw as usize % bytes.len());
        let mut stream = TcpStream::connect(master.address).unwrap();
        let _ = stream.write_all(&bytes);
        if round % 16 == 0 {
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    assert_alive(&master);
}

#[test]
fn data_connections_are_handed_over_with_their_hello_and_no_more() {
    let master = Master::start();
    let mut hello = vec![DATA.first_byte; DATA.len];
    hello.extend_from_slice(b"behind");
    let mut stream = TcpStream::connect(master.address).unwrap();
    for part in hello.chunks(5) {
        stream.write_all(part).unwrap();
    }
    let mut answer = vec![0; DATA.len];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, hello[..DATA.len]);
}

/// A stranger that has exchanged greetings.
fn greeted(
    address: SocketAddr,
) -> rogue::Rogue<rustls::StreamOwned<rustls::ClientConnection, TcpStream>> {
    let mut stranger = rogue::dial(address, &["fabric/1"], None);
    let greeting = stranger.read_message().unwrap();
    stranger.write_message(&greeting).unwrap();
    stranger
}

/// What a joiner says before it has heard anything.
fn first_flight(master: &Master) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let token = master.token(Role::Node, false);
    let connector = Connector::stranger(&token).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = mio::net::TcpStream::from_std(stream);
    let mut session = connector.connect(stream, Instant::now()).unwrap();
    session.handle_ready().unwrap();
    drop(session);
    let mut flight = Vec::new();
    let mut accepted = listener.accept().unwrap().0;
    accepted.read_to_end(&mut flight).unwrap();
    assert!(flight.len() > 100);
    flight
}

/// Carries bytes between a joiner and the master, and changes one, of what the joiner says or of what it hears.
fn relay(listener: &TcpListener, to: SocketAddr, at: usize, bit: u8, of_joiner: bool) {
    let joiner = listener.accept().unwrap().0;
    let master = TcpStream::connect(to).unwrap();
    let (from_joiner, to_master) = (joiner.try_clone().unwrap(), master.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        carry(from_joiner, to_master, of_joiner.then_some((at, bit)));
    });
    carry(master, joiner, (!of_joiner).then_some((at, bit)));
    up.join().unwrap();
}

fn carry(mut from: TcpStream, mut to: TcpStream, change: Option<(usize, u8)>) {
    let (mut buffer, mut carried) = ([0; 4096], 0);
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if let Some((at, bit)) = change
            && (carried..carried + len).contains(&at)
        {
            buffer[at - carried] ^= bit;
        }
        carried += len;
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
