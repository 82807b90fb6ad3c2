//! Pipes that carry another program's output: large, and read without waiting.
//!
//! What is in them is not looked at.

use crate::fd;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd::pipe2,
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

/// A new pipe, its reading end first: that one does not wait, and only the other may be given away. It has a high number,
/// and the other a low one, as [`crate::launch`] wishes for what it is to hand on.
///
/// It holds a mebibyte, or what the kernel grants anyway where this user's pipes hold too much already.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // A smaller pipe is slower and nothing else.
    let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    Ok((fd::raise(reader)?, writer))
}

/// Reads at most `bytes_max` bytes in one call and appends them; 0 at the end of file.
pub fn read_into(
    reader: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<usize> {
    buffer.reserve(bytes_max);
    let room = buffer.spare_capacity_mut();
    // SAFETY: the memory is the vector's reserved capacity, at least `bytes_max` bytes of it.
    let read = unsafe { libc::read(reader.as_raw_fd(), room.as_mut_ptr().cast(), bytes_max) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel wrote `read` bytes, at most the capacity, right behind the vector's length.
    unsafe { buffer.set_len(buffer.len() + read) };
    Ok(read)
}

/// How many bytes wait in a pipe to be read.
pub fn bytes_waiting(reader: BorrowedFd<'_>) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: this request writes one `int`, and `count` is one.
    match unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &mut count) } {
        0 => count as usize,
        _ => 0,
    }
}

/// The most that a program without privileges may ask for, by default.
const PIPE_BYTES: i32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Write, os::fd::AsFd};

    #[test]
    fn bytes_come_through_and_the_reader_never_waits() {
        let (reader, writer) = pipe().unwrap();
        let mut writer = File::from(writer);
        let mut buffer = b"before ".to_vec();
        let empty = read_into(reader.as_fd(), &mut buffer, 100).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        writer.write_all(b"and after").unwrap();
        assert_eq!(bytes_waiting(reader.as_fd()), 9);
        assert_eq!(read_into(reader.as_fd(), &mut buffer, 3).unwrap(), 3);
        assert_eq!(read_into(reader.as_fd(), &mut buffer, 100).unwrap(), 6);
        assert_eq!(buffer, b"before and after");
        drop(writer);
        assert_eq!(read_into(reader.as_fd(), &mut buffer, 100).unwrap(), 0);
    }
}
