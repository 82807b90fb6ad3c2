//! The standard input of the initial process, where a person's terminal is on another machine.
//!
//! Deliberately absent: any look at the bytes. Alone there is no such pipe: that process has the shell's own descriptor.

use crate::{head::Head, household::Household, run::INPUT};
use deploy_sys::fd;
use mio::{Interest, unix::SourceFd};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Instant,
};

/// A pipe, and what waits for room in it.
#[derive(Debug)]
pub(crate) struct Input {
    /// Until the process has it.
    reader: Option<OwnedFd>,
    /// Who has it.
    owner: Option<u32>,
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
            owner: None,
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
            INPUT,
            Interest::WRITABLE,
        )
    }

    /// What the process is to have as its descriptor 0.
    pub(crate) fn reader(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(AsFd::as_fd)
    }

    /// This process has it.
    pub(crate) fn handle_begun(&mut self, number: u32) {
        if self.reader.take().is_some() {
            self.owner = Some(number);
        }
    }

    fn feed(&mut self) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        while !self.waiting.is_empty() {
            match writer.write(self.waiting.as_slices().0) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(), // Nobody reads it any more.
            }
        }
        if self.is_over {
            self.close();
        }
    }

    fn close(&mut self) {
        self.writer = None;
        self.waiting = VecDeque::new();
    }
}

impl Household {
    /// Bytes for the initial process to read; none of them: no more will come.
    pub(crate) fn handle_input(&mut self, bytes: Vec<u8>, head: &mut dyn Head, now: Instant) {
        let Some(input) = &mut self.input else {
            return;
        };
        input.is_over |= bytes.is_empty();
        if input.writer.is_some() {
            input.waiting.extend(bytes);
        }
        input.feed();
        if input.waiting.len() > WAITING_BYTES_MAX {
            input.close();
            let Some(owner) = input.owner else {
                return;
            };
            let text = format!(
                "its standard input was cut: it left more than {} MiB of it unread",
                WAITING_BYTES_MAX >> 20
            );
            head.handle_note(owner, text, now);
        }
    }

    /// Writes what there is room for.
    pub(crate) fn feed(&mut self) {
        if let Some(input) = &mut self.input {
            input.feed();
        }
    }
}

/// Whoever sends input cannot know how much of it was read, so a large file may come all at once.
const WAITING_BYTES_MAX: usize = 64 << 20;
