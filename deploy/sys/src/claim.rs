//! Numbers of which each belongs to one holder on the machine, for as long as that lives, however it ends.
//!
//! A holder locks one byte of a file that all of them know; the kernel takes the lock back with the last descriptor.
//! Deliberately absent: who the numbers are for, and any list of them: the file stays empty.

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
};
use std::{fs::File, io, os::unix::fs::OpenOptionsExt, path::Path};

/// A number that nobody else has. Dropping this gives it back.
#[derive(Debug)]
pub struct Claim {
    file: File,
    number: u32,
}

impl Claim {
    /// Takes this number, unless somebody has it. The file is made if it is not there, for this user alone.
    ///
    /// # Errors
    /// If the file can neither be opened nor made.
    pub fn take(file: &Path, number: u32) -> io::Result<Option<Claim>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(file)?;
        match lock(&file, number, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Claim { file, number })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Closing the file is not enough: a process that was just started holds it, too, until it executes its program.
impl Drop for Claim {
    fn drop(&mut self) {
        let _ = lock(&self.file, self.number, libc::F_UNLCK); // What is locked can be unlocked.
    }
}

/// Locks of open files, not of processes: so they conflict within a process too.
fn lock(file: &File, number: u32, kind: i32) -> nix::Result<()> {
    // SAFETY: all zero bytes are a `flock`: it holds nothing but integers.
    let mut byte: libc::flock = unsafe { std::mem::zeroed() };
    byte.l_type = kind as libc::c_short;
    byte.l_whence = libc::SEEK_SET as libc::c_short;
    byte.l_start = number.into();
    byte.l_len = 1;
    fcntl(file, FcntlArg::F_OFD_SETLK(&byte)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        env, fs,
        io::{Read, Write},
        process::{Command, Stdio},
    };

    fn file(name: &str) -> std::path::PathBuf {
        env::temp_dir().join(format!("deploy-test-claim-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_number_is_one_holders_until_it_is_dropped() {
        let file = file("drop");
        let take = |number| Claim::take(&file, number).unwrap();
        let (one, other) = (take(7).unwrap(), take(8).unwrap());
        assert!(take(7).is_none() && take(8).is_none());
        drop(one);
        assert!(take(7).is_some());
        assert!(take(8).is_none());
        drop(other);
        assert!(take(8).is_some());
        fs::remove_file(file).unwrap();
    }

    /// The test program once more, as the other process.
    #[test]
    fn a_number_is_free_again_when_its_holder_is_killed() {
        const HOLDER: &str = "DEPLOY_TEST_CLAIM";
        if let Some(file) = env::var_os(HOLDER) {
            let _claim = Claim::take(Path::new(&file), 7).unwrap().unwrap();
            io::stderr().write_all(b"held").unwrap();
            let _ = io::stdin().read(&mut [0]);
            return;
        }
        let file = file("kill");
        let mut holder = Command::new(env::current_exe().unwrap())
            .args([
                "a_number_is_free_again_when_its_holder_is_killed",
                "--nocapture",
            ])
            .env(HOLDER, &file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 4];
        holder.stderr.take().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"held");
        assert!(Claim::take(&file, 7).unwrap().is_none());
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(Claim::take(&file, 7).unwrap().is_some());
        fs::remove_file(file).unwrap();
    }
}
