//! A peer of the same job that writes what it likes into the memory that both have: the connection is lost with a word, and
//! what was handed over before is what was sent, once.
//!
//! Deliberately absent: the ring by itself, with every count there is (`tests/fuzz`).

use crate::{
    channel_tests::{end_with, in_time},
    error::{ChannelError, Lost},
    links::Links,
    receiver::Receiver,
    sender::Sender,
    share::{RING_BYTES, Sharing},
};
use deploy_sys::{fd, ring, stream};
use deploy_wire::{
    frame::{Kind, Memory},
    inbound::Inbound,
    outbound::Outbound,
    pid::{Job, Pid},
};
use std::{
    any::type_name,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::*},
    },
    thread,
    time::{Duration, Instant},
};

/// The other end of a connection, in both of whose rings it may write.
struct Liar {
    socket: OwnedFd,
    out: Outbound,
    /// The ring that it writes, and how much it wrote; whoever reads it may sleep there.
    writes: File,
    tail: u64,
    sleeper: ring::Writer,
    /// The ring that it should only read.
    reads: File,
    _reader: ring::Reader,
}

impl Liar {
    /// One that is connected to our process as that of this number, and has both rings.
    fn meet(links: &Links, number: u32) -> Liar {
        let (ours, socket) = fd::socketpair_stream().unwrap();
        links.handle_connected(pid(number), ours, None);
        let (mut out, mut inbound) = (Outbound::new(), Inbound::new());
        let (given, reader) = ring::make(RING_BYTES).unwrap();
        out.queue_memory(Memory::Asked);
        say(&socket, &mut out, None);
        let (mut writes, mut is_given, mut is_entered) = (None, false, false);
        while !is_entered {
            stream::wait(socket.as_fd(), false, None);
            let (count, descriptor) = stream::read_beside(socket.as_fd(), inbound.space()).unwrap();
            assert!(count > 0, "it goes on");
            inbound.handle_read(count).unwrap();
            writes = descriptor.map(File::from).or(writes);
            while let Some(word) = inbound.take_memory() {
                is_entered |= word == Memory::Entered;
                if word == Memory::Asked && !is_given {
                    is_given = true;
                    out.queue_memory(Memory::Given);
                    say(&socket, &mut out, Some(&given));
                }
            }
        }
        out.queue_memory(Memory::Entered);
        say(&socket, &mut out, None);
        let writes = writes.expect("it was given one");
        let sleeper = ring::Writer::map(writes.as_fd(), RING_BYTES).unwrap();
        Liar {
            socket,
            out,
            writes,
            tail: 0,
            sleeper,
            reads: File::from(given),
            _reader: reader,
        }
    }

    /// Writes what is queued into the ring, as it should.
    fn write(&mut self) {
        let bytes = self.out.poll_transmit(0, 1 << 20).to_vec();
        self.out.handle_written(bytes.len(), &[]);
        self.put(&bytes);
    }

