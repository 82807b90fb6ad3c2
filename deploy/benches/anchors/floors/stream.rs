//! Messages one way over AF_UNIX or TCP, until the receiver has said how many they were. A message is its length in four bytes,
//! and its bytes; the receiver finds where each begins, and keeps none. Or they are values, as a channel's are: the sender
//! makes each as a copy of the last, and the receiver has each in memory of its own.

use crate::{buffer::Buffer, samples::STREAM};
use deploy_sys::stream;
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::fd::AsFd,
    os::unix::net::UnixStream,
    process::Child,
    time::Instant,
};

/// Messages a second, of so many bytes each, in writes of about so many.
pub fn measure(over: &str, bytes: usize, batch_bytes: usize) -> f64 {
    let (child, mut socket) = super::peer(over, &["stream"]);
    let message_bytes = LENGTH_BYTES + bytes;
    let messages_per_write = (batch_bytes / message_bytes).max(1);
    let mut batch = Buffer::new(messages_per_write * message_bytes);
    let length = u32::try_from(bytes).expect("a message is shorter than 4 GiB");
    for message in batch.chunks_mut(message_bytes) {
        message[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }
    // So that the clock is not looked at more often than it is worth.
    let writes_per_look = (CLOCK_BYTES / batch.len()).max(1);
    socket.read_exact(&mut [0]).expect("the peer is ready");
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < STREAM {
        for _ in 0..writes_per_look {
            socket.write_all(&batch).expect("the peer reads");
            sent += messages_per_write as u64;
        }
    }
    finish(child, socket, sent, start)
}

/// Values a second, of so many bytes each.
pub fn measure_values(over: &str, bytes: usize) -> f64 {
    let (child, mut socket) = super::peer(over, &["stream-values", &bytes.to_string()]);
    let length = u32::try_from(bytes).expect("a message is shorter than 4 GiB");
    socket.read_exact(&mut [0]).expect("the peer is ready");
    let start = Instant::now();
    let mut value = vec![7_u8; bytes];
    let mut sent = 0;
    while start.elapsed() < STREAM {
        let next = value.clone();
        let written = socket
            .write_all(&length.to_le_bytes())
            .and_then(|()| socket.write_all(&value));
        written.expect("the peer reads");
        value = next;
        sent += 1;
    }
    finish(child, socket, sent, start)
}

/// Hears that all arrived: messages a second.
fn finish(mut child: Child, mut socket: UnixStream, sent: u64, start: Instant) -> f64 {
    socket.shutdown(Shutdown::Write).expect("it is connected");
    let mut count = [0; 8];
    socket.read_exact(&mut count).expect("the peer counts");
    let took = start.elapsed();
    assert_eq!(u64::from_le_bytes(count), sent, "every message arrived");
    child.wait().expect("the peer is our child");
    sent as f64 / took.as_secs_f64()
}

/// Counts the messages.
pub fn answer() {
    let mut socket = super::inherited();
    socket.write_all(&[1]).expect("the peer waits for us");
    let mut buffer = Buffer::new(READ_BYTES);
    let (mut held, mut skip, mut count) = (0, 0, 0_u64);
    loop {
        let read = socket
            .read(&mut buffer[held..])
            .expect("a socket can be read");
        if read == 0 {
            break;
        }
        let end = held + read;
        // `at` is where the next message begins, unless the last one goes on beyond what is here.
        let mut at = skip;
        while at + LENGTH_BYTES <= end {
            let length = buffer[at..at + LENGTH_BYTES].try_into();
            let length = u32::from_le_bytes(length.expect("four bytes are four bytes"));
            at += LENGTH_BYTES + length as usize;
            count += 1;
        }
        skip = at.saturating_sub(end);
        held = end.saturating_sub(at);
        buffer.copy_within(at.min(end)..end, 0);
    }
    socket
        .write_all(&count.to_le_bytes())
        .expect("the peer waits for the count");
}

/// Has each value of so many bytes for itself, and counts them.
pub fn answer_values(bytes: usize) {
    let mut socket = super::inherited();
    socket.write_all(&[1]).expect("the peer waits for us");
    let mut count = 0_u64;
    while socket.read_exact(&mut [0; LENGTH_BYTES]).is_ok() {
        let mut value = Vec::with_capacity(bytes);
        while value.len() < bytes {
            let missing = bytes - value.len();
            match stream::read_onto(socket.as_fd(), &mut value, missing) {
                Ok(read) => assert_ne!(read, 0, "a value follows its length"),
                Err(_) => stream::wait(socket.as_fd(), false, None),
            }
        }
        count += 1;
    }
    socket
        .write_all(&count.to_le_bytes())
        .expect("the peer waits for the count");
}

const LENGTH_BYTES: usize = 4;

const READ_BYTES: usize = 256 << 10;

const CLOCK_BYTES: usize = 64 << 10;
