//! Bytes over connected stream sockets, without blocking, and the wait for more.
//!
//! `recv` and `sendmsg`, never `read` and `write`: where a user's program closed our descriptor and its number now
//! names a file, they fail with ENOTSOCK and the file stays whole.

use crate::packet::{Control, take_descriptors};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        self, AddressFamily, ControlMessage, MsgFlags, Shutdown, SockaddrLike, SockaddrStorage,
        getsockname, getsockopt, recv, send, sendmsg, setsockopt, sockopt,
    },
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// Reads what is there; 0 is the end of file, `WouldBlock` says that nothing is there yet.
pub fn read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))
}

/// Blocks until something is there and reads it; 0 is the end of file, `Interrupted` a signal that was handled.
pub fn read_blocking(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::empty())?)
}

/// Reads what is there, at most `count` bytes, to the end of `buffer`, which has room for them.
pub fn read_onto(socket: BorrowedFd<'_>, buffer: &mut Vec<u8>, count: usize) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let count = count.min(spare.len());
    let at = spare.as_mut_ptr().cast::<libc::c_void>();
    let read = retry(|| {
        // SAFETY: `at` points at `count` bytes that belong to `buffer` and that nobody else sees.
        let read = unsafe { libc::recv(socket.as_raw_fd(), at, count, libc::MSG_DONTWAIT) };
        Errno::result(read)
    })? as usize;
    // SAFETY: the kernel has written the first `read` bytes of the spare room.
    unsafe { buffer.set_len(buffer.len() + read) };
    Ok(read)
}

/// Reads what is there to `first`, and what follows to `second`: how much in all.
pub fn read_both(socket: BorrowedFd<'_>, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
    let mut slices = [first, second].map(|slice| libc::iovec {
        iov_base: slice.as_mut_ptr().cast(),
        iov_len: slice.len(),
    });
    // SAFETY: both point at memory that is borrowed exclusively for the length that they say.
    unsafe { receive(socket, &mut slices) }
}

/// Reads what is there to `first`, and what follows, at most `count` bytes, to the end of `buffer`, which has room for
/// them: how much in all.
pub fn read_and_onto(
    socket: BorrowedFd<'_>,
    first: &mut [u8],
    buffer: &mut Vec<u8>,
    count: usize,
) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let mut slices = [
        libc::iovec {
            iov_base: first.as_mut_ptr().cast(),
            iov_len: first.len(),
        },
        libc::iovec {
            iov_base: spare.as_mut_ptr().cast(),
            iov_len: count.min(spare.len()),
        },
    ];
    // SAFETY: both point at memory that is borrowed exclusively for the length that they say, which may be the start of it.
    let read = unsafe { receive(socket, &mut slices) }?;
    let onto = read.saturating_sub(first.len());
    // SAFETY: the kernel fills the slices in order, so it has written the first `onto` bytes of the spare room.
    unsafe { buffer.set_len(buffer.len() + onto) };
    Ok(read)
}

/// Reads what is there into the slices, one after the other.
///
/// # Safety
/// Each slice names memory that may be written, for its whole length, and that nobody else sees.
unsafe fn receive(socket: BorrowedFd<'_>, slices: &mut [libc::iovec; 2]) -> io::Result<usize> {
    // SAFETY: a message header is plain numbers and pointers, of which zero says that there is nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = slices.as_mut_ptr();
    message.msg_iovlen = slices.len();
    let read = retry(|| {
        // SAFETY: the header names the slices, which live on, and by the caller's word what they name may be written.
        let read =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        Errno::result(read)
    })?;
    Ok(read as usize)
}

/// Writes what fits of one slice and then the other; `WouldBlock` says that nothing does.
pub fn write(socket: BorrowedFd<'_>, first: &[u8], second: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    if second.is_empty() {
        return retry(|| send(socket.as_raw_fd(), first, flags));
    }
    let slices = [IoSlice::new(first), IoSlice::new(second)];
    retry(|| sendmsg::<()>(socket.as_raw_fd(), &slices, &[], flags, None))
}

/// As [`write()`], with a descriptor beside the first byte.
pub fn write_beside(
    socket: BorrowedFd<'_>,
    first: &[u8],
    second: &[u8],
    descriptor: BorrowedFd<'_>,
) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let slices = [IoSlice::new(first), IoSlice::new(second)];
    let numbers = [descriptor.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&numbers)];
    retry(|| sendmsg::<()>(socket.as_raw_fd(), &slices, &rights, flags, None))
}

/// As [`read`], with the descriptor that came beside it, if one did and this process had a number for it.
pub fn read_beside(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = Control::new();
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a message header is plain numbers and pointers, of which zero says that there is nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    control.be_of(&mut message);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let read = retry(|| {
        // SAFETY: the header names the slice, which is borrowed exclusively for the length that it says, and the memory for
        // control messages, which lives on.
        let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        Errno::result(read)
    })?;
    // SAFETY: the kernel has filled the control memory up to the header's new length with whole control messages.
    let descriptors = unsafe { take_descriptors(&message) };
    Ok((read as usize, descriptors.into_iter().next()))
}

