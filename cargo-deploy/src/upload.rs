//! Sends a program that the cluster does not have, and shows how far it is.

use crate::{failure::Failure, preflight::Image, session::Bridge};
use deploy_wire::client::{Answer, Ask, CHUNK_BYTES_MAX};
use std::{
    io::{self, IsTerminal, Write},
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// Returns when the cluster has the program, whole and verified.
pub fn upload(bridge: &mut Bridge, image: &Image, is_quiet: bool) -> Result<(), Failure> {
    let ask = Ask::Image {
        digest: image.digest,
        len: image.len,
    };
    let mut offset = match bridge.ask(&ask)? {
        Answer::ImageKnown => return Ok(()),
        Answer::ImageWanted { offset } if offset <= image.len => offset,
        _ => return Err(bridge.surprised()),
    };
    let mut progress = Progress::new(image, is_quiet);
    while offset < image.len {
        let len = (image.len - offset).min(CHUNK_BYTES_MAX as u64) as usize;
        let mut bytes = vec![0; len];
        image
            .file
            .read_exact_at(&mut bytes, offset)
            .map_err(|error| {
                Failure::launch(format!(
                    "`{}` cannot be read to its end: {error}",
                    image.name
                ))
            })?;
        bridge.tell(&Ask::Chunk { bytes })?;
        offset += len as u64;
        progress.show(offset);
    }
    progress.clear();
    match bridge.answer()? {
        Answer::ImageKnown => Ok(()),
        _ => Err(bridge.surprised()),
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

    fn show(&mut self, sent: u64) {
        let now = Instant::now();
        if !self.is_shown || now < self.due {
            return;
        }
        self.due = now + SHOWN_EVERY;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (sent, len) = (mib(sent), mib(self.image.len));
        let name = &self.image.name;
        // If it cannot be shown, it is sent all the same.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K     Sending {name} ({sent:.1} of {len:.1} MiB)"
        );
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// What takes less than that needs no progress.
const SHOWN_AFTER: Duration = Duration::from_millis(200);
const SHOWN_EVERY: Duration = Duration::from_millis(100);
