//! Programs and their files on their way from the master, each over a session of its own, on one thread: it waits for the network
//! and for the disk, and the node for neither.
//!
//! Deliberately absent: going on where an earlier try was cut. Between machines that takes no longer than to find out.

use crate::images::{ImageError, Images};
use deploy_trust::{client::Client, endpoint::Connector};
use deploy_wire::{
    client::Digest,
    node::{Order, Report},
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
    /// Ends when the thread does.
    _end: pipe::Receiver,
    thread: JoinHandle<Result<(), String>>,
}

impl Fetch {
    /// Begins to fetch these from the master; `token` is told when that has ended.
    pub(super) fn begin(
        connector: &Connector,
        master: SocketAddr,
        images: &Images,
        missing: Vec<Digest>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Fetch> {
        let (sender, mut end) = pipe::new()?;
        registry.register(&mut end, token, Interest::READABLE)?;
        let (connector, images) = (connector.clone(), images.clone());
        let thread = thread::Builder::new().name("fetch".to_string());
        let thread = thread.spawn(move || {
            let _until_the_end = sender;
            let mut all = missing.into_iter();
            all.try_for_each(|digest| fetch(&connector, master, &images, digest))
                .map_err(|error| format!("fetching the program failed: {error}"))
        })?;
        Ok(Fetch { _end: end, thread })
    }

    /// How it has ended.
    pub(super) fn finish(self) -> Result<(), String> {
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err("fetching the program failed unexpectedly".to_string()))
    }
}

fn fetch(
    connector: &Connector,
    master: SocketAddr,
    images: &Images,
    digest: Digest,
) -> Result<(), ImageError> {
    let mut frame = Frame::ask(connector, master, digest).map_err(ImageError::Cut)?;
    let mut intake = images.begin(digest, frame.len)?;
    intake.take_in(&mut frame, None)?;
    intake.keep()
}

/// The program's frame, as it comes.
struct Frame {
    client: Client,
    /// Of the program.
    len: u64,
    current: Vec<u8>,
    taken: usize,
}

impl Frame {
    fn ask(connector: &Connector, master: SocketAddr, digest: Digest) -> io::Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        let client = Client::connect(&master.to_string(), connector, deadline).map_err(cut)?;
        let mut frame = Frame {
            client,
            len: 0,
            current: Vec::new(),
            taken: 0,
        };
        let ask = Report::Fetch { digest }.encode();
        frame.client.send(ask, deadline).map_err(cut)?;
        frame.next()?;
        Ok(frame)
    }

    fn next(&mut self) -> io::Result<()> {
        let message = self.client.recv(Instant::now() + PATIENCE).map_err(cut)?;
        match Order::decode(&message).map_err(cut)? {
            Order::Chunk { len, bytes } => {
                (self.len, self.current, self.taken) = (len, bytes, 0);
                Ok(())
            }
            Order::Refused { why } => Err(cut(why)),
            _ => Err(cut("the master sends something else")),
        }
    }
}

impl Read for Frame {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.current.len() {
            self.next()?;
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
