//! What one job was told, on the disk, from its admission until it is over: what a master that is started again has of it.
//!
//! A file of entries, each behind its length `u32` and its sum (`sum.rs`), eight bytes. The first says what the job is, and in
//! which form the others are written; a last one that is cut off was never acted upon, and is dropped. Where a sum is wrong
//! the disk is, and the job is lost. One that has become long is replaced by a short one, whose second entry says what the
//! job had become.
//!
//! What the kernel has taken outlives a master that is killed, and on a machine that lost its power no master is back before the
//! nodes have killed what it ran: so nothing is synced.
//!
//! Deliberately absent: what the entries say (`happening.rs`), but for the first; and who waits for them (`scribe.rs`).

use super::{cluster::About, happening::Happening, sum};
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    client::Ask,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// One that is written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// How many of them are the first entry.
    first_bytes: usize,
}

/// One that was written by a master before this one.
#[derive(Debug)]
pub struct Earlier {
    /// What the job is.
    pub about: About,
    /// When it began.
    pub since: SystemTime,
    /// Its entries, which all can be read.
    entries: Vec<u8>,
    first_bytes: usize,
    /// Where those begin of what it was told.
    told_from: usize,
    /// Where in them stands what it had become before, if that was written down.
    condensed: Option<Range<usize>>,
}

impl Journal {
    /// A new one in this directory, of a job that is [this](first).
    ///
    /// # Errors
    /// If the disk takes nothing.
    pub fn begin(dir: &Path, first: &[u8]) -> io::Result<Journal> {
        let path = dir.join(NAME);
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600);
        let mut journal = Journal {
            file: file.open(&path)?,
            path,
            bytes: 0,
            first_bytes: first.len(),
        };
        journal.write(first)?;
        Ok(journal)
    }

    /// The one in this directory, to go on with.
    ///
    /// # Errors
    /// If there is none, or it cannot be read, or is of another form than this release writes.
    pub fn resume(dir: &Path) -> io::Result<(Journal, Earlier)> {
        let path = dir.join(NAME);
        let file = OpenOptions::new().read(true).append(true).open(&path)?;
        if file.metadata()?.len() > BYTES_MAX {
            return Err(nonsense(Malformed("it is longer than any that is used")));
        }
        let mut entries = Vec::new();
        (&file).read_to_end(&mut entries)?;
        let earlier = Earlier::read(entries).map_err(nonsense)?;
        let bytes = earlier.entries.len() as u64;
        file.set_len(bytes)?;
        let journal = Journal {
            path,
            file,
            bytes,
            first_bytes: earlier.first_bytes,
        };
        Ok((journal, earlier))
    }

    /// Hands [entries](add) to the system. Blocks as a write to a file does.
    ///
    /// # Errors
    /// If the disk has no room, or the journal has become too long. Then it is of no use any more.
    pub fn write(&mut self, entries: &[u8]) -> io::Result<()> {
        self.file.write_all(entries)?;
        self.bytes += entries.len() as u64;
        match self.bytes > BYTES_MAX {
            false => Ok(()),
            true => Err(io::Error::other("its journal has become too long")),
        }
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Replaces all that the job was told by what it has become.
    ///
    /// # Errors
    /// If the disk takes nothing; then it is as it was.
    pub fn condense(&mut self, state: &[u8]) -> io::Result<()> {
        let mut entries = vec![0; self.first_bytes];
        File::open(&self.path)?.read_exact_at(&mut entries, 0)?;
        add(&mut entries, &[&[CONDENSED], state].concat());
        let next = self.path.with_extension("next");
        // What was left of an earlier attempt is of no use.
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&next)?.write_all(&entries)?;
        let file = OpenOptions::new().append(true).open(&next)?;
        fs::rename(&next, &self.path)?;
        (self.file, self.bytes) = (file, entries.len() as u64);
        Ok(())
    }

    /// Removes it: a master that is started again does not know the job.
    pub fn remove(self) {
        // Where that fails the next master takes up a job that no node has, and loses it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Earlier {
    /// What these bytes say, which a disk handed back.
    ///
    /// # Errors
    /// If no master of this release wrote them.
    pub fn read(mut entries: Vec<u8>) -> Result<Earlier, Malformed> {
        let whole = entries.len();
        let mut left = Entries(&entries);
        let first = left.next().ok_or(Malformed("its beginning is missing"))??;
        let (about, since) = decode(first)?;
        let first_bytes = whole - left.0.len();
        let mut behind = Entries(left.0);
        let condensed = match behind.next().transpose()? {
            Some([CONDENSED, state @ ..]) => {
                left = behind;
                let end = whole - left.0.len();
                Some(end - state.len()..end)
            }
            _ => None,
        };
        let told_from = whole - left.0.len();
        for entry in left.by_ref() {
            Happening::decode(entry?)?;
        }
        let cut_off = left.0.len();
        entries.truncate(whole - cut_off);
        Ok(Earlier {
            about,
            since,
            entries,
            first_bytes,
            told_from,
            condensed,
        })
    }

    /// What it had become before it was told the rest, if that was written down.
    pub fn condensed(&self) -> Option<&[u8]> {
        self.condensed.clone().map(|within| &self.entries[within])
    }

    /// What it was told, in order. They are read one by one, because all together, with what stands for their output, could be
    /// longer than memory.
    pub fn happenings(&self) -> impl Iterator<Item = Happening> {
        Entries(&self.entries[self.told_from..]).map(|entry| {
            let happening = entry.and_then(Happening::decode);
            happening.expect("it was read before")
        })
    }
}

