//! Sends a program that the cluster does not have, and shows how far it is.
//!
//! What travels is a frame of zstd: of the whole program, or of what an earlier try did not bring; and as a change of a
//! program that was sent before, where the cluster still has that. Deliberately absent: any trust in what lies in the
//! cache. If the cluster cannot make the program of what came, it is sent once more, as a whole.

use crate::{earlier, failure::Failure, preflight::Image, session::Bridge};
use deploy_wire::client::{Answer, Ask, CHUNK_BYTES_MAX, CHUNKS_UNDER_WAY_MAX, Digest};
use std::{
    io::{self, IsTerminal, Read, Write},
    time::{Duration, Instant},
};
use zstd::{
    stream::{raw::Encoder, zio},
    zstd_safe::CParameter,
};

/// What it took to bring a program to the cluster.
#[derive(Debug)]
pub enum Sent {
    /// It was there.
    Nothing,
    /// So many bytes, and whether they were a change of another program.
    Bytes { count: u64, is_change: bool },
}

/// Returns when the cluster has the program, whole and verified.
pub fn upload(bridge: &mut Bridge, image: &Image, is_quiet: bool) -> Result<Sent, Failure> {
    let bases = earlier::similar(&image.name, image.bytes.len() as u64);
    let had_bases = !bases.is_empty();
    let sent = match try_upload(bridge, image, bases, is_quiet) {
        Err(failure) if had_bases && failure.is_refusal() => {
            try_upload(bridge, image, Vec::new(), is_quiet)
        }
        done => done,
    }?;
    if let Sent::Bytes { .. } = sent {
        earlier::keep(&image.name, &image.digest, &image.bytes);
    }
    Ok(sent)
}

fn try_upload(
    bridge: &mut Bridge,
    image: &Image,
    bases: Vec<Digest>,
    is_quiet: bool,
) -> Result<Sent, Failure> {
    let ask = Ask::Image {
        digest: image.digest,
        len: image.bytes.len() as u64,
        bases,
    };
    let (offset, base) = match bridge.ask(&ask)? {
        Answer::ImageKnown => return Ok(Sent::Nothing),
        Answer::ImageWanted { offset, base } => (offset, base),
        _ => return Err(bridge.surprised()),
    };
    let missing = usize::try_from(offset).ok();
    let missing = missing.and_then(|offset| image.bytes.get(offset..));
    let missing = missing.ok_or_else(|| bridge.surprised())?;
    // One that was named and has gone since is not needed.
    let prefix = base.and_then(|base| earlier::find(&base));
    let prefix = prefix.as_deref().unwrap_or_default();
    let frame = frame(missing, prefix).map_err(Failure::internal)?;
    let count = send(bridge, image, frame, is_quiet)?;
    let is_change = !prefix.is_empty();
    Ok(Sent::Bytes { count, is_change })
}

type Frame<'b> = zio::Reader<&'b [u8], Encoder<'b>>;

/// These bytes as a frame behind that prefix.
fn frame<'b>(bytes: &'b [u8], prefix: &'b [u8]) -> io::Result<Frame<'b>> {
    let level = if prefix.is_empty() {
        LEVEL_WHOLE
    } else {
        LEVEL_CHANGE
    };
    let mut encoder = Encoder::with_ref_prefix(level, prefix)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    if !prefix.is_empty() {
        // So that the beginning of the prefix is in sight at the end of the program.
        let both = (prefix.len() + bytes.len()).next_power_of_two().ilog2();
        encoder.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        encoder.set_parameter(CParameter::WindowLog(both.max(WINDOW_LOG_MIN)))?;
    }
    Ok(zio::Reader::new(bytes, encoder))
}

/// Sends a frame; returns how many bytes it had, once the program is there.
fn send(
    bridge: &mut Bridge,
    image: &Image,
    mut frame: Frame<'_>,
    is_quiet: bool,
) -> Result<u64, Failure> {
    let mut progress = Progress::new(image, is_quiet);
    let (mut sent, mut under_way) = (0, 0);
    loop {
        let mut bytes = Vec::new();
        let mut chunk = (&mut frame).take(CHUNK_BYTES_MAX as u64);
        let read = chunk.read_to_end(&mut bytes).map_err(Failure::internal)?;
        if read > 0 {
            bridge.tell(&Ask::Chunk { bytes })?;
            sent += read as u64;
            under_way += 1;
            progress.show(image.bytes.len() - frame.reader().len());
        }
        while under_way == CHUNKS_UNDER_WAY_MAX || read == 0 {
            match bridge.answer()? {
                Answer::ImageTaken if under_way > 0 => under_way -= 1,
                Answer::ImageKnown => {
                    progress.clear();
                    return Ok(sent);
                }
                _ => return Err(bridge.surprised()),
            }
        }
    }
}

/// One line on a terminal, in the manner of cargo's, which is gone when all is sent.
struct Progress<'i> {
    image: &'i Image,
    is_shown: bool,
    due: Instant,
}

impl Progress<'_> {
    fn new(image: &Image, is_quiet: bool) -> Progress<'_> {
        Progress {
            image,
            is_shown: !is_quiet && io::stderr().is_terminal(),
            due: Instant::now() + SHOWN_AFTER,
        }
    }

    fn show(&mut self, done: usize) {
        let now = Instant::now();
        if !self.is_shown || now < self.due {
            return;
        }
        self.due = now + SHOWN_EVERY;
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        let (done, len) = (mib(done), mib(self.image.bytes.len()));
        let name = &self.image.name;
        // If it cannot be shown, it is sent all the same.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K     Sending {name} ({done:.1} of {len:.1} MiB)"
        );
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Faster than most networks.
const LEVEL_WHOLE: i32 = 3;
/// A change is small, and worth looking closer.
const LEVEL_CHANGE: i32 = 9;
/// The least that zstd takes.
const WINDOW_LOG_MIN: u32 = 10;
/// What takes less than that needs no progress.
const SHOWN_AFTER: Duration = Duration::from_millis(200);
const SHOWN_EVERY: Duration = Duration::from_millis(100);
