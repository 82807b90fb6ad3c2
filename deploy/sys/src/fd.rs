//! Descriptors: how they are numbered, what survives an exec, what they are.
//!
//! Nothing is read or written here. Owners are `OwnedFd`; a bare number appears only where one crosses an exec.

use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit},
        socket::{AddressFamily, SockFlag, SockType, getsockopt, socketpair, sockopt},
        stat::fstat,
        statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs},
    },
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Moves a descriptor to a number that no program closes or duplicates onto by accident.
///
/// It is closed on exec afterwards. Where the limit on descriptors leaves no number that high, it stays where it was.
pub fn raise(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    use nix::errno::Errno;
    if descriptor.as_raw_fd() >= RAISED_MIN {
        fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        return Ok(descriptor);
    }
    match fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(RAISED_MIN)) {
        // SAFETY: the kernel has just made this number for us, so nothing else owns it.
        Ok(number) => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        Err(Errno::EINVAL | Errno::EMFILE) => Ok(descriptor),
        Err(error) => Err(error.into()),
    }
}

/// A number that no program closes or duplicates onto by accident, for a descriptor of a process that is started; none
/// where the limit on descriptors leaves none that high.
pub fn high_number() -> Option<RawFd> {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    (soft > RAISED_MIN as u64).then_some(RAISED_MIN)
}

/// Whether this error says that a number of ours names nothing any more, or something that is no socket: the program
/// has closed it.
pub fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK))
}

/// Makes reads and writes of this open file return `WouldBlock` rather than wait.
///
/// The flag belongs to the open file, not to the number: never set it on one that another program gave us.
pub fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Marks every descriptor from `first` on as closed by the next exec.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let (first, last) = (first as libc::c_uint, libc::c_uint::MAX);
    // SAFETY: with this flag the call closes nothing now and touches no memory of ours.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            last,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether both are the same file, terminal or pipe.
pub fn same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Two ends of a new stream of bytes in both directions, closed on exec.
pub fn socketpair_stream() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        flags,
    )?)
}

/// The owner of the descriptor that the monitor left at this number, closed on exec from here on.
///
/// An error if nothing is open there, or it is no packet socket: then the number did not come from a monitor. To be
/// called at most once for a number, before anything else in the process can own it.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    adopt_if(number, |descriptor| {
        Ok(getsockopt(&descriptor, sockopt::SockType)? == SockType::SeqPacket)
    })
}

/// The same for the directory of a control group.
pub fn adopt_group(number: RawFd) -> io::Result<OwnedFd> {
    adopt_if(number, |descriptor| {
        let kind = fstatfs(descriptor)?.filesystem_type();
        Ok([CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&kind))
    })
}

fn adopt_if(
    number: RawFd,
    is_right: impl FnOnce(BorrowedFd<'_>) -> io::Result<bool>,
) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the borrow ends before this function does, and every call on it copes with a number that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if !is_right(borrowed)? {
        return Err(io::Error::from_raw_os_error(libc::EPROTOTYPE));
    }
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and as the documentation asks nobody else owns what was inherited under this number.
    Ok(unsafe { OwnedFd::from_raw_fd(borrowed.as_raw_fd()) })
}

/// Above what programs number by hand, below the usual soft limit of 1024.
const RAISED_MIN: RawFd = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{Read, Write},
        os::{
            fd::{AsFd, IntoRawFd},
            unix::net::UnixStream,
        },
    };

    fn is_closed_on_exec(descriptor: impl AsFd) -> bool {
        fcntl(descriptor, FcntlArg::F_GETFD).unwrap() & libc::FD_CLOEXEC != 0
    }

    #[test]
    fn raised_descriptors_are_high_and_the_same_file() {
        let (one, other) = socketpair_stream().unwrap();
        let before = File::from(one.try_clone().unwrap());
        let raised = raise(one).unwrap();
        assert!(raised.as_raw_fd() >= RAISED_MIN);
        assert!(is_closed_on_exec(&raised));
        assert!(same_file(before.as_fd(), raised.as_fd()));
        assert!(!same_file(other.as_fd(), raised.as_fd()));
    }

    #[test]
    fn a_nonblocking_socket_does_not_wait() {
        let (one, other) = socketpair_stream().unwrap();
        set_nonblocking(one.as_fd()).unwrap();
        let (mut one, mut other) = (UnixStream::from(one), UnixStream::from(other));
        let error = one.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        other.write_all(b"x").unwrap();
        assert_eq!(one.read(&mut [0]).unwrap(), 1);
    }

    #[test]
    fn only_packet_sockets_are_adopted() {
        let (packets, _peer) = crate::packet::pair().unwrap();
        let number = packets.into_raw_fd();
        let adopted = adopt(number).unwrap();
        assert_eq!(adopted.as_raw_fd(), number);
        assert!(is_closed_on_exec(&adopted));

        let (stream, _peer) = socketpair_stream().unwrap();
        let refused = adopt(stream.as_raw_fd()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPROTOTYPE));
        assert_eq!(
            adopt(1 << 20).unwrap_err().raw_os_error(),
            Some(libc::EBADF)
        );
        assert!(adopt(0).is_err() && adopt(-1).is_err());
        let refused = adopt_group(stream.as_raw_fd()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EPROTOTYPE));
    }

    #[test]
    fn what_an_exec_would_keep_can_be_marked() {
        // A number far up, so that descriptors of tests that run beside this one are left alone.
        let kept = nix::unistd::dup(File::open("/dev/null").unwrap()).unwrap();
        let kept = fcntl(&kept, FcntlArg::F_DUPFD(900)).unwrap();
        // SAFETY: the kernel has just made this number for us.
        let kept = unsafe { OwnedFd::from_raw_fd(kept) };
        assert!(!is_closed_on_exec(&kept));
        close_on_exec_from(900).unwrap();
        assert!(is_closed_on_exec(&kept));
    }
}