/// Adds an entry to others.
pub fn add(entries: &mut Vec<u8>, entry: &[u8]) {
    let len = u32::try_from(entry.len()).expect("a message of the wire is shorter");
    entries.extend(len.to_le_bytes());
    entries.extend(sum::of(entry));
    entries.extend(entry);
}

/// The first entry, of a job that begins now.
pub fn first(about: &About) -> Vec<u8> {
    let mut entries = Vec::new();
    add(&mut entries, &encode(about, SystemTime::now()));
    entries
}

/// The entries in these bytes; what is left of them is cut off.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Result<&'a [u8], Malformed>> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let len = sum::BYTES + u32::from_le_bytes(*len) as usize;
        let (entry, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(sum::check(entry).ok_or(Malformed("it is not what was written")))
    }
}

fn encode(about: &About, since: SystemTime) -> Vec<u8> {
    let seconds = since.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut w = Writer::new();
    w.u32(FORM).u64(seconds.as_secs());
    w.text(&about.user).bytes(&about.key);
    w.bytes(&Ask::Run(Box::new(about.request.clone())).encode());
    w.finish()
}

fn decode(entry: &[u8]) -> Result<(About, SystemTime), Malformed> {
    let r = &mut Reader::new(entry);
    if r.u32()? != FORM {
        return Err(Malformed("a master of another release wrote it"));
    }
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(r.u64()?));
    let user = r.text()?.to_string();
    let key = r.bytes()?.try_into();
    let Ask::Run(request) = Ask::decode(r.bytes()?)? else {
        return Err(Malformed("a job is known by what was asked for"));
    };
    let about = About {
        user,
        key: key.map_err(|_| Malformed("a job's key has 32 bytes"))?,
        request: *request,
    };
    Ok((about, since.unwrap_or(UNIX_EPOCH)))
}

fn nonsense(why: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

const NAME: &str = "journal";
/// How an entry begins that says what the job has become. No happening does.
const CONDENSED: u8 = 255;
/// To be raised whenever a job would want something else done if it was told the same as before.
const FORM: u32 = 5;
/// Some million processes, and read again in seconds.
const BYTES_MAX: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use deploy_wire::client::RunRequest;

    fn about() -> About {
        About {
            user: "ada".to_string(),
            key: [3; 32],
            request: RunRequest {
                image: [9; 32],
                worker: "hello::main".to_string(),
                args: vec![b"hello".to_vec()],
                env: Vec::new(),
                resources: None,
                stdout_is_terminal: false,
                stderr_is_terminal: true,
                is_detached: true,
                files: None,
                is_here: false,
            },
        }
    }

    fn entry(happening: &Happening) -> Vec<u8> {
        let mut entries = Vec::new();
        add(&mut entries, &happening.encode());
        entries
    }

    #[test]
    fn what_was_written_is_read_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), &first(&about())).unwrap();
        let path = dir.path().join(NAME);
        let all = [
            Happening::Credit(7),
            Happening::Input(b"typed".to_vec()),
            Happening::Kill(None, "ada".to_string()),
        ];
        let mut ends = vec![fs::metadata(&path).unwrap().len()];
        for happening in &all {
            journal.write(&entry(happening)).unwrap();
            ends.push(fs::metadata(&path).unwrap().len());
        }
        let bytes = fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut as u64).count();
            let Some(whole) = whole.checked_sub(1) else {
                assert!(Journal::resume(dir.path()).is_err(), "{cut}");
                continue;
            };
            let (mut journal, earlier) = Journal::resume(dir.path()).unwrap();
            assert_eq!(earlier.about, about());
            assert!(earlier.happenings().eq(all[..whole].iter().cloned()));
            // And it goes on behind the last whole one.
            journal.write(&entry(&all[0])).unwrap();
            let (_, earlier) = Journal::resume(dir.path()).unwrap();
            assert_eq!(earlier.happenings().count(), whole + 1);
        }
        journal.remove();
        assert!(!path.exists());
    }

    #[test]
    fn what_a_disk_has_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), &first(&about())).unwrap();
        journal.condense(b"what it became").unwrap();
        let input = Happening::Input(b"typed".to_vec());
        journal.write(&entry(&input)).unwrap();
        let path = dir.path().join(NAME);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, damaged).unwrap();
            // A length may be so wrong that the last entries seem to be cut off.
            if let Ok((_, earlier)) = Journal::resume(dir.path()) {
                assert_eq!(earlier.about, about());
                assert_eq!(earlier.happenings().count(), 0, "{at}");
            }
        }
    }

    #[test]
    fn what_a_job_has_become_takes_the_place_of_what_it_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(dir.path(), &first(&about())).unwrap();
        for bytes in [7, 8] {
            for credit in 0..1_000 {
                let credit = Happening::Credit(credit);
                journal.write(&entry(&credit)).unwrap();
            }
            let long = journal.bytes();
            journal.condense(&[bytes; 9]).unwrap();
            assert!(journal.bytes() < long / 10);
            let last = Happening::Credit(bytes.into());
            journal.write(&entry(&last)).unwrap();
            let (again, earlier) = Journal::resume(dir.path()).unwrap();
            assert_eq!(earlier.about, about());
            assert_eq!(earlier.condensed(), Some(&[bytes; 9][..]));
            assert!(earlier.happenings().eq([last]));
            assert_eq!(again.bytes(), journal.bytes());
        }
    }
}
