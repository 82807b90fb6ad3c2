//! A program on its way here: bytes become a file, which is kept if its digest is the name that was announced.
//!
//! Deliberately absent: where the bytes come from. Everything here waits for them and for the disk, so it belongs on a
//! thread of its own.
//!
//! # What travels
//! One zstd frame, of the program or of what is missing of it. It may be a change of a program that is here already: that
//! one's bytes are then the frame's prefix. Nothing is believed of a frame: it may grow to the announced length and no
//! further, by a window of bounded size, and what it becomes must have the announced digest.

use super::{ImageError, Images, PACKED, hex};
use deploy_wire::client::{CHANGE_BYTES_MAX, Digest};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};
use zstd::stream::read::Decoder;

/// A program that is on its way here.
#[derive(Debug)]
pub struct Intake {
    images: Images,
    digest: Digest,
    len: u64,
    arrived: u64,
    hasher: blake3::Hasher,
    file: File,
    path: PathBuf,
    /// Whether a later try can go on from here.
    is_to_continue: bool,
}

impl Images {
    /// Begins to take in a program of that name and length, from where an earlier try was cut. Blocks while it reads what
    /// came then.
    ///
    /// # Errors
    /// If the disk has no room for it.
    pub fn resume(&self, digest: Digest, len: u64) -> Result<Intake, ImageError> {
        let path = self.dir.join(format!(".{}.{PART}", hex(&digest)));
        let file = open(&path, false).map_err(|error| self.trouble(error))?;
        // Somebody else sends the same program just now.
        if file.try_lock().is_err() {
            return self.begin(digest, len);
        }
        let mut intake = self.intake(digest, len, file, path)?;
        intake.look_at_beginning()?;
        Ok(intake)
    }

    /// Begins to take in a program of that name and length.
    ///
    /// # Errors
    /// If the disk has no room for it.
    pub fn begin(&self, digest: Digest, len: u64) -> Result<Intake, ImageError> {
        let unique = deploy_sys::random::bits().map_err(|error| self.trouble(error))?;
        let name = format!(".{}-{unique:x}.{PART}", hex(&digest));
        let path = self.dir.join(name);
        let file = open(&path, true).map_err(|error| self.trouble(error))?;
        file.try_lock()
            .map_err(|error| self.trouble(error.into()))?;
        self.intake(digest, len, file, path)
    }

    fn intake(
        &self,
        digest: Digest,
        len: u64,
        file: File,
        path: PathBuf,
    ) -> Result<Intake, ImageError> {
        let intake = Intake {
            images: self.clone(),
            digest,
            len,
            arrived: 0,
            hasher: blake3::Hasher::new(),
            file,
            path,
            is_to_continue: false,
        };
        // A disk that is too small says so before anything is sent.
        self.make_room(&intake.file, len)?;
        Ok(intake)
    }
}

impl Intake {
    /// How many of the program's bytes are here.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Takes in all that is missing as one frame, a change of `base` if there is one. Blocks until the program is here, and
    /// is what it was said to be.
    ///
    /// # Errors
    /// If it is not, what is read fails, or the disk does.
    pub fn take_in(&mut self, frame: impl Read, base: Option<&Digest>) -> Result<(), ImageError> {
        if self.arrived < self.len {
            self.unpack(frame, base)?;
        }
        match self.arrived == self.len && *self.hasher.finalize().as_bytes() == self.digest {
            true => Ok(()),
            false => Err(ImageError::OtherDigest),
        }
    }

    /// Also keeps the program as a frame, for those who will fetch it.
    ///
    /// # Errors
    /// The disk's.
    pub fn pack(&mut self) -> Result<(), ImageError> {
        let packed = self.try_pack();
        packed.map_err(|error| self.images.trouble(error))
    }

    /// Keeps the program that was taken in.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(mut self) -> Result<(), ImageError> {
        let kept = self.try_keep();
        kept.map_err(|error| self.images.trouble(error))
    }

    fn look_at_beginning(&mut self) -> Result<(), ImageError> {
        let looked = io::copy(&mut self.file, &mut self.hasher);
        self.arrived = looked.map_err(|error| self.images.trouble(error))?;
        match self.arrived > self.len {
            true => Err(ImageError::TooLong),
            false => Ok(()),
        }
    }

    fn unpack(&mut self, frame: impl Read, base: Option<&Digest>) -> Result<(), ImageError> {
        let prefix = match base {
            Some(base) => self.images.read(base)?,
            None => Vec::new(),
        };
        let mut decoder = Decoder::with_ref_prefix(io::BufReader::new(frame), &prefix)
            .and_then(|mut decoder| decoder.window_log_max(WINDOW_LOG_MAX).map(|()| decoder))
            .map_err(ImageError::Damaged)?
            .single_frame();
        let mut bytes = vec![0; BUFFER_BYTES];
        loop {
            let read = match decoder.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if is_cut(&error) => {
                    self.is_to_continue = self.arrived > 0;
                    return Err(ImageError::Cut(error));
                }
                Err(error) => return Err(ImageError::Damaged(error)),
            };
            self.arrived += read as u64;
            if self.arrived > self.len {
                return Err(ImageError::TooLong);
            }
            self.hasher.update(&bytes[..read]);
            let written = self.file.write_all(&bytes[..read]);
            written.map_err(|error| self.images.trouble(error))?;
        }
    }

    fn try_pack(&mut self) -> io::Result<()> {
        let part = self.path.with_extension(format!("{PACKED}.{PART}"));
        let mut packed = || -> io::Result<()> {
            self.file.rewind()?;
            let frame = open(&part, false)?;
            frame.set_len(0)?;
            zstd::stream::copy_encode(&self.file, &frame, PACKED_LEVEL)?;
            fs::rename(&part, self.images.packed_path(&self.digest))
        };
        packed().inspect_err(|_| drop(fs::remove_file(&part)))
    }

    fn try_keep(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        // Executed by everybody's jobs, written by nobody any more.
        self.file.set_permissions(Permissions::from_mode(0o555))?;
        self.file.sync_all()?;
        fs::rename(&self.path, self.images.path(&self.digest))
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        if !self.is_to_continue {
            // Gone already, if it was kept.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open(path: &std::path::Path, is_new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .create_new(is_new)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Sources say by these that there is no more of them. What is wrong with a frame itself has no such kind.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | TimedOut)
}

/// What those are called that are not whole.
pub(super) const PART: &str = "part";
/// Room for a program and what it is a change of; so a stranger's frame can ask for no more.
const WINDOW_LOG_MAX: u32 = (2 * CHANGE_BYTES_MAX).ilog2();
/// As much as a block of a frame becomes.
const BUFFER_BYTES: usize = 128 << 10;
/// Hardly slower than a copy, and a fraction of the bytes.
const PACKED_LEVEL: i32 = 1;
