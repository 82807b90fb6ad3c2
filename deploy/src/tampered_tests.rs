//! An encrypted connection with somebody in the middle who changes, drops, repeats, moves or cuts what passes: what
//! comes is right, and then comes an end in words. Real sockets and threads, and no monitor but what is said here.
//!
//! Deliberately absent: somebody who holds bytes back for ever. That is a network that is slow.

use crate::{
    channel_tests::end,
    error::{ChannelError, Lost},
    link::{Link, Look},
    links::Links,
    receiver::Receiver,
    sender::Sender,
};
use deploy_wire::{
    pid::{Job, Pid},
    secret::Secret,
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// What is done to a record.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// One bit of it is turned, anywhere but where it would promise more than the other end's window lets come.
    Flip,
    Drop,
    Repeat,
    /// The next one comes before it.
    Move,
    /// Some of its bytes are left out.
    Shorten,
    /// Nothing comes behind the middle of it.
    Cut,
}

#[test]
fn whatever_is_done_to_a_record_what_comes_is_right_and_the_end_has_words() {
    let faults = [
        Fault::Flip,
        Fault::Drop,
        Fault::Repeat,
        Fault::Move,
        Fault::Shorten,
        Fault::Cut,
    ];
    let ((left, left_monitor), (right, right_monitor)) = (end(1 << 30), end(1 << 30));
    // A process whose monitor is gone aborts; the reactors here live on when a test is over.
    std::mem::forget([left_monitor, right_monitor]);
    let mut number = 0;
    for fault in faults {
        // The first record, one of those with small values, some of a long one.
        for index in [0, 1, 3, 4, 5, 7, 11, 30] {
            number += 1;
            let ends = connect(&left, &right, number, Tamper { fault, index });
            check(ends, fault, index);
        }
    }
}

/// Somebody who cannot prove anything says at once what a peer would say after the proof, as if nobody asked for one.
#[test]
fn what_comes_before_the_proof_is_no_value() {
    let (ours, our_monitor) = end(1 << 30);
    let (peer, peer_monitor) = end(1 << 30);
    std::mem::forget([our_monitor, peer_monitor]);
    let pid = |number| Pid::new(Job::from_bits(1), number);
    for (number, is_dialler) in [(1, true), (2, false)] {
        let (open, said) = tcp_pair();
        let link = peer.handle_connected(pid(number), open.into(), None);
        Sender::<u64>::on(link).send(7).unwrap();
        let (plain, believed) = tcp_pair();
        let link = ours.handle_connected(pid(number + 2), plain.into(), None);
        let (came, mut frames) = thread::scope(|scope| {
            let handed_on = scope.spawn(|| hand_on(&said, &believed).unwrap());
            let came = Receiver::<u64>::on(link).recv();
            said.shutdown(Shutdown::Read).unwrap();
            (came, handed_on.join().unwrap())
        });
        assert_eq!(came, Ok(7), "who is asked for no proof is heard");

        frames.resize(frames.len() + 200, 0); // Longer than any greeting.
        let (sealed, mut stranger) = tcp_pair();
        let (seal, other) = Secret::from_bytes([1; 32]).seals(pid(0), pid(number), true);
        let seal = if is_dialler { seal } else { other };
        let link = ours.handle_connected(pid(number), sealed.into(), Some(seal));
        let (sender, receiver) = (Sender::<u64>::on(link.clone()), Receiver::<u64>::on(link));
        stranger.write_all(&frames).unwrap();
        for error in [receiver.recv().unwrap_err(), sender.send(8).unwrap_err()] {
            let is_refused = matches!(error, ChannelError::Lost(Lost::Protocol(_)));
            assert!(is_refused, "{error:?}");
        }
    }
}