/// As [`read`], of bytes that say nothing but that they are there.
pub fn read_bells(socket: BorrowedFd<'_>) -> io::Result<usize> {
    read(socket, &mut [0; BELLS_MAX])
}

/// Writes a byte that says nothing, to wake whoever sleeps on the other end: where there is no room, it is awake already.
pub fn ring_bell(socket: BorrowedFd<'_>) -> io::Result<()> {
    match write(socket, &[0], &[]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// Sleeps until the socket is readable, or writable where `write` asks for that too, or its peer is gone, or the time
/// is over; or, rarely, for no reason.
pub fn wait(socket: BorrowedFd<'_>, write: bool, timeout: Option<Duration>) {
    let interest = if write {
        PollFlags::POLLIN | PollFlags::POLLOUT
    } else {
        PollFlags::POLLIN
    };
    let mut polled = [PollFd::new(socket, interest)];
    // Longer waits than poll's own longest are cut: the caller looks again.
    let millis = timeout.map(|left| left.as_micros().div_ceil(1000).min(1 << 30) as i32);
    let timeout = match millis {
        Some(millis) => PollTimeout::try_from(millis).expect("no more than 2^30 ms"),
        None => PollTimeout::NONE,
    };
    // EINTR is one of the rare reasons; nothing else can go wrong with one open descriptor.
    let _ = poll(&mut polled, timeout);
}

/// Whether there is still a socket behind this number: the program may have closed what is not its own.
pub fn is_socket(socket: BorrowedFd<'_>) -> bool {
    getsockopt(&socket, sockopt::SockType).is_ok()
}

/// Whether it leads over TCP, and not to somebody on this machine who is no further than this socket.
pub fn is_tcp(socket: BorrowedFd<'_>) -> bool {
    let family = getsockname::<SockaddrStorage>(socket.as_raw_fd()).map(|own| own.family());
    matches!(family, Ok(Some(AddressFamily::Inet | AddressFamily::Inet6)))
}

/// Ends both directions: whoever waits for the socket finds its end of file.
pub fn shutdown(socket: BorrowedFd<'_>) {
    // It fails only where the peer is gone already, which is the same end.
    let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Both);
}

/// Ends what we write: whoever reads at the other end finds the end of file behind it.
pub fn shutdown_write(socket: BorrowedFd<'_>) {
    // As above.
    let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Write);
}

/// Reads no more: whoever writes at the other end is told so.
pub fn shutdown_read(socket: BorrowedFd<'_>) {
    // As above.
    let _ = socket::shutdown(socket.as_raw_fd(), Shutdown::Read);
}

/// Asks for a send buffer of this many bytes; the kernel gives what the administrator lets it.
pub fn enlarge_send_buffer(socket: BorrowedFd<'_>, bytes: usize) {
    // A smaller one than asked is slower for long values, and nothing else.
    let _ = setsockopt(&socket, sockopt::SndBuf, &bytes);
}

/// Asks the kernel to keep no more of a TCP connection than so many bytes that it cannot send yet: a write beyond that would
/// block, and the socket is writable again when there are less.
pub fn keep_unsent_below(socket: BorrowedFd<'_>, bytes: usize) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_tcp(socket, libc::TCP_NOTSENT_LOWAT, bytes);
}

/// How the kernel finds out whether the machine at the other end of a silent TCP connection is still reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Questions {
    /// It asks first when nothing was said for so long.
    pub idle_seconds: u8,
    /// And then as often, until it is answered.
    pub every_seconds: u8,
    /// So many that are not answered, one after the other, end the connection.
    pub unanswered_max: u8,
}

/// Has the kernel end a TCP connection whose other machine is not reached any more. A machine whose program is stopped
/// answers. Nothing is asked while something is on its way that was not acknowledged.
pub fn end_with_peer(socket: BorrowedFd<'_>, questions: Questions) {
    set_tcp(socket, libc::TCP_KEEPIDLE, questions.idle_seconds.into());
    set_tcp(socket, libc::TCP_KEEPINTVL, questions.every_seconds.into());
    set_tcp(socket, libc::TCP_KEEPCNT, questions.unanswered_max.into());
    // As below.
    let _ = setsockopt(&socket, sockopt::KeepAlive, &true);
}

/// Whether the other machine has acknowledged all that was written to a TCP connection.
pub fn is_acknowledged(socket: BorrowedFd<'_>) -> bool {
    let mut left: libc::c_int = 0;
    // SAFETY: the kernel writes one integer, to the place of one.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut left) };
    asked == 0 && left == 0
}

/// Where it is refused, the connection is as slow to notice as any, and nothing else.
fn set_tcp(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) {
    // SAFETY: the option's value is the integer that the pointer and the length describe, and the kernel only reads it.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
}

fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// More bells than ring while one sleeps.
const BELLS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd::socketpair_stream;
    use std::{
        net::{Ipv4Addr, TcpListener, TcpStream},
        os::fd::AsFd,
    };

    #[test]
    fn a_descriptor_comes_with_the_bytes_beside_it_or_before() {
        let (one, other) = socketpair_stream().unwrap();
        let (sent, rest) = socketpair_stream().unwrap();
        write(one.as_fd(), b"before ", b"").unwrap();
        write_beside(one.as_fd(), b"bes", b"ide", sent.as_fd()).unwrap();
        write(one.as_fd(), b" behind", b"").unwrap();
        let mut buffer = [0; 64];
        let (count, descriptor) = read_beside(other.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"before beside");
        write(descriptor.unwrap().as_fd(), b"x", b"").unwrap();
        assert_eq!(read(rest.as_fd(), &mut buffer).unwrap(), 1);
        let (count, descriptor) = read_beside(other.as_fd(), &mut buffer).unwrap();
        assert_eq!(
            (&buffer[..count], descriptor.is_none()),
            (&b" behind"[..], true)
        );
        ring_bell(one.as_fd()).unwrap();
        assert_eq!(read_bells(other.as_fd()).unwrap(), 1);
        drop(other);
        assert!(ring_bell(one.as_fd()).is_err());
    }

    #[test]
    fn tcp_is_told_from_a_pair() {
        let (one, _other) = socketpair_stream().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let dialed = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let known = [one.as_fd(), dialed.as_fd()].map(is_tcp);
        assert_eq!(known, [false, true]);
    }

    #[test]
    fn two_slices_arrive_as_one_text() {
        let (one, other) = socketpair_stream().unwrap();
        assert_eq!(write(one.as_fd(), b"hello ", b"world").unwrap(), 11);
        wait(other.as_fd(), false, None);
        let mut text = Vec::with_capacity(64);
        assert_eq!(read_onto(other.as_fd(), &mut text, 6).unwrap(), 6);
        assert_eq!(read_onto(other.as_fd(), &mut text, 64).unwrap(), 5);
        assert_eq!(text, b"hello world");
    }

    #[test]
    fn one_text_arrives_in_two_places() {
        let (one, other) = socketpair_stream().unwrap();
        write(one.as_fd(), b"hello world", b"").unwrap();
        let (mut first, mut text) = ([0; 6], Vec::with_capacity(64));
        let read = read_and_onto(other.as_fd(), &mut first, &mut text, 3);
        assert_eq!(
            (read.unwrap(), &first, &text[..]),
            (9, b"hello ", &b"wor"[..])
        );
        write(one.as_fd(), b"!", b"").unwrap();
        let mut second = [0; 8];
        assert_eq!(
            read_both(other.as_fd(), &mut first[..2], &mut second).unwrap(),
            3
        );
        assert_eq!((&first[..2], &second[..1]), (&b"ld"[..], &b"!"[..]));
        write(one.as_fd(), b"x", b"").unwrap();
        let read = read_and_onto(other.as_fd(), &mut first, &mut text, 3);
        assert_eq!((read.unwrap(), text.len()), (1, 3));
        let read = read_and_onto(other.as_fd(), &mut first, &mut text, 3);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn nothing_there_would_block_and_a_gone_peer_ends() {
        let (one, other) = socketpair_stream().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(
            read(one.as_fd(), &mut buffer).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        drop(other);
        wait(one.as_fd(), false, None);
        assert_eq!(read(one.as_fd(), &mut buffer).unwrap(), 0);
        assert_eq!(
            write(one.as_fd(), b"x", b"").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[test]
    fn a_wait_ends_with_its_time() {
        let (one, _other) = socketpair_stream().unwrap();
        let start = std::time::Instant::now();
        wait(one.as_fd(), false, Some(Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(19));
    }

    #[test]
    fn what_was_written_is_acknowledged_once_the_other_machine_has_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        assert!(is_acknowledged(one.as_fd()));
        // Nobody reads it, and so in the end its kernel takes no more.
        while write(one.as_fd(), &[0; 1 << 16], b"").is_ok() {}
        assert!(!is_acknowledged(one.as_fd()));
        drop(other);
    }

    #[test]
    fn each_direction_ends_by_itself() {
        let (one, other) = socketpair_stream().unwrap();
        write(one.as_fd(), b"x", b"").unwrap();
        shutdown_write(one.as_fd());
        assert_eq!(read(other.as_fd(), &mut [0; 8]).unwrap(), 1);
        assert_eq!(read(other.as_fd(), &mut [0; 8]).unwrap(), 0);
        assert_eq!(write(other.as_fd(), b"y", b"").unwrap(), 1);
        shutdown_read(one.as_fd());
        let refused = write(other.as_fd(), b"z", b"").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn shutdown_wakes_both_ends() {
        let (one, other) = socketpair_stream().unwrap();
        shutdown(one.as_fd());
        wait(one.as_fd(), false, None);
        wait(other.as_fd(), false, None);
        assert_eq!(read(one.as_fd(), &mut [0]).unwrap(), 0);
        assert_eq!(read(other.as_fd(), &mut [0]).unwrap(), 0);
    }
}
