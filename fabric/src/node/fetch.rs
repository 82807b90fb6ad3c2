//! Programs and their files on their way here, on a thread: it waits for the network and for the disk, and the node for
//! neither.
//!
//! Deliberately absent: who gives them, which the master says each time it is asked.
//!
//! # The story
//! 1. The master is asked, over a session of its own, and sends the program's frame, or names another node that does.
//! 2. What comes is kept as it comes, so that it can be passed on at once, and unpacked beside that.
//! 3. If another node fails, the master is asked once more, from where the frame was cut; in the end it sends it itself.
//! 4. What is not the program that was wanted is fetched once more from the master alone.

use super::{
    give::{BYTES, NOTHING_YET},
    lane::Lane,
    transit::{Arriving, End, Transits},
};
use crate::images::{ImageError, Images};
use deploy_trust::{client::Client, endpoint::Connector};
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
        // Another job's fetch may bring it.
        let arriving = loop {
            match self.transits.begin(digest) {
                Ok(arriving) => break arriving,
                Err(other) if other.wait_for_end() == End::Whole => return Ok(()),
                Err(_) => {}
            }
        };
        match self.take_in(digest, &arriving, 0) {
            Err(ImageError::Damaged(_) | ImageError::OtherDigest) => {
                drop(arriving); // Whoever takes it from here has damaged bytes too, and is told so by this.
                let arriving = self.transits.begin(digest);
                let arriving = arriving.map_err(|_| ImageError::OtherDigest)?;
                self.take_in(digest, &arriving, ALL_TRIES)?;
                arriving.finish();
            }
            done => {
                done?;
                arriving.finish();
            }
        }
        Ok(())
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
        let (len, source) = Source::ask(road, digest, 0, tries, None)?;
        Ok(Frame {
            road,
            digest,
            len,
            offset: 0,
            source,
            tries,
            failed: None,
        })
    }
}

impl Read for Frame<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let failed = match &mut self.source {
                Source::Master(chunks) => {
                    let read = chunks.read(bytes)?;
                    self.offset += read as u64;
                    return Ok(read);
                }
                Source::Nobody(at) => *at,
                Source::Node(at, records) => match records.read(bytes) {
                    Ok(read) => {
                        self.offset += read as u64;
                        return Ok(read);
                    }
                    Err(_) => *at,
                },
            };
            self.tries = self.tries.saturating_add(1);
            self.failed = Some(failed);
            let (offset, tries) = (self.offset, self.tries);
            let asked = Source::ask(self.road, self.digest, offset, tries, self.failed);
            self.source = asked?.1;
        }
    }
}

impl Source {
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
        let mut client = client.map_err(cut)?;
        let ask = Report::Fetch {
            digest,
            offset,
            tries,
            failed,
        };
        client.send(ask.encode(), deadline).map_err(cut)?;
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
            _ => Err(cut("the master sends something else")),
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
        let message = self.client.recv(Instant::now() + PATIENCE).map_err(cut)?;
        match Order::decode(&message).map_err(cut)? {
            Order::Refused { why } => Err(cut(why)),
            order => Ok(order),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.current.len() {
            match self.next()? {
                Order::Chunk { bytes, .. } => (self.current, self.taken) = (bytes, 0),
                _ => return Err(cut("the master sends something else")),
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

/// There is no more of it.
fn cut(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, why.to_string())
}

/// A master that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// So that the master gives the program itself.
const ALL_TRIES: u8 = u8::MAX;
