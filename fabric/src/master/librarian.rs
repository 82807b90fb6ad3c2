//! A thread that reads what was kept of jobs for those who are behind, so that a disk that is slow, or stands still, holds up
//! nobody but them.
//!
//! Deliberately absent: who reads, and from where on (`desk.rs`); and what is written (`scribe.rs`).
//!
//! For each reader one piece is fetched at a time, so what waits here is bounded by who reads.

use super::{
    cluster::ClientId,
    record::{Cursor, Found, Record},
};
use mio::Waker;
use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

/// The thread, as the loop sees it.
#[derive(Debug)]
pub struct Librarian {
    errands: Sender<Errand>,
    fetched: Receiver<Fetched>,
}

/// What is to be read.
#[derive(Debug)]
pub struct Errand {
    /// No other has it.
    pub number: u64,
    /// For whom.
    pub client: ClientId,
    /// In what.
    pub record: Record,
    /// From where on.
    pub cursor: Cursor,
    /// About how much.
    pub bytes: usize,
    /// And no more than what stands for so much output.
    pub output: u64,
}

/// What was read.
#[derive(Debug)]
pub struct Fetched {
    /// By which errand.
    pub number: u64,
    /// For whom.
    pub client: ClientId,
    /// Where it goes on.
    pub cursor: Cursor,
    /// What was there.
    pub found: io::Result<Found>,
}

impl Librarian {
    /// One that wakes the loop when something was read. It ends with the loop; one that waits for a disk is waited for by nobody.
    ///
    /// # Errors
    /// If the kernel starts no thread.
    pub fn hire(waker: Arc<Waker>) -> io::Result<Librarian> {
        let (errands, taken) = mpsc::channel::<Errand>();
        let (teller, fetched) = mpsc::channel();
        let work = move || {
            while let Ok(errand) = taken.recv() {
                // Both fail only where the loop has ended.
                if teller.send(errand.run()).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("librarian".to_string())
            .spawn(work)?;
        Ok(Librarian { errands, fetched })
    }

    /// Has something read.
    pub fn give(&self, errand: Errand) {
        let given = self.errands.send(errand);
        given.expect("the librarian ends after the loop");
    }

    /// What was read since the last time.
    pub fn poll_fetched(&self) -> Option<Fetched> {
        self.fetched.try_recv().ok()
    }
}

impl Errand {
    fn run(mut self) -> Fetched {
        let found = self.record.read(&mut self.cursor, self.bytes, self.output);
        Fetched {
            number: self.number,
            client: self.client,
            cursor: self.cursor,
            found,
        }
    }
}
