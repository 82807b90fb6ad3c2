//! The standard input of the initial process, where a person's terminal is on another machine.
//!
//! Deliberately absent: any look at the bytes, and a limit on what waits: the head is told what was taken, and gives no more
//! than it has a limit for. Alone there is no such pipe: that process has the shell's own descriptor.

use crate::watched::Watched;
use deploy_sys::fd;
use mio::{Interest, unix::SourceFd};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// A pipe, and what waits for room in it.
#[derive(Debug)]
pub(crate) struct Input {
    /// Until the process has it.
    reader: Option<OwnedFd>,
    /// Until the end of file was told, or nobody reads any more.
    writer: Option<File>,
    waiting: VecDeque<u8>,
    /// Whether no more will come.
    is_over: bool,
}

impl Input {
    /// One that nobody has yet.
    pub(crate) fn new() -> io::Result<Input> {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (
            fd::raise(OwnedFd::from(reader))?,
            fd::raise(OwnedFd::from(writer))?,
        );
        fd::set_nonblocking(writer.as_fd())?;
        Ok(Input {
            reader: Some(reader),
            writer: Some(File::from(writer)),
            waiting: VecDeque::new(),
            is_over: false,
        })
    }

    /// Has the loop told when there is room.
    pub(crate) fn register(&self, registry: &mio::Registry) -> io::Result<()> {
        let writer = self.writer.as_ref().expect("nothing was written yet");
        registry.register(
            &mut SourceFd(&writer.as_raw_fd()),
            Watched::Input.token(),
            Interest::WRITABLE,
        )
    }

    /// What the process is to have as its descriptor 0.
    pub(crate) fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(AsFd::as_fd)
    }

    /// The initial process has it.
    pub(crate) fn handle_begun(&mut self) {
        self.reader = None;
    }

    /// Bytes for the process to read; none of them: no more will come.
    pub(crate) fn handle_bytes(&mut self, bytes: Vec<u8>) {
        self.is_over |= bytes.is_empty();
        if self.writer.is_some() {
            self.waiting.extend(bytes);
        }
    }

    /// Writes what there is room for. Returns how much that was.
    pub(crate) fn feed(&mut self) -> u64 {
        let Some(writer) = &mut self.writer else {
            return 0;
        };
        let mut taken = 0;
        while !self.waiting.is_empty() {
            match writer.write(self.waiting.as_slices().0) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    taken += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.close(); // Nobody reads it any more, and whoever sends more waits for ever, as it should.
                    return taken;
                }
            }
        }
        if self.is_over {
            self.close();
        }
        taken
    }

    fn close(&mut self) {
        self.writer = None;
        self.waiting = VecDeque::new();
    }
}
