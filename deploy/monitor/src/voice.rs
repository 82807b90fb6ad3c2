//! What one process writes: its two pipes, read to their end.
//!
//! What the bytes say is for the audience.
//!
//! # When a dead process has said everything
//! At the end of file of both pipes. But a program that it left behind may hold them open, so: what was in them when
//! it died is read in any case, however slow the audience is; from then on there is [`GRACE`] for the end of file.

use deploy_sys::{pipe, process::holds};
use deploy_wire::event::Stream;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// The reading ends of a process's standard output and error.
#[derive(Debug)]
pub(crate) struct Voice {
    pipes: [Option<OwnedFd>; 2],
    /// Of each pipe, how many of the bytes that were in it when the process died are not read yet.
    owed: [usize; 2],
    /// Until when the end of file is awaited.
    deadline: Option<Instant>,
    is_dead: bool,
}

/// What reading came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// Bytes; there may be more.
    Bytes,
    /// Nothing for now.
    Silence,
    /// Nothing ever again.
    End,
}

/// Both streams.
pub(crate) const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Voice {
    /// With the reading ends for [`STREAMS`].
    pub(crate) fn new(pipes: [OwnedFd; 2]) -> Voice {
        Voice {
            pipes: pipes.map(Some),
            owed: [0; 2],
            deadline: None,
            is_dead: false,
        }
    }

    /// The pipe of a stream, until its end.
    pub(crate) fn pipe(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        self.pipes[index(stream)].as_ref().map(AsFd::as_fd)
    }

    /// Reads once from a stream, appending to `buffer`.
    pub(crate) fn read(&mut self, stream: Stream, buffer: &mut Vec<u8>) -> Heard {
        let index = index(stream);
        let Some(reader) = &self.pipes[index] else {
            return Heard::End;
        };
        match pipe::read_into(reader.as_fd(), buffer, READ_BYTES) {
            Ok(0) => self.close(stream),
            Ok(count) => {
                self.owed[index] = self.owed[index].saturating_sub(count);
                return Heard::Bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Heard::Bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.owed[index] = 0;
                return Heard::Silence;
            }
            Err(_) => self.close(stream),
        }
        Heard::End
    }

    /// Reads no more of a stream; the kernel tells whoever writes to it.
    pub(crate) fn close(&mut self, stream: Stream) {
        self.pipes[index(stream)] = None;
        self.owed[index(stream)] = 0;
    }

    /// The process died. What is in the pipes now is its own.
    pub(crate) fn handle_death(&mut self) {
        self.is_dead = true;
        for (pipe, owed) in self.pipes.iter().zip(&mut self.owed) {
            *owed = pipe
                .as_ref()
                .map_or(0, |pipe| pipe::bytes_waiting(pipe.as_fd()));
        }
    }

    /// Whether a dead process has said everything, or its time is up.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        if !self.is_dead || self.owed != [0; 2] {
            return false;
        }
        let deadline = *self.deadline.get_or_insert(now + GRACE);
        self.pipes.iter().all(Option::is_none) || now >= deadline
    }

    /// When [`Voice::is_over`] is to be asked again, if nothing is heard before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether that process could still write to one of the pipes.
    pub(crate) fn is_held_by(&self, process: u32) -> bool {
        let mut pipes = self.pipes.iter().flatten();
        pipes.any(|pipe| holds(process, pipe.as_fd()))
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// How long a program that a dead process left behind can delay the news.
const GRACE: Duration = Duration::from_secs(1);
/// A quarter of what a pipe holds: the fastest reads on Linux, and fair among many pipes.
const READ_BYTES: usize = 256 << 10;
