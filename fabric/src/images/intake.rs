//! A program on its way here: bytes become a file, which is kept if its digest is the name that was announced.
//!
//! Deliberately absent: where the bytes come from. Everything here waits for them and for the disk, so it belongs on a
//! thread of its own.
//!
//! # What travels
//! One frame, of the program or of what is missing of it. It may be a change of a program that is here already. Nothing is
//! believed of it: it may grow to the announced length and no further, and what it becomes must have the announced digest.

use super::{ImageError, Images, PACKED, hex};
use deploy_wire::client::Digest;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

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
    /// The same as a frame, for those who will fetch it.
    frame: Option<PathBuf>,
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
        let looked = intake.look_at_beginning();
        looked.map_err(|error| self.trouble(error))?;
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
            frame: None,
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
        let frame = self.frame()?;
        if let Err(error) = self.try_pack(&frame) {
            if error.kind() != ErrorKind::StorageFull {
                return Err(self.images.trouble(error));
            }
            // Others have to go for it.
            self.images.make_room(&frame, self.len)?;
            let packed = self.try_pack(&frame);
            packed.map_err(|error| self.images.trouble(error))?;
        }
        Ok(())
    }

    /// An empty file for the program's frame, which is kept with the program.
    ///
    /// # Errors
    /// The disk's.
    pub fn frame(&mut self) -> Result<File, ImageError> {
        let path = self.path.with_extension(format!("{PACKED}.{PART}"));
        let made = open(&path, false).and_then(|frame| frame.set_len(0).map(|()| frame));
        self.frame = Some(path);
        made.map_err(|error| self.images.trouble(error))
    }

    /// The frame's file is not to be kept.
    pub fn forget_frame(&mut self) {
        if let Some(path) = self.frame.take() {
            // If it stays, it is found when there is need of room.
            let _ = fs::remove_file(path);
        }
    }

    /// Keeps the program that was taken in, unless somebody else has brought the same.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(mut self) -> Result<(), ImageError> {
        let kept = self.try_keep();
        kept.map_err(|error| self.images.trouble(error))
    }

    fn look_at_beginning(&mut self) -> io::Result<()> {
        self.arrived = io::copy(&mut self.file, &mut self.hasher)?;
        if self.arrived > self.len {
            // Somebody gave another length, and one of them was wrong.
            self.file.set_len(0)?;
            self.file.rewind()?;
            (self.arrived, self.hasher) = (0, blake3::Hasher::new());
        }
        Ok(())
    }

    fn unpack(&mut self, frame: impl Read, base: Option<&Digest>) -> Result<(), ImageError> {
        let base = base.map(|base| self.images.base(base)).transpose()?;
        let mut shelf = Shelf {
            file: &self.file,
            hasher: &mut self.hasher,
            bytes: 0,
            is_broken: false,
        };
        let missing = self.len - self.arrived;
        let done = deploy_parcel::unpack(frame, base.as_ref(), missing, &mut shelf);
        let is_broken = shelf.is_broken;
        self.arrived += shelf.bytes;
        done.map_err(|error| match error.kind() {
            _ if is_broken => self.images.trouble(error),
            // Sources say by these that there is no more of them.
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::TimedOut => {
                self.is_to_continue = self.arrived > 0;
                ImageError::Cut(error)
            }
            _ => ImageError::Damaged(error),
        })
    }

    fn try_pack(&mut self, mut frame: &File) -> io::Result<()> {
        self.file.rewind()?;
        frame.rewind()?;
        deploy_parcel::pack(&self.file, frame)?;
        // What was set aside beyond is given back.
        frame.set_len(frame.stream_position()?)
    }

    fn try_keep(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        // Executed by everybody's jobs, written by nobody any more.
        self.file.set_permissions(Permissions::from_mode(0o555))?;
        self.file.sync_all()?;
        let _changing = self.images.change();
        // In its place, those who are opening the one that is here, or have it open, would have none.
        if self.images.has(&self.digest) {
            return Ok(());
        }
        // No program is found before its frame is.
        if let Some(frame) = &self.frame {
            fs::rename(frame, self.images.packed_path(&self.digest))?;
            self.frame = None;
        }
        fs::rename(&self.path, self.images.path(&self.digest))
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.forget_frame();
        if !self.is_to_continue {
            // Gone already, if it was kept.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the bytes go.
struct Shelf<'i> {
    file: &'i File,
    hasher: &'i mut blake3::Hasher,
    bytes: u64,
    /// Whether the disk has failed.
    is_broken: bool,
}

impl Write for Shelf<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_all(bytes);
        self.is_broken |= written.is_err();
        written?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path, is_new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .create_new(is_new)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// What those are called that are not whole.
pub(super) const PART: &str = "part";
