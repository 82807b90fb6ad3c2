//! Programs on disk, by their digest: what people have uploaded, and what nodes have fetched.
//!
//! A program is in here whole and verified, or not at all. Deliberately absent: executing them, and where they come from.

use deploy_wire::client::Digest;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A directory of programs.
#[derive(Clone, Debug)]
pub struct Images {
    dir: PathBuf,
}

/// A program that is on its way here.
#[derive(Debug)]
pub struct Incoming {
    digest: Digest,
    len: u64,
    arrived: u64,
    hasher: blake3::Hasher,
    file: File,
    path: PathBuf,
    images: Images,
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
    /// It was changed on the way.
    #[error("the program's bytes are not those that were announced: send it again")]
    OtherDigest,
    /// More came than was announced.
    #[error("more bytes came than the program was said to have")]
    TooLong,
}

impl Images {
    /// The programs in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(dir: &Path) -> Result<Images, ImageError> {
        let images = Images { dir: dir.into() };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| images.trouble(error))?;
        Ok(images)
    }

    /// The program of that name, if it is here.
    ///
    /// # Errors
    /// If it is here and cannot be opened.
    pub fn find(&self, digest: &Digest) -> Result<Option<File>, ImageError> {
        match File::open(self.path(digest)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.trouble(error)),
        }
    }

    /// Begins to take in a program of that name and length.
    ///
    /// # Errors
    /// If the disk has no room for it.
    pub fn begin(&self, digest: Digest, len: u64) -> Result<Incoming, ImageError> {
        let path = self.dir.join(format!(
            ".{}-{:x}",
            hex(&digest),
            unique().map_err(|error| self.trouble(error))?
        ));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| self.trouble(error))?;
        let incoming = Incoming {
            digest,
            len,
            arrived: 0,
            hasher: blake3::Hasher::new(),
            file,
            path,
            images: self.clone(),
        };
        // A disk that is too small says so before anything is sent.
        nix::fcntl::posix_fallocate(&incoming.file, 0, len.max(1) as i64)
            .map_err(|error| self.trouble(error.into()))?;
        Ok(incoming)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(hex(digest))
    }

    fn trouble(&self, source: io::Error) -> ImageError {
        let dir = self.dir.clone();
        ImageError::Disk { dir, source }
    }
}

impl Incoming {
    /// The next bytes.
    ///
    /// # Errors
    /// If they are too many, or the disk fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.arrived += bytes.len() as u64;
        if self.arrived > self.len {
            return Err(ImageError::TooLong);
        }
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|error| self.images.trouble(error))
    }

    /// Whether all of it is here.
    pub fn is_whole(&self) -> bool {
        self.arrived == self.len
    }

    /// Keeps the program, if it is what it was said to be.
    ///
    /// # Errors
    /// If it is not, or the disk fails.
    pub fn finish(mut self) -> Result<(), ImageError> {
        if !self.is_whole() || *self.hasher.finalize().as_bytes() != self.digest {
            return Err(ImageError::OtherDigest);
        }
        let kept = self.keep();
        kept.map_err(|error| self.images.trouble(error))
    }

    fn keep(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        // Executed by everybody's jobs, written by nobody any more.
        self.file
            .set_permissions(fs::Permissions::from_mode(0o555))?;
        self.file.sync_all()?;
        fs::rename(&self.path, self.images.path(&self.digest))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already, if it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

/// The digest of an open file's bytes, and how many there are. Blocks while it reads them.
///
/// # Errors
/// If it cannot be read.
pub fn digest(file: &mut File) -> io::Result<(Digest, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut *file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok((*hasher.finalize().as_bytes(), file.metadata()?.size()))
}

/// As people and file names write it.
pub fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unique() -> io::Result<u128> {
    deploy_sys::random::bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn images() -> (tempfile::TempDir, Images) {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(&dir.path().join("images")).unwrap();
        (dir, images)
    }

    #[test]
    fn a_program_is_there_once_it_is_whole() {
        let (_dir, images) = images();
        let bytes = vec![7; 100_000];
        let digest = *blake3::hash(&bytes).as_bytes();
        let mut incoming = images.begin(digest, bytes.len() as u64).unwrap();
        incoming.write(&bytes[..60_000]).unwrap();
        assert!(images.find(&digest).unwrap().is_none());
        incoming.write(&bytes[60_000..]).unwrap();
        incoming.finish().unwrap();
        let mut found = Vec::new();
        let mut file = images.find(&digest).unwrap().unwrap();
        file.read_to_end(&mut found).unwrap();
        assert_eq!(found, bytes);
    }

    #[test]
    fn a_changed_or_cut_program_is_not_kept() {
        let (dir, images) = images();
        let digest = *blake3::hash(b"program").as_bytes();
        let mut changed = images.begin(digest, 7).unwrap();
        changed.write(b"progrem").unwrap();
        assert!(matches!(changed.finish(), Err(ImageError::OtherDigest)));
        let mut cut = images.begin(digest, 7).unwrap();
        cut.write(b"prog").unwrap();
        assert!(matches!(cut.finish(), Err(ImageError::OtherDigest)));
        let mut long = images.begin(digest, 7).unwrap();
        assert!(matches!(long.write(b"programs"), Err(ImageError::TooLong)));
        drop(long);
        let left = fs::read_dir(dir.path().join("images")).unwrap().count();
        assert_eq!(left, 0);
    }
}
