//! Programs and their files on their way here, on a thread: it waits for the network and for the disk, and the node for
//! neither.
//!
//! Deliberately absent: who gives them, which the master says each time it is asked.
//!
//! # The story
//! 1. The master is asked, over a session of its own, and sends the program's frame, or names another node that does.
//! 2. What comes is kept as it comes, so that it can be passed on at once, and unpacked beside that.
//! 3. If another node fails, the master is asked once more, from where the frame was cut; in the end it sends it itself.
//! 4. A master that is gone may be started again: it is asked for the rest for as long as the jobs here outlive it.
//! 5. What is not the program that was wanted is fetched once more from the master alone.

use super::{
    LEASE,
    give::{BYTES, NOTHING_YET},
    lane::Lane,
    transit::{Arriving, End, Transits},
};
use crate::images::{ImageError, Images};
use deploy_trust::{
    client::{Client, ClientError},
    endpoint::Connector,
};
use deploy_wire::{
    client::Digest,
    node::{Order, Report},
    record::RECORD_BYTES_MAX,
    secret::Secret,
};
use mio::{Interest, Registry, Token, unix::pipe};
use std::{
    io::{self, Read},
    net::SocketAddr,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What one job needs, until it is here. Whoever drops this does not wait for it.
#[derive(Debug)]
pub(super) struct Fetch {
    missing: Vec<Digest>,
    /// Ends when the thread does.
    _end: pipe::Receiver,
    thread: JoinHandle<Result<(), String>>,
}

/// Where programs come from and go to.
#[derive(Clone, Debug)]
pub(super) struct Road {
    pub connector: Connector,
    pub master: SocketAddr,
    pub images: Images,
    pub transits: Transits,
}

impl Fetch {
    /// Begins to fetch these; `token` is told when that has ended.
    pub(super) fn begin(
        road: Road,
        missing: Vec<Digest>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Fetch> {
        let (sender, mut end) = pipe::new()?;
        registry.register(&mut end, token, Interest::READABLE)?;
        let wanted = missing.clone();
        let thread = thread::Builder::new().name("fetch".to_string());
        let thread = thread.spawn(move || {
            let _until_the_end = sender;
            let mut all = wanted.into_iter();
            all.try_for_each(|digest| road.fetch(digest))
                .map_err(|error| format!("fetching the program failed: {error}"))
        })?;
        Ok(Fetch {
            missing,
            _end: end,
            thread,
        })
    }

    /// How it has ended, and of what.
    pub(super) fn finish(self) -> (Vec<Digest>, Result<(), String>) {
        let ended = self.thread.join();
        let failed = || Err("fetching the program failed unexpectedly".to_string());
        (self.missing, ended.unwrap_or_else(|_| failed()))
    }
}

impl Road {
    fn fetch(&self, digest: Digest) -> Result<(), ImageError> {
        let mut tries = 0;
        loop {
            let arriving = match self.transits.begin(digest) {
                Ok(arriving) => arriving,
                // Another job's fetch may bring it.
                Err(other) if other.wait_for_end() == End::Whole => return Ok(()),
                Err(_) => continue,
            };
            match self.take_in(digest, &arriving, tries) {
                // Whoever takes it from here has damaged bytes too, and is told so by the end of this.
                Err(ImageError::Damaged(_) | ImageError::OtherDigest) if tries < ALL_TRIES => {
                    tries = ALL_TRIES;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    arriving.finish();
                    return Ok(());
                }
            }
        }
    }

    fn take_in(&self, digest: Digest, arriving: &Arriving, tries: u8) -> Result<(), ImageError> {
        let frame = Frame::ask(self, digest, tries).map_err(ImageError::Cut)?;
        let mut intake = self.images.begin(digest, frame.len)?;
        arriving.set_file(intake.frame()?);
        let mut is_kept = true;
        let tee = Tee {
            frame,
            arriving,
            is_kept: &mut is_kept,
        };
        intake.take_in(tee, None)?;
        if !is_kept {
            intake.forget_frame();
        }
        intake.keep()
    }
}

/// What is read of the frame can be passed on, if the disk has room for it beside the program.
struct Tee<'r> {
    frame: Frame<'r>,
    arriving: &'r Arriving,
    is_kept: &'r mut bool,
}

impl Read for Tee<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.frame.read(bytes)?;
        *self.is_kept = *self.is_kept && self.arriving.add(&bytes[..read]).is_ok();
        Ok(read)
    }
}

/// The program's frame, as it comes from whomever.
struct Frame<'r> {
    road: &'r Road,
    digest: Digest,
    /// Of the program.
    len: u64,
    /// How many bytes of the frame were read.
    offset: u64,
    source: Source,
    tries: u8,
    failed: Option<SocketAddr>,
    /// Until when to ask a master that is gone, unless something comes.
    until: Option<Instant>,
}

/// Who gives it.
enum Source {
    Master(Box<Chunks>),
    Node(SocketAddr, Box<Records>),
    /// That node, which could not be reached.
    Nobody(SocketAddr),
}