/// Hands on what comes until its end, and returns it.
fn hand_on(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<Vec<u8>> {
    let (mut frames, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match from.read(&mut part)? {
            0 => return Ok(frames),
            count => {
                to.write_all(&part[..count])?;
                frames.extend(&part[..count]);
            }
        }
    }
}

struct Tamper {
    fault: Fault,
    index: usize,
}

/// The two ends, of which the first one's bytes pass somebody who does that to one record.
fn connect(left: &Links, right: &Links, number: u32, tamper: Tamper) -> [Arc<Link>; 2] {
    let pid = |number| Pid::new(Job::from_bits(1), number);
    let (seal, other_seal) = Secret::from_bytes([1; 32]).seals(pid(0), pid(1), true);
    let (one, there) = tcp_pair();
    let (other, back) = tcp_pair();
    let (there_too, back_too) = (there.try_clone().unwrap(), back.try_clone().unwrap());
    // Half of the connections are dialled from the other end.
    let (seal, other_seal, greeting) = match number % 2 {
        0 => (seal, other_seal, INITIATOR_BYTES),
        _ => (other_seal, seal, RESPONDER_BYTES),
    };
    thread::spawn(move || {
        let _ = pass(&there, &back, greeting, &tamper);
        let _ = (
            there.shutdown(Shutdown::Both),
            back.shutdown(Shutdown::Both),
        );
    });
    thread::spawn(move || {
        let _ = io::copy(&mut &back_too, &mut &there_too);
        let _ = there_too.shutdown(Shutdown::Both);
    });
    [
        left.handle_connected(pid(number), one.into(), Some(seal)),
        right.handle_connected(pid(number), other.into(), Some(other_seal)),
    ]
}

/// Hands on the handshake and then record after record, as long as both ends take part.
fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    greeting: &[usize],
    tamper: &Tamper,
) -> io::Result<()> {
    for length in greeting {
        let mut bytes = vec![0; *length];
        from.read_exact(&mut bytes)?;
        to.write_all(&bytes)?;
    }
    for index in 0.. {
        let record = read_record(from)?;
        if index != tamper.index {
            to.write_all(&record)?;
            continue;
        }
        let middle = record.len() / 2;
        match tamper.fault {
            Fault::Flip => {
                // Byte 2 of the length is left alone.
                let at = [0, 1, 3, 4, middle, record.len() - 1][index % 6];
                let mut record = record;
                record[at] ^= 1 << (index % 8);
                to.write_all(&record)?;
            }
            Fault::Drop => {}
            Fault::Repeat => to.write_all(&[&record[..], &record[..]].concat())?,
            Fault::Move => to.write_all(&[read_record(from)?, record].concat())?,
            Fault::Shorten => to.write_all(&[&record[..middle], &record[middle + 5..]].concat())?,
            Fault::Cut => return to.write_all(&record[..middle]),
        }
    }
    Ok(())
}

fn read_record(mut from: &TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut rest = vec![0; u32::from_le_bytes(length) as usize + 16];
    from.read_exact(&mut rest)?;
    Ok([&length[..], &rest].concat())
}

/// Both ends send and receive, until they cannot.
fn check([left, right]: [Arc<Link>; 2], fault: Fault, index: usize) {
    let workers = [&left, &right].map(|link| {
        let (sender, receiver) = (Sender::on(link.clone()), Receiver::on(link.clone()));
        let sending = thread::spawn(move || send_until_the_end(&sender));
        (
            sending,
            thread::spawn(move || receive_until_the_end(&receiver)),
        )
    });
    for link in [&left, &right] {
        let deadline = Instant::now() + TIME_MAX;
        let ended = || Look::of(link.has_ended().then_some(()));
        let found = link.wait_until(Some(deadline), None, ended);
        assert!(found.is_some(), "{fault:?} {index}: no end");
        link.handle_severed(); // What the monitor says, where bytes end and the peer lives.
    }
    for (end, (sending, receiving)) in workers.into_iter().enumerate() {
        for error in [sending.join().unwrap(), receiving.join().unwrap()] {
            let right = match (&error, fault, end) {
                // It finds out by itself.
                (ChannelError::Lost(Lost::Protocol(why)), ..) => end == 1 && !why.is_empty(),
                (ChannelError::Lost(Lost::Broken), fault, _) => {
                    end == 0 || matches!(fault, Fault::Cut)
                }
                _ => false,
            };
            assert!(right, "{fault:?} {index}, end {end}: {error:?}");
        }
    }
}

fn send_until_the_end(sender: &Sender<Vec<u8>>) -> ChannelError {
    (0..)
        .find_map(|number| sender.send(value(number)).err())
        .expect("it ends")
}

fn receive_until_the_end(receiver: &Receiver<Vec<u8>>) -> ChannelError {
    for number in 0.. {
        match receiver.recv() {
            Ok(found) => assert!(found == value(number), "the value {number} is wrong"),
            Err(error) => return error,
        }
    }
    unreachable!("it ends before the numbers do")
}

/// The n-th value: some share a frame, some are longer than a record.
fn value(number: usize) -> Vec<u8> {
    vec![number as u8; [10, 1000, 12_000, 300_000][number % 4]]
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let other = listener.accept().unwrap().0;
    (one, other)
}

/// What either end says before the first record: a message with a key and a proof, and the initiator one more proof.
const RESPONDER_BYTES: &[usize] = &[65];
const INITIATOR_BYTES: &[usize] = &[65, 32];

const TIME_MAX: Duration = Duration::from_secs(60);
