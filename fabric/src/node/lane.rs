//! A connection between two nodes on which a program travels: proved, encrypted, and waited for by a thread.
//!
//! Deliberately absent: which program, and what is said about it (`give.rs`, `fetch.rs`).

use deploy_sys::random;
use deploy_wire::{
    client::Digest,
    handshake::{Halves, Handshake},
    hello::{Accept, Dial},
    pass,
    record::{Opener, Sealer},
    secret::{Seal, Secret},
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// One end.
#[derive(Debug)]
pub(super) struct Lane {
    stream: TcpStream,
    sealer: Box<Sealer>,
    opener: Box<Opener>,
}

impl Lane {
    /// To the node there, which believes who has this pass.
    ///
    /// # Errors
    /// If it cannot be reached, or has no such program.
    pub(super) fn dial(at: SocketAddr, pass: &Secret, digest: &Digest) -> io::Result<Lane> {
        let mut stream = TcpStream::connect_timeout(&at, REACHED_AFTER_MAX)?;
        prepare(&stream)?;
        let route = pass::route(digest);
        talk(&mut stream, &mut Dial::new(pass, route, random::bytes()?))?;
        let (seal, _) = pass.seals(route.from, route.to, true);
        Lane::seal(stream, seal)
    }

    /// With a node that has said this first.
    ///
    /// # Errors
    /// If it has not this pass, or is gone.
    pub(super) fn accept(
        mut stream: TcpStream,
        first: &[u8],
        pass: &Secret,
        digest: &Digest,
    ) -> io::Result<Lane> {
        prepare(&stream)?;
        let mut accept = Accept::new(random::bytes()?);
        if first.len() > accept.wanted() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let heard = accept.handle_bytes(first, |_| Some(pass.clone()));
        heard.map_err(io::Error::other)?;
        talk(&mut stream, &mut accept)?;
        let route = pass::route(digest);
        let (_, seal) = pass.seals(route.from, route.to, true);
        Lane::seal(stream, seal)
    }

    fn seal(mut stream: TcpStream, seal: Seal) -> io::Result<Lane> {
        let mut handshake = Handshake::new(seal);
        talk(&mut stream, &mut handshake)?;
        match handshake.finish() {
            Halves::Plain => unreachable!("it was to be encrypted"),
            Halves::Sealed(sealer, opener) => Ok(Lane {
                stream,
                sealer,
                opener,
            }),
        }
    }

    /// Sends one record.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sealer.queue_record(bytes);
        let pending = self.sealer.pending();
        self.stream.write_all(pending)?;
        let written = pending.len();
        self.sealer.handle_written(written);
        Ok(())
    }

    /// The next bytes, at most so many and at least one, of one record.
    pub(super) fn receive(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        loop {
            if let Some(bytes) = self.opener.take(bytes_max).map_err(io::Error::other)? {
                return Ok(bytes.to_vec());
            }
            match self.stream.read(self.opener.space())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.opener.handle_read(count),
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENT_MAX))?;
    stream.set_write_timeout(Some(TAKEN_AFTER_MAX))
}

/// A machine that says what to write, and how much it has to read.
trait Talk {
    fn transmit(&mut self) -> Option<Vec<u8>>;
    fn wanted(&self) -> usize;
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Plays its part to the end.
fn talk(stream: &mut TcpStream, machine: &mut impl Talk) -> io::Result<()> {
    loop {
        if let Some(bytes) = machine.transmit() {
            stream.write_all(&bytes)?;
        }
        let mut bytes = vec![0; machine.wanted()];
        if bytes.is_empty() {
            return Ok(());
        }
        stream.read_exact(&mut bytes)?;
        machine.hear(&bytes)?;
    }
}

macro_rules! talks {
    ($machine:ty, |$own:ident, $bytes:ident| $heard:expr) => {
        impl Talk for $machine {
            fn transmit(&mut self) -> Option<Vec<u8>> {
                self.poll_transmit()
            }

            fn wanted(&self) -> usize {
                <$machine>::wanted(self)
            }

            fn hear(&mut self, $bytes: &[u8]) -> io::Result<()> {
                let $own = self;
                $heard.map_err(io::Error::other)
            }
        }
    };
}

talks!(Dial, |own, bytes| own.handle_bytes(bytes));
// Its key was found by the first words.
talks!(Accept, |own, bytes| own.handle_bytes(bytes, |_| None));
talks!(Handshake, |own, bytes| own.handle_bytes(bytes));

/// Nodes of one cluster are not far from one another, and where they are the master is near enough.
const REACHED_AFTER_MAX: Duration = Duration::from_secs(2);
/// Whoever gives says something each second.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// Whoever takes has a disk, and that may be slow.
const TAKEN_AFTER_MAX: Duration = Duration::from_secs(30);