    /// The same, but that it is there in parts.
    fn write_by_bits(&mut self) {
        let before = self.tail;
        let bytes = self.out.poll_transmit(0, 1 << 20).to_vec();
        self.out.handle_written(bytes.len(), &[]);
        self.writes.write_all_at(&bytes, BYTES_AT + before).unwrap();
        for part in bytes.chunks(7) {
            self.tail += part.len() as u64;
            self.set_tail(self.tail);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let at = self.tail as usize % RING_BYTES;
        let (now, later) = bytes.split_at(bytes.len().min(RING_BYTES - at));
        self.writes.write_all_at(now, BYTES_AT + at as u64).unwrap();
        self.writes.write_all_at(later, BYTES_AT).unwrap();
        self.tail += bytes.len() as u64;
        self.set_tail(self.tail);
    }

    fn set_tail(&self, tail: u64) {
        set(&self.writes, TAIL_AT, tail);
        self.wake();
    }

    fn set_head(&self, head: u64) {
        set(&self.reads, HEAD_AT, head);
        self.wake();
    }

    fn wake(&self) {
        self.sleeper.wake();
        let _ = stream::ring_bell(self.socket.as_fd());
    }
}

fn say(socket: &OwnedFd, out: &mut Outbound, beside: Option<&OwnedFd>) {
    let bytes = out.poll_transmit(0, 1 << 20).to_vec();
    out.handle_written(bytes.len(), &[]);
    let written = match beside {
        Some(file) => stream::write_beside(socket.as_fd(), &bytes, &[], file.as_fd()),
        None => stream::write(socket.as_fd(), &bytes, &[]),
    };
    assert_eq!(written.unwrap(), bytes.len());
}

fn set(ring: &File, at: u64, count: u64) {
    ring.write_all_at(&count.to_ne_bytes(), at).unwrap();
}

fn pid(number: u32) -> Pid {
    Pid::new(Job::from_bits(1), number)
}

fn ours() -> Arc<Links> {
    let (links, monitor) = end_with(1 << 30, Sharing::AtOnce);
    // A process whose monitor is gone aborts; the reactor here lives on when a test is over.
    std::mem::forget(monitor);
    links
}

fn is_protocol<T>(result: Result<T, ChannelError>) -> bool {
    matches!(result, Err(ChannelError::Lost(Lost::Protocol(_))))
}

#[test]
fn who_lies_about_what_it_wrote_is_found_out() {
    let links = ours();
    let lies: &[fn(&mut Liar)] = &[
        |liar| liar.set_tail(liar.tail + RING_BYTES as u64 + 1),
        |liar| liar.set_tail(u64::MAX),
        |liar| liar.set_tail(0),
        |liar| liar.set_tail(liar.tail - 1),
        |liar| liar.put(&[255; 100]),
        |liar| liar.set_tail(liar.tail + RING_BYTES as u64), // Nothing was written there.
    ];
    for (number, lie) in (1..).zip(lies) {
        let mut liar = Liar::meet(&links, number);
        let link = links.to(pid(number), || {});
        let receiver = Receiver::<u64>::on(link.clone());
        liar.out.queue_open(type_name::<u64>());
        liar.out.queue_record(&7u64.to_le_bytes());
        liar.write();
        let receiver = in_time(move || {
            assert_eq!(receiver.recv(), Ok(7));
            receiver
        });
        lie(&mut liar);
        assert!(is_protocol(in_time(move || receiver.recv())), "{number}");
        let sender = Sender::<u64>::on(link);
        assert!(is_protocol(in_time(move || sender.send(1))), "{number}");
    }
}

#[test]
fn who_lies_about_what_it_read_is_found_out() {
    let links = ours();
    let (mut number, most) = (0, RING_BYTES as u64);
    for lie in [most + 1, u64::MAX, 1 << 63, u64::MAX - most] {
        for length in [8, 10 << 20] {
            number += 1;
            let liar = Liar::meet(&links, number);
            let sender = Sender::<Vec<u8>>::on(links.to(pid(number), || {}));
            let sent =
                thread::spawn(move || (0..).find_map(|_| sender.send(vec![1; length]).err()));
            while count(&liar.reads, WRITER_SLEEPS_AT) as u32 == 0 {
                thread::yield_now();
            }
            liar.set_head(lie);
            let error = in_time(move || sent.join().unwrap()).expect("it ends");
            assert!(is_protocol::<()>(Err(error)), "{number}");
        }
    }
}

/// Both counts change all the time. What comes is right as long as anything does.
#[test]
fn counts_that_change_while_they_are_read_have_nothing_come_twice() {
    let links = ours();
    for number in 1..=20 {
        let mut liar = Liar::meet(&links, number);
        let link = links.to(pid(number), || {});
        let receiver = Receiver::<u64>::on(link.clone());
        let sender = Sender::<u64>::on(link.clone());
        let sent = thread::spawn(move || (0..).find_map(|value| sender.send(value).err()));
        let came = thread::spawn(move || {
            for expected in 0.. {
                match receiver.recv() {
                    Ok(value) => assert_eq!(value, expected),
                    Err(_) => return,
                }
            }
        });
        liar.out.queue_open(type_name::<u64>());
        for value in 0..500u64 {
            liar.out.queue_record(&value.to_le_bytes());
            liar.write_by_bits();
            liar.set_head(count(&liar.reads, TAIL_AT));
        }
        // And then to what is not.
        for value in 0..100 {
            liar.set_head(value * u64::from(number));
            liar.set_tail(liar.tail - value % 7);
            liar.set_tail(liar.tail);
        }
        liar.set_tail(u64::MAX);
        in_time(move || (sent.join().unwrap(), came.join().unwrap()));
        assert!(link.has_ended());
    }
}

/// Words that mean nothing, without end, and bells: a peer may keep our reactor busy, and not from everybody else.
#[test]
fn who_never_stops_holds_up_no_other_connection() {
    let links = ours();
    let mut liar = Liar::meet(&links, 1);
    let mut other = Liar::meet(&links, 2);
    let flooded = links.to(pid(1), || {});
    let flooding = Arc::new(AtomicBool::new(true));
    let stop = flooding.clone();
    let flood = thread::spawn(move || {
        liar.out.queue_ping();
        let word = liar.out.poll_transmit(0, 1 << 20).to_vec();
        while flooding.load(SeqCst) {
            let unread = liar.tail - count(&liar.writes, HEAD_AT);
            let fit = (RING_BYTES - unread as usize) / word.len();
            liar.put(&word.repeat(fit));
        }
    });
    for round in 0..20u64 {
        other.out.queue_open(type_name::<u64>());
        other.out.queue_record(&round.to_le_bytes());
        other.out.queue_end(Kind::Fin);
        let before = count(&other.reads, TAIL_AT);
        other.write();
        // The acknowledgement, which nobody but the reactor sends here.
        let deadline = Instant::now() + Duration::from_secs(10);
        while count(&other.reads, TAIL_AT) == before {
            assert!(Instant::now() < deadline, "round {round}: nobody hears it");
            thread::yield_now();
        }
    }
    assert!(!flooded.has_ended(), "it has gone on until now");
    stop.store(false, SeqCst);
    flood.join().unwrap();
}

fn count(ring: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    ring.read_exact_at(&mut bytes, at).unwrap();
    u64::from_ne_bytes(bytes)
}

/// Where what lies in the memory: as the head of `deploy_sys::ring` says.
const TAIL_AT: u64 = 0;
const HEAD_AT: u64 = 128;
const WRITER_SLEEPS_AT: u64 = 384;
const BYTES_AT: u64 = 4096;
