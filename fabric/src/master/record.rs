//! What has happened in one job, kept on the disk within a bound: events in the order of their numbers, the oldest dropped
//! first.
//!
//! A record has two halves: the loop's, which numbers events and [reads](Record::read) those that were written, and the
//! scribe's, which writes ([`Pen`]).
//!
//! Deliberately absent: what the events say; who reads them (`desk.rs`); and any promise beyond a crash of the machine, for
//! what the system has taken is written.

mod layout;
mod pen;
mod reading;
#[cfg(test)]
mod tests;

use deploy_trust::framing::Message;
use deploy_wire::client::Position;
pub use layout::Limits;
use layout::{Head, Segment, Unwritten};
pub use pen::{Pen, Piece, Written};
pub use reading::{Cursor, Found, Kept};
use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

/// The events of one job.
#[derive(Debug)]
pub struct Record {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    /// Where the next event goes.
    next: Position,
    /// Events that are to be written together.
    unwritten: Vec<Unwritten>,
    unwritten_from: Position,
    /// Before it all is written, or never will be.
    written: Position,
}

impl Record {
    /// A new one in this directory, which its pen [makes](Pen::create).
    pub fn new(dir: PathBuf) -> Record {
        Record {
            dir,
            segments: VecDeque::new(),
            next: Position::default(),
            unwritten: Vec::new(),
            unwritten_from: Position::default(),
            written: Position::default(),
        }
    }

    /// The one in this directory, whose next event is this one, or else the first that is not there. What was written of it
    /// and later ones goes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn resume(
        dir: PathBuf,
        limits: Limits,
        next: Option<Position>,
    ) -> io::Result<(Record, Pen)> {
        let (pen, end) = Pen::resume(dir.clone(), limits, next)?;
        let next = next.unwrap_or(end);
        let record = Record {
            segments: pen.segments.clone(),
            next,
            unwritten_from: next,
            written: next,
            ..Record::new(dir)
        };
        Ok((record, pen))
    }

    /// Where the next event goes.
    pub fn next(&self) -> Position {
        self.next
    }

    /// What it takes of the disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds the next event: the message that tells of it, and its bytes of output. It is read when it was written.
    pub fn push(&mut self, message: Message, output: u32) {
        let head = Head {
            message_bytes: message.len(),
            at: self.next,
            output,
        };
        let head = head.bytes();
        self.unwritten.push(Unwritten { head, message });
        self.next.sequence += 1;
        self.next.output += u64::from(output);
    }

    /// What was added since the last time, for its pen.
    pub fn poll_piece(&mut self) -> Option<Piece> {
        let events = std::mem::take(&mut self.unwritten);
        let from = std::mem::replace(&mut self.unwritten_from, self.next);
        (!events.is_empty()).then_some(Piece {
            events,
            from,
            until: self.next,
        })
    }

    /// A piece was written.
    pub fn handle_written(&mut self, written: Written) {
        self.segments = written.segments;
        self.written = written.until;
    }

    /// What of it is written, for whoever reads that elsewhere.
    pub fn snapshot(&self) -> Record {
        Record {
            segments: self.segments.clone(),
            next: self.written,
            unwritten_from: self.written,
            written: self.written,
            ..Record::new(self.dir.clone())
        }
    }

    /// Whether nothing from here on is written.
    pub fn ends_before(&self, next: Position) -> bool {
        next.sequence >= self.written.sequence
    }

    /// Whether all that was added is written, or never will be.
    pub fn is_written(&self) -> bool {
        self.written.sequence == self.next.sequence
    }

    /// The directory that it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Removes the record in this directory, and what else is there of its job.
pub fn remove(dir: &Path) {
    // If it cannot be removed now, a later master finds it too old.
    let _ = fs::remove_dir_all(dir);
}
