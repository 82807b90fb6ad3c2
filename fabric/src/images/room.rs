//! Room for one more program: what nobody has open and was wanted longest ago goes first.
//!
//! Deliberately absent: quotas for people.

use super::{ImageError, Images, PACKED, intake::PART};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// A program that could go.
struct Kept {
    path: PathBuf,
    wanted: SystemTime,
    bytes: u64,
}

impl Images {
    /// Sets the disk's room aside for a file that will have so many bytes.
    pub(super) fn make_room(&self, file: &File, len: u64) -> Result<(), ImageError> {
        if len > self.bytes_max {
            let max = self.bytes_max;
            return Err(ImageError::TooLarge { len, max });
        }
        let made = self.try_make_room(file, len);
        made.map_err(|error| self.trouble(error))
    }

    fn try_make_room(&self, file: &File, len: u64) -> io::Result<()> {
        let _changing = self.change();
        self.sweep()?;
        let mut kept = self.kept()?;
        let mut bytes: u64 = kept.iter().map(|kept| kept.bytes).sum();
        while bytes + len > self.bytes_max
            && let Some(gone) = give_up(&mut kept)?
        {
            bytes -= gone;
        }
        loop {
            // The file's length stays what has arrived.
            let keep_size = FallocateFlags::FALLOC_FL_KEEP_SIZE;
            match fallocate(file, keep_size, 0, len.max(1) as i64) {
                Ok(()) | Err(Errno::EOPNOTSUPP) => return Ok(()),
                Err(Errno::ENOSPC) if give_up(&mut kept)?.is_some() => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Removes what began to arrive and was not continued.
    fn sweep(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != PART) {
                continue;
            }
            // It may be gone by now, or become a program.
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let age = now.duration_since(file.metadata()?.modified()?);
            if age.is_ok_and(|age| age > PART_KEPT) && file.try_lock().is_ok() {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// All programs that are here, the one wanted last first.
    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some() {
                continue;
            }
            let (Ok(program), packed) = (
                fs::metadata(&path),
                fs::metadata(path.with_extension(PACKED)),
            ) else {
                continue; // Gone since.
            };
            all.push(Kept {
                bytes: program.len() + packed.map_or(0, |packed| packed.len()),
                wanted: program.modified()?,
                path,
            });
        }
        all.sort_by_key(|kept| std::cmp::Reverse(kept.wanted));
        Ok(all)
    }
}

/// Removes the one that was wanted longest ago and that nobody has open; says how many bytes that gives.
fn give_up(kept: &mut Vec<Kept>) -> io::Result<Option<u64>> {
    while let Some(last) = kept.pop() {
        let Ok(file) = File::open(&last.path) else {
            continue; // Gone since.
        };
        if file.try_lock().is_ok() {
            fs::remove_file(&last.path)?;
            let _ = fs::remove_file(last.path.with_extension(PACKED));
            return Ok(Some(last.bytes));
        }
    }
    Ok(None)
}

/// Longer than a train stays in a tunnel.
const PART_KEPT: Duration = Duration::from_secs(60 * 60);
