//! Sends a program that the cluster does not have, and shows how far it is.
//!
//! What travels is a frame of the whole program, or of what an earlier try did not bring; and as a change of a program that
//! was sent before, where the cluster still has that. Deliberately absent: any trust in what lies in the
//! cache. If the cluster cannot make the program of what came, it is sent once more, as a whole.

use crate::{
    earlier,
    failure::Failure,
    preflight::{self, Image},
    session::Bridge,
    terminal,
};
use deploy_parcel::Packed;
use deploy_sys::tell;
use deploy_wire::client::{Answer, Ask, CHUNK_BYTES_MAX, CHUNKS_UNDER_WAY_MAX, Digest};
use std::{
    fmt,
    io::{self, Read, Write},
    time::{Duration, Instant},
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
    let bases = earlier::similar(&image.name, image.content.len());
    let had_bases = !bases.is_empty();
    let sent = match try_upload(bridge, image, bases, is_quiet) {
        Err(failure) if had_bases && failure.is_refusal() => {
            try_upload(bridge, image, Vec::new(), is_quiet)
        }
        done => done,
    }?;
    if let Sent::Bytes { .. } = sent {
        earlier::keep(&image.name, &image.digest, &image.content);
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
        len: image.content.len(),
        bases,
    };
    let (offset, base) = match bridge.ask(&ask)? {
        Answer::ImageKnown => return Ok(Sent::Nothing),
        Answer::ImageWanted { offset, base } => (offset, base),
        _ => return Err(bridge.surprised()),
    };
    if let Some(warning) = ask_nodes(bridge, image)?
        && !is_quiet
    {
        tell!("cargo deploy: {warning}");
    }
    if offset > image.content.len() {
        return Err(bridge.surprised());
    }
    let missing = image.content.from(offset);
    // If one that was named has gone since, all is refused, and sent once more as a whole.
    let mut progress = Progress::new(image, is_quiet);
    let base = base.and_then(|base| {
        progress.compares();
        earlier::find(&base)
    });
    let is_change = base.is_some();
    let frame = match base {
        Some(base) => Packed::change(base, &missing).map_err(Failure::internal)?,
        None => Some(Packed::whole(&missing).map_err(Failure::internal)?),
    };
    progress.clear();
    let Some(frame) = frame else {
        return try_upload(bridge, image, Vec::new(), is_quiet); // They are not so similar.
    };
    let count = send(bridge, frame, &mut progress)?;
    Ok(Sent::Bytes { count, is_change })
}

/// Whether it could run on any node; what to say if it could not on some.
fn ask_nodes(bridge: &mut Bridge, image: &Image) -> Result<Option<String>, Failure> {
    match bridge.ask(&Ask::Nodes)? {
        Answer::Nodes(nodes) => preflight::check_nodes(image, &nodes),
        _ => Err(bridge.surprised()),
    }
}

/// Sends a frame; returns how many bytes it had, once the program is there.
fn send(
    bridge: &mut Bridge,
    mut frame: Packed<'_>,
    progress: &mut Progress<'_>,
) -> Result<u64, Failure> {
    let (mut sent, mut under_way) = (0, 0);
    loop {
        let mut bytes = Vec::new();
        let mut chunk = (&mut frame).take(CHUNK_BYTES_MAX as u64);
        let read = chunk.read_to_end(&mut bytes).map_err(Failure::internal)?;
        if read > 0 {
            bridge.tell(&Ask::Chunk { bytes })?;
            sent += read as u64;
            under_way += 1;
            progress.show(sent);
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
            is_shown: !is_quiet && terminal::can_redraw(),
            due: Instant::now() + SHOWN_AFTER,
        }
    }

    /// That takes as long as it takes, so it is said before, unless it takes no time.
    fn compares(&self) {
        if self.is_shown && self.image.content.len() >= COMPARED_AT_ONCE {
            self.line(format_args!(
                "   Comparing {} ({:.0} MiB) with what was sent before",
                self.image.name,
                mib(self.image.content.len())
            ));
        }
    }

    fn show(&mut self, sent: u64) {
        let now = Instant::now();
        if !self.is_shown || now < self.due {
            return;
        }
        self.due = now + SHOWN_EVERY;
        self.line(format_args!(
            "     Sending {} ({:.1} MiB, compressed)",
            self.image.name,
            mib(sent)
        ));
    }

    fn line(&self, line: fmt::Arguments<'_>) {
        let line = terminal::cut(&line.to_string(), &io::stderr());
        // If it cannot be shown, it is sent all the same.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Compared in less than 200 ms, in a release build.
const COMPARED_AT_ONCE: u64 = 4 << 20;
/// What takes less than that needs no progress.
const SHOWN_AFTER: Duration = Duration::from_millis(200);
const SHOWN_EVERY: Duration = Duration::from_millis(100);
