//! Gives other nodes programs that are here, or are just coming: each on a thread, over a connection that they have made.
//!
//! Deliberately absent: whether they may have it, which the pass tells that the master gave them; and whether what is passed on
//! is right, which they see themselves.

use super::{
    lane::Lane,
    transit::{End, News, Transit, Transits},
};
use crate::images::Images;
use deploy_wire::{client::Digest, hello, pass, record::RECORD_BYTES_MAX, secret::Secret};
use std::{
    fs::File,
    io,
    net::TcpStream,
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::Arc,
    thread,
    time::Duration,
};

/// What it takes to give.
#[derive(Clone, Debug)]
pub(super) struct Giver {
    images: Images,
    transits: Transits,
    /// What the passes are drawn from.
    secret: Secret,
    /// As many as give now, and one.
    running: Arc<()>,
}

/// Where the frame is.
enum Frame {
    Here(File),
    Coming(Arc<Transit>),
}

impl Giver {
    pub(super) fn new(images: Images, transits: Transits, secret: Secret) -> Giver {
        let running = Arc::new(());
        Giver {
            images,
            transits,
            secret,
            running,
        }
    }

    /// What the passes are drawn from.
    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Begins to serve whoever has made this connection and said this first. One who is not served sees it closed.
    pub(super) fn give(&self, stream: OwnedFd, first: Vec<u8>) {
        if Arc::strong_count(&self.running) > GIVEN_AT_ONCE_MAX {
            return;
        }
        let giver = self.clone();
        let thread = thread::Builder::new().name("give".to_string());
        // Whoever is not served turns to somebody else; so does who was served in part.
        let _ = thread.spawn(move || drop(giver.try_give(stream.into(), &first)));
    }

    fn try_give(&self, stream: TcpStream, first: &[u8]) -> io::Result<()> {
        let job = hello::job_of(first).ok_or(io::ErrorKind::InvalidData)?;
        let found = self.find(&job.bits().to_le_bytes());
        let (digest, frame) = found.ok_or(io::ErrorKind::NotFound)?;
        let pass = pass::of(&self.secret, &digest);
        let mut lane = Lane::accept(stream, first, &pass, &digest)?;
        let offset = lane.receive(OFFSET_BYTES)?;
        let offset = offset.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
        let offset = u64::from_le_bytes(offset);
        match frame {
            Frame::Here(file) => send(&mut lane, &file, offset, u64::MAX).map(drop),
            Frame::Coming(transit) => pass_on(&mut lane, &transit, offset),
        }
    }

    /// The program whose name begins like this.
    fn find(&self, beginning: &[u8]) -> Option<(Digest, Frame)> {
        if let Some((digest, transit)) = self.transits.find(beginning) {
            return Some((digest, Frame::Coming(transit)));
        }
        let digest = self.images.named(beginning)?;
        let (_, file) = self.images.find_packed(&digest).ok()??;
        Some((digest, Frame::Here(file)))
    }
}

/// What has come, and what comes, until nothing more does.
fn pass_on(lane: &mut Lane, transit: &Transit, mut at: u64) -> io::Result<()> {
    loop {
        match transit.wait(at, BEAT_EVERY) {
            News::Bytes(file, arrived) => at = send(lane, &file, at, arrived)?,
            News::Nothing => lane.send(&[NOTHING_YET])?,
            News::End(End::Whole) => return Ok(()),
            News::End(End::Failed) => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The file's bytes from there to `end`, or to its end; returns how far that is.
fn send(lane: &mut Lane, file: &File, mut at: u64, end: u64) -> io::Result<u64> {
    let mut record = vec![BYTES; RECORD_BYTES_MAX];
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let space = left.min(RECORD_BYTES_MAX - 1);
        let count = file.read_at(&mut record[1..=space], at)?;
        if count == 0 {
            break;
        }
        lane.send(&record[..=count])?;
        at += count as u64;
    }
    Ok(at)
}

/// What a record begins with that brings bytes of the frame.
pub(super) const BYTES: u8 = 1;
/// What a record is that only says that somebody is there.
pub(super) const NOTHING_YET: u8 = 0;
/// Whoever takes begins with how much it has.
pub(super) const OFFSET_BYTES: usize = 8;
/// Five of them may be missed.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Each is a thread. As the master sends them, there are rarely two for a program.
const GIVEN_AT_ONCE_MAX: usize = 16;
