//! A directory of files that nobody else can read, each replaced as a whole or not at all.
//!
//! What is in the files is not known here.

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A directory of ours, mode 0700.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while files are changed: daemons and commands that share a directory take turns.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its end")] Flock<File>);

/// Why a directory or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It belongs to somebody else.
    #[error("`{path}` belongs to another user: name another directory with --state", path = .0.display())]
    NotOurs(PathBuf),
    /// Others could read or change what is secret.
    #[error("`{path}` can be used by other users: run `chmod {wanted} {path}`", path = .0.display(), wanted = .1)]
    TooOpen(PathBuf, &'static str),
    /// It is not what it should be.
    #[error(
        "`{path}` is damaged: restore it from a copy; if there is none remove it, and make anew what it held (members \
         join again, tokens are given out again)",
        path = .0.display()
    )]
    Damaged(PathBuf),
    /// One daemon at a time.
    #[error(
        "`{0}` is in use by a fabric that runs: stop that one, or name another directory with --state"
    )]
    InUse(PathBuf),
    /// The system says no.
    #[error("cannot use `{path}`: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, #[source] io::Error),
}

impl StateDir {
    /// Opens a directory, and makes it where there is none.
    pub fn open(path: &Path) -> Result<StateDir, StateError> {
        let failed = |error| StateError::Io(path.to_owned(), error);
        let facts = match fs::metadata(path) {
            // Whoever only reads does not wait for a disk that stands still.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut builder = DirBuilder::new();
                let made = builder.recursive(true).mode(0o700).create(path);
                made.and_then(|()| fs::metadata(path)).map_err(failed)?
            }
            facts => facts.map_err(failed)?,
        };
        if facts.uid() != nix::unistd::geteuid().as_raw() {
            return Err(StateError::NotOurs(path.to_owned()));
        }
        if facts.mode() & 0o077 != 0 {
            return Err(StateError::TooOpen(path.to_owned(), "700"));
        }
        Ok(StateDir {
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else changes files here.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let path = self.path.join("lock");
        let file = options()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| StateError::Io(path.clone(), error))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive);
        lock.map(Lock)
            .map_err(|(_, error)| StateError::Io(path, error.into()))
    }

    /// Has this directory for as long as this is held, and does not wait for somebody else who does.
    ///
    /// # Errors
    /// [`StateError::InUse`] if somebody does.
    pub fn claim(&self) -> Result<Lock, StateError> {
        let path = self.path.join("running");
        let failed = |error| StateError::Io(path.clone(), error);
        let file = options().create(true).truncate(false).open(&path);
        let file = file.map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Lock(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(StateError::InUse(self.path.clone())),
            Err((_, error)) => Err(failed(error.into())),
        }
    }

    /// The same, for whoever is to stay: somebody may be about to end, or only looks whether anybody is here, and nothing
    /// announces when the kernel has let go of it. Blocks for a moment at most.
    ///
    /// # Errors
    /// [`StateError::InUse`] if somebody has it even then.
    pub fn claim_soon(&self) -> Result<Lock, StateError> {
        let deadline = Instant::now() + CLAIM_MAX;
        loop {
            match self.claim() {
                Err(StateError::InUse(_)) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(5));
                }
                claimed => return claimed,
            }
        }
    }

    /// All of a file, or nothing if it does not exist.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(name);
        let failed = |error| StateError::Io(path.clone(), error);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let facts = file.metadata().map_err(failed)?;
        if facts.uid() != nix::unistd::geteuid().as_raw() {
            return Err(StateError::NotOurs(path));
        }
        if facts.mode() & 0o077 != 0 {
            return Err(StateError::TooOpen(path, "600"));
        }
        if !facts.is_file() || facts.len() > FILE_BYTES_MAX {
            return Err(StateError::Damaged(path));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Makes `bytes` the content of a file. When this returns they are on the disk; after a crash the file is either
    /// the old one or the new one.
    pub fn replace(&self, name: &str, bytes: &[u8], _held: &Lock) -> Result<(), StateError> {
        let (path, next) = (self.path.join(name), self.path.join(format!("{name}.next")));
        let replace = || {
            // What a crash left. Nobody else is writing it: the lock is held.
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = options().create_new(true).open(&next)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(&self.path)?.sync_all()
        };
        replace().map_err(|error| StateError::Io(path.clone(), error))
    }

    /// The sentence for a file with nonsense in it.
    pub fn damaged(&self, name: &str) -> StateError {
        StateError::Damaged(self.path.join(name))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

/// More than tens of thousands of members need, and little enough to read at once.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How long a process that ends may take to let go of its directory.
const CLAIM_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A directory that goes when the test does.
    pub(crate) struct Scratch(pub StateDir);

    impl Scratch {
        pub(crate) fn new() -> Scratch {
            let name = format!("fabric-trust-{:032x}", deploy_sys::random::bits().unwrap());
            Scratch(StateDir::open(&std::env::temp_dir().join(name)).unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.path());
        }
    }

    #[test]
    fn files_are_private_and_replaced_whole() {
        let scratch = Scratch::new();
        let dir = &scratch.0;
        assert_eq!(dir.read("a").unwrap(), None);
        let lock = dir.lock().unwrap();
        fs::write(dir.path().join("a.next"), "left by a crash").unwrap();
        dir.replace("a", b"one", &lock).unwrap();
        dir.replace("a", b"two", &lock).unwrap();
        assert_eq!(dir.read("a").unwrap().as_deref(), Some(&b"two"[..]));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("a")), 0o600);
        assert_eq!(mode(dir.path()), 0o700);
        assert!(!dir.path().join("a.next").exists());
    }

    #[test]
    fn one_daemon_has_a_directory_at_a_time() {
        let scratch = Scratch::new();
        let held = scratch.0.claim().unwrap();
        let error = scratch.0.claim().unwrap_err();
        assert!(matches!(error, StateError::InUse(_)), "{error}");
        scratch.0.lock().unwrap(); // Commands change files meanwhile.
        drop(held);
        scratch.0.claim().unwrap();
    }

    #[test]
    fn who_is_about_to_end_is_waited_for() {
        let scratch = Scratch::new();
        let held = scratch.0.claim().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| scratch.0.claim_soon());
            thread::sleep(Duration::from_millis(50)); // Who tries on is announced nowhere.
            assert!(!waiting.is_finished());
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_others_can_use_and_links_are_refused() {
        let scratch = Scratch::new();
        let dir = &scratch.0;
        let path = dir.path().join("a");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = dir.read("a").unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        symlink("/etc/passwd", dir.path().join("b")).unwrap();
        assert!(matches!(dir.read("b"), Err(StateError::Io(..))));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
}
