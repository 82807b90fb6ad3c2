//! Programs on disk, by their digest: what people have uploaded, and what nodes have fetched.
//!
//! A program is in here whole and verified, or not at all; what has begun to arrive is called `.part`. Deliberately absent:
//! executing them, and where they come from.
//!
//! # Who keeps a program here
//! Whoever has it open, for as long: an open program is locked, and one that is locked is not given up when there is no
//! room. What nobody has open goes in the order in which it was last wanted.

mod intake;
mod room;
#[cfg(test)]
mod tests;

use deploy_parcel::delta::Base;
use deploy_wire::client::{CHANGE_BYTES_MAX, Digest};
pub use intake::Intake;
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// A directory of programs.
#[derive(Clone, Debug)]
pub struct Images {
    dir: PathBuf,
    bytes_max: u64,
    /// Held by whoever puts a program here or gives one up.
    changing: Arc<Mutex<()>>,
}

/// A program of which another is made.
#[derive(Debug)]
struct Older(File);

impl Base for Older {
    fn bytes(&self) -> io::Result<u64> {
        self.0.metadata().map(|about| about.len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, at)
    }
}

/// Why a program could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The disk's trouble.
    #[error(
        "the program could not be kept in {dir}: {source}; make room there or give another --state"
    )]
    Disk {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than anything that is kept.
    #[error("the program has {} MiB, and {} are kept at most", len >> 20, max >> 20)]
    TooLarge {
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// Whoever sent it has gone. What came so far is kept for a while.
    #[error("the program was not sent to its end: {0}")]
    Cut(io::Error),
    /// It is no frame, ends too early or becomes longer than was announced.
    #[error("the program's bytes are damaged ({0}): send it again")]
    Damaged(io::Error),
    /// It was changed on the way.
    #[error("the program's bytes are not those that were announced: send it again")]
    OtherDigest,
}

impl Images {
    /// The programs in this directory, which is made if it is not there, and which may hold so many bytes.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Images, ImageError> {
        let images = Images {
            dir: dir.into(),
            bytes_max,
            changing: Arc::default(),
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| images.trouble(error))?;
        Ok(images)
    }

    /// The program of that name, if it is here. It stays here as long as the file is open, wherever that is handed on to.
    ///
    /// # Errors
    /// If it is here and cannot be opened.
    pub fn find(&self, digest: &Digest) -> Result<Option<File>, ImageError> {
        let found = hold(&self.path(digest));
        found.map_err(|error| self.trouble(error))
    }

    /// The same, open by another name, which it has from now on too. Where the file system gives it none, by its own.
    ///
    /// # Errors
    /// If it is here and cannot be opened.
    pub fn find_as(&self, digest: &Digest, name: &Path) -> Result<Option<File>, ImageError> {
        match fs::hard_link(self.path(digest), name) {
            Ok(()) => hold(name).map_err(|error| self.trouble(error)),
            Err(_) => self.find(digest),
        }
    }

    /// The same as one zstd frame, and the program's length.
    ///
    /// # Errors
    /// If it is here and cannot be opened.
    pub fn find_packed(&self, digest: &Digest) -> Result<Option<(u64, File)>, ImageError> {
        let Some(program) = self.find(digest)? else {
            return Ok(None);
        };
        let length = program.metadata().map_err(|error| self.trouble(error))?;
        match File::open(self.packed_path(digest)) {
            Ok(packed) => Ok(Some((length.size(), packed))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.trouble(error)),
        }
    }

    /// Whether a program is here, without keeping it.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Whether a program is here that another may be a change of.
    pub fn is_base(&self, digest: &Digest) -> bool {
        let program = fs::metadata(self.path(digest));
        program.is_ok_and(|program| program.size() <= CHANGE_BYTES_MAX)
    }

    /// The program whose name begins like this, if it is here.
    pub fn named(&self, beginning: &[u8]) -> Option<Digest> {
        let mut names = fs::read_dir(&self.dir).ok()?.flatten();
        names.find_map(|entry| {
            let digest = blake3::Hash::from_hex(entry.file_name().to_str()?).ok()?;
            let is_it = digest.as_bytes().starts_with(beginning);
            is_it.then_some(*digest.as_bytes())
        })
    }

    /// The program, as what a newer one is a change of.
    fn base(&self, digest: &Digest) -> Result<Older, ImageError> {
        let file = File::open(self.path(digest));
        file.map(Older).map_err(|error| self.trouble(error))
    }

    /// Nobody else puts a program here or gives one up meanwhile.
    fn change(&self) -> MutexGuard<'_, ()> {
        let changing = self.changing.lock();
        changing.unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(hex(digest))
    }

    fn packed_path(&self, digest: &Digest) -> PathBuf {
        self.path(digest).with_extension(PACKED)
    }

    fn trouble(&self, source: io::Error) -> ImageError {
        let dir = self.dir.clone();
        ImageError::Disk { dir, source }
    }
}

/// Opens a program and locks it, if it was not given up before that is done; and it was wanted now.
fn hold(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    file.lock_shared()?;
    if file.metadata()?.nlink() == 0 {
        return Ok(None);
    }
    file.set_modified(SystemTime::now())?;
    Ok(Some(file))
}

/// As people and file names write it.
pub fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Programs on one machine's disk take no more than that: some dozens of large ones, hundreds of usual ones.
pub const KEPT_BYTES_MAX: u64 = 8 << 30;
/// What the frames are called, beside their programs.
const PACKED: &str = "zst";
