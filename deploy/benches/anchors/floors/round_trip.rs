//! Bytes to another process and back, over AF_UNIX or TCP.

use crate::{buffer::Buffer, cpu, samples::median_trip_us};
use std::{
    hint,
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

/// Microseconds for a round trip.
pub fn measure(over: &str, how: &str, bytes: usize, one_cpu: bool) -> f64 {
    if one_cpu {
        cpu::pin(0); // The other process inherits it.
    }
    let (mut child, socket) = super::peer(over, &["rtt", how, &bytes.to_string()]);
    if how == "spinning" {
        cpu::pin(0);
    }
    let mut line = Line::new(socket, how);
    let (out, mut back) = (Buffer::new(bytes), Buffer::new(bytes));
    let median = median_trip_us(|| {
        line.send(&out);
        assert!(line.receive(&mut back), "the peer answers");
    });
    drop(line);
    child.wait().expect("the peer is our child");
    median
}

/// Sends everything back.
///
/// Two that spin are kept apart: on a busy machine the kernel puts both on one processor, and then each waits in vain
/// until its time is up.
pub fn answer(how: &str, bytes: usize) {
    if how == "spinning" {
        cpu::pin(1);
    }
    let mut line = Line::new(super::inherited(), how);
    let mut buffer = Buffer::new(bytes);
    while line.receive(&mut buffer) {
        line.send(&buffer);
    }
}

/// A socket that blocks, or one whose owner tries until it is ready.
struct Line(UnixStream);

impl Line {
    fn new(socket: UnixStream, how: &str) -> Line {
        let spins = match how {
            "spinning" => true,
            "blocking" => false,
            _ => panic!("there is no way to wait called {how}"),
        };
        socket
            .set_nonblocking(spins)
            .expect("a socket can be set so");
        Line(socket)
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut written = 0;
        while written < bytes.len() {
            match self.0.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => hint::spin_loop(),
                Err(error) => panic!("the peer is gone: {error}"),
            }
        }
    }

    /// Says whether the buffer was filled, rather than the stream ended.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        let mut read = 0;
        while read < buffer.len() {
            match self.0.read(&mut buffer[read..]) {
                Ok(0) => return false,
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => hint::spin_loop(),
                Err(error) => panic!("the peer is gone: {error}"),
            }
        }
        true
    }
}
