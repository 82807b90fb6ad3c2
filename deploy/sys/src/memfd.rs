//! Files in memory that nobody can change once they are made.
//!
//! Such a file is handed to another process without copying; reading it never depends on a shared position.

use crate::limit;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{
    ffi::CString,
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    thread,
    time::Duration,
};

/// A new file with these bytes, sealed against every change. The name is for people who look into `/proc`.
///
/// # Errors
/// If there is no memory or descriptor for it, or a limit on the size of files does not let it be so long.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<File> {
    limit::check_file(bytes.len() as u64)?;
    let name = CString::new(name)?;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(name.as_c_str(), flags)?);
    file.write_all(bytes)?;
    seal(&file)?;
    Ok(file)
}

/// The kernel refuses while it holds a page of the file itself, as when it moves memory about: then not for long.
fn seal(file: &File) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match fcntl(file, FcntlArg::F_ADD_SEALS(SealFlag::all())) {
            Err(Errno::EBUSY) if tries < BUSY_MAX => tries += 1,
            done => return Ok(done.map(drop)?),
        }
        thread::sleep(BUSY_WAIT);
    }
}

/// All of a file, from its beginning, wherever somebody else has read to. Its memory is written once, not zeroed before.
pub fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let room = bytes.try_reserve_exact(len);
    room.map_err(|_| limit::no_memory())?;
    while bytes.len() < len {
        let (from, missing) = (bytes.len() as i64, len - bytes.len());
        let at = bytes.spare_capacity_mut()[..missing].as_mut_ptr();
        // SAFETY: `at` points at `missing` bytes that belong to `bytes` and that nobody else sees.
        let read = unsafe { libc::pread(file.as_raw_fd(), at.cast(), missing, from) };
        match Errno::result(read) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            // SAFETY: the kernel has written the first `read` bytes of the spare room.
            Ok(read) => unsafe { bytes.set_len(bytes.len() + read as usize) },
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// Seen once, under load; the kernel has then waited for some 200 ms by itself.
const BUSY_MAX: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, os::unix::fs::FileExt};

    #[test]
    fn bytes_come_back_from_the_beginning_twice() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let mut file = sealed("argument", &bytes).unwrap();
        file.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(read_all(&file).unwrap(), bytes);
        assert_eq!(read_all(&file).unwrap(), bytes);
        assert_eq!(read_all(&sealed("empty", b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn a_sealed_file_takes_no_change() {
        let file = sealed("argument", b"fixed").unwrap();
        assert!(file.write_at(b"other", 0).is_err());
        assert!(file.set_len(2).is_err());
        assert_eq!(read_all(&file).unwrap(), b"fixed");
    }
}