impl Frame<'_> {
    fn ask(road: &Road, digest: Digest, tries: u8) -> io::Result<Frame<'_>> {
        let until = Instant::now() + LEASE;
        let (len, source) = Source::ask_until(until, road, digest, 0, tries, None)?;
        Ok(Frame {
            road,
            digest,
            len,
            offset: 0,
            source,
            tries,
            failed: None,
            until: None,
        })
    }

    /// Asks for the rest.
    fn ask_again(&mut self) -> io::Result<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + LEASE);
        let (road, digest, offset) = (self.road, self.digest, self.offset);
        let asked = Source::ask_until(until, road, digest, offset, self.tries, self.failed);
        self.source = asked?.1;
        Ok(())
    }

    /// Whether to ask a master again that has failed like this: one that cuts each session off is not asked for ever.
    fn may_come_back(&self, error: &io::Error) -> bool {
        is_gone(error) && self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Read for Frame<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let (read, from) = match &mut self.source {
                Source::Master(chunks) => (chunks.read(bytes), None),
                Source::Nobody(at) => (Err(io::ErrorKind::NotConnected.into()), Some(*at)),
                Source::Node(at, records) => (records.read(bytes), Some(*at)),
            };
            match (read, from) {
                (Ok(read), _) => {
                    self.offset += read as u64;
                    self.until = None;
                    return Ok(read);
                }
                (Err(_), Some(failed)) => {
                    self.tries = self.tries.saturating_add(1);
                    self.failed = Some(failed);
                }
                (Err(error), None) if !self.may_come_back(&error) => return Err(error),
                (Err(_), None) => thread::sleep(ASKED_EVERY),
            }
            self.ask_again()?;
        }
    }
}

impl Source {
    /// The same of a master that may be gone, and be started again until then.
    fn ask_until(
        until: Instant,
        road: &Road,
        digest: Digest,
        offset: u64,
        tries: u8,
        failed: Option<SocketAddr>,
    ) -> io::Result<(u64, Source)> {
        loop {
            match Source::ask(road, digest, offset, tries, failed) {
                Err(error) if is_gone(&error) && Instant::now() < until => {
                    thread::sleep(ASKED_EVERY);
                }
                asked => return asked,
            }
        }
    }

    /// Asks the master for the rest of a program's frame. Also says how long the program is.
    fn ask(
        road: &Road,
        digest: Digest,
        offset: u64,
        tries: u8,
        failed: Option<SocketAddr>,
    ) -> io::Result<(u64, Source)> {
        let deadline = Instant::now() + PATIENCE;
        let client = Client::connect(&road.master.to_string(), &road.connector, deadline);
        let mut client = client.map_err(gone)?;
        let ask = Report::Fetch {
            digest,
            offset,
            tries,
            failed,
        };
        client.send(ask.encode(), deadline).map_err(gone)?;
        let mut chunks = Chunks {
            client,
            current: Vec::new(),
            taken: 0,
        };
        match chunks.next()? {
            Order::Chunk { len, bytes } => {
                chunks.current = bytes;
                Ok((len, Source::Master(Box::new(chunks))))
            }
            Order::Source { len, address, pass } => {
                let source = match Records::ask(address, &pass, digest, offset) {
                    Ok(records) => Source::Node(address, Box::new(records)),
                    Err(_) => Source::Nobody(address),
                };
                Ok((len, source))
            }
            _ => Err(io::Error::other("the master sends something else")),
        }
    }
}

/// What the master sends.
struct Chunks {
    client: Client,
    current: Vec<u8>,
    taken: usize,
}

impl Chunks {
    fn next(&mut self) -> io::Result<Order> {
        let message = self.client.recv(Instant::now() + PATIENCE).map_err(gone)?;
        match Order::decode(&message).map_err(io::Error::other)? {
            Order::Refused { why } => Err(io::Error::other(why)),
            order => Ok(order),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.current.len() {
            match self.next()? {
                Order::Chunk { bytes, .. } => (self.current, self.taken) = (bytes, 0),
                _ => return Err(io::Error::other("the master sends something else")),
            }
        }
        let read = (&self.current[self.taken..]).read(bytes)?;
        self.taken += read;
        Ok(read)
    }
}

/// What another node sends.
struct Records {
    lane: Lane,
    current: Vec<u8>,
    /// The first of these says what the rest is.
    taken: usize,
}

impl Records {
    fn ask(at: SocketAddr, pass: &Secret, digest: Digest, offset: u64) -> io::Result<Records> {
        let mut lane = Lane::dial(at, pass, &digest)?;
        lane.send(&offset.to_le_bytes())?;
        Ok(Records {
            lane,
            current: Vec::new(),
            taken: 0,
        })
    }
}

impl Read for Records {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.current.len() {
            self.current = self.lane.receive(RECORD_BYTES_MAX)?;
            self.taken = match self.current.as_slice() {
                [NOTHING_YET] | [BYTES, _, ..] => 1,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
        }
        let read = (&self.current[self.taken..]).read(bytes)?;
        self.taken += read;
        Ok(read)
    }
}

/// The session with the master is over.
fn gone(error: ClientError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error.to_string())
}

/// Whether it is, rather than that the master refuses.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

/// A master that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// As often as the node dials while jobs wait for its master.
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// So that the master gives the program itself.
const ALL_TRIES: u8 = u8::MAX;

#[cfg(test)]
mod tests;
