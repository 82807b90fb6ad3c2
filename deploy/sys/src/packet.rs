//! Whole packets with descriptors beside them, over a pair of Unix sockets, or one that is found by a name.
//!
//! A packet's bytes arrive whole or not at all: one that was cut is an error. Its descriptors may be lost where the
//! receiver has no numbers left for them, and then it is told. What the bytes mean is for others to know.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::{
    socket::{
        AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind,
        sendmsg, setsockopt, socket, socketpair, sockopt,
    },
    time::{TimeVal, TimeValLike},
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

/// The longest packet: what the kernel's default socket buffer (208 KiB) holds, with room for its own records.
pub const PACKET_BYTES_MAX: usize = 200 << 10;

/// The most descriptors beside one packet.
pub const PACKET_DESCRIPTORS_MAX: usize = 8;

/// What came beside a packet.
#[derive(Debug, Default)]
pub struct Beside {
    /// The descriptors, closed on exec.
    pub descriptors: Vec<OwnedFd>,
    /// Whether there were more, for which this process had no numbers left: they are closed.
    pub is_cut: bool,
}

/// The descriptors, for whom a missing one says enough.
impl IntoIterator for Beside {
    type Item = OwnedFd;
    type IntoIter = std::vec::IntoIter<OwnedFd>;

    fn into_iter(self) -> Self::IntoIter {
        self.descriptors.into_iter()
    }
}

/// Two ends of a new packet socket, closed on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    for end in [&one, &other] {
        setsockopt(end, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    }
    Ok((one, other))
}

/// A socket of this name in this directory, at which others [`connect`]; it does not wait, and is closed on exec.
///
/// # Errors
/// If something of that name is there.
pub fn listen(directory: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(listener.as_raw_fd(), &address(directory, name)?)?;
    nix::sys::socket::listen(&listener, Backlog::new(CALLERS_MAX)?)?;
    Ok(listener)
}

/// The next who has connected to such a socket; fails with [`io::ErrorKind::WouldBlock`] where there is none.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let number = nix::sys::socket::accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: the kernel has just made this number for us, so nothing else owns it.
    let caller = unsafe { OwnedFd::from_raw_fd(number) };
    setsockopt(&caller, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    Ok(caller)
}

/// Connects to the socket of this name. [`receive`] fails with [`io::ErrorKind::WouldBlock`] there after so long.
///
/// # Errors
/// If nobody listens, among others.
pub fn connect(directory: BorrowedFd<'_>, name: &str, patience: Duration) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let caller = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    setsockopt(&caller, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    let patience = TimeVal::microseconds(patience.as_micros() as i64);
    setsockopt(&caller, sockopt::ReceiveTimeout, &patience)?;
    nix::sys::socket::connect(caller.as_raw_fd(), &address(directory, name)?)?;
    Ok(caller)
}

/// By way of the open directory: a path of its own may be longer than the kernel takes.
fn address(directory: BorrowedFd<'_>, name: &str) -> io::Result<UnixAddr> {
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    Ok(UnixAddr::new(path.as_str())?)
}

/// Sends a packet, waiting until the other end's queue has room.
///
/// # Panics
/// If it is empty, which reads as the end of file, or exceeds a limit of this module.
pub fn send(
    socket: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_with(socket, packet, descriptors, MsgFlags::empty())
}

/// The same, but fails with [`io::ErrorKind::WouldBlock`] where [`send`] would wait.
pub fn try_send(
    socket: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_with(socket, packet, descriptors, MsgFlags::MSG_DONTWAIT)
}

/// Whether [`receive`] would not wait.
pub fn is_waiting(socket: BorrowedFd<'_>) -> bool {
    let mut ears = [PollFd::new(socket, PollFlags::POLLIN)];
    poll(&mut ears, PollTimeout::ZERO) != Ok(0)
}

/// Receives a packet into `packet`, replacing what was there; returns what came beside it.
///
/// Waits until there is one. Nothing, once the other end is closed and all its packets have been received.
pub fn receive(socket: BorrowedFd<'_>, packet: &mut Vec<u8>) -> io::Result<Option<Beside>> {
    receive_with(socket, packet, 0)
}

/// The same, but fails with [`io::ErrorKind::WouldBlock`] where [`receive`] would wait.
pub fn try_receive(socket: BorrowedFd<'_>, packet: &mut Vec<u8>) -> io::Result<Option<Beside>> {
    receive_with(socket, packet, libc::MSG_DONTWAIT)
}

fn send_with(
    socket: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: MsgFlags,
) -> io::Result<()> {
    assert!(
        (1..=PACKET_BYTES_MAX).contains(&packet.len()),
        "a packet has 1 to {PACKET_BYTES_MAX} bytes, not {}",
        packet.len()
    );
    assert!(descriptors.len() <= PACKET_DESCRIPTORS_MAX);
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[] } else { &rights[..] };
    let bytes = [IoSlice::new(packet)];
    let flags = flags | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &bytes, rights, flags, None) {
            Ok(sent) => {
                assert_eq!(sent, packet.len(), "packet sockets send all or nothing");
                return Ok(());
            }
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

fn receive_with(
    socket: BorrowedFd<'_>,
    packet: &mut Vec<u8>,
    flags: libc::c_int,
) -> io::Result<Option<Beside>> {
    packet.clear();
    packet.reserve(PACKET_BYTES_MAX);
    let mut control = Control::new();
    let mut bytes = libc::iovec {
        iov_base: packet.spare_capacity_mut().as_mut_ptr().cast(),
        iov_len: PACKET_BYTES_MAX,
    };
    // SAFETY: all zeros is a valid `msghdr`: null pointers with zero lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &mut bytes;
    header.msg_iovlen = 1;
    control.be_of(&mut header);
    let received = loop {
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header points at `bytes`, which is the reserved, writable capacity of `packet`, and at
        // `control`; both lengths are true and both outlive the call.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) };
        match io::Error::last_os_error() {
            _ if received >= 0 => break received as usize,
            error if is_passing(&error) => continue,
            error => return Err(error),
        }
    };
    // SAFETY: the kernel has filled `control` up to the header's new length with whole control messages.
    let descriptors = unsafe { take_descriptors(&header) };
    if header.msg_flags & libc::MSG_TRUNC != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a packet came cut",
        ));
    }
    // SAFETY: the kernel wrote this many bytes, at most the capacity, into the vector's memory.
    unsafe { packet.set_len(received) };
    let is_cut = header.msg_flags & libc::MSG_CTRUNC != 0;
    Ok((received > 0).then_some(Beside {
        descriptors,
        is_cut,
    }))
}

/// Whether receiving goes on after this error.
///
/// A peer that ends with packets unread leaves `ConnectionReset` in front of those that it sent before: the kernel
/// says it once, and what was sent is still there.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionReset | Interrupted)
}

/// Takes the ownership of every descriptor that came with a message.
///
/// # Safety
/// `header` is as `recvmsg` left it, its control buffer is alive, and this is called once for it.
pub(crate) unsafe fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: by this function's own conditions the header describes valid control messages.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, so it points at a whole control message within the buffer, which is aligned for it.
        let (head, data) = unsafe { (&*message, libc::CMSG_DATA(message)) };
        if (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            let prefix = data as usize - ptr::from_ref(head) as usize;
            #[allow(clippy::unnecessary_cast, reason = "musl has another type there")]
            let count = (head.cmsg_len as usize - prefix) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: such a message holds `count` descriptor numbers, new in this process and owned by nobody.
                descriptors.push(unsafe {
                    OwnedFd::from_raw_fd(data.cast::<RawFd>().add(index).read_unaligned())
                });
            }
        }
        // SAFETY: by this function's own conditions, with a message that came from the same header.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    descriptors
}

/// Memory for control messages, aligned as their headers are.
#[repr(C, align(8))]
pub(crate) struct Control([u8; CONTROL_BYTES]);

impl Control {
    pub(crate) fn new() -> Control {
        Control([0; CONTROL_BYTES])
    }

    /// The header names it from now on, for as long as it stays where it is.
    pub(crate) fn be_of(&mut self, header: &mut libc::msghdr) {
        header.msg_control = self.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
    }
}

/// Room for the descriptors and their header.
const CONTROL_BYTES: usize = 64 + PACKET_DESCRIPTORS_MAX * size_of::<RawFd>();
/// Who calls is accepted at once, or is gone.
const CALLERS_MAX: i32 = 4;
/// The kernel doubles it for its own records, up to its limit; the longest packet fits with certainty.
const SEND_BUFFER_BYTES: usize = PACKET_BYTES_MAX + (8 << 10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::fd::AsFd, time::Instant};

    #[test]
    fn packets_come_whole_and_in_order() {
        let (one, other) = pair().unwrap();
        assert!(!is_waiting(other.as_fd()));
        let lengths = [1, 100, PACKET_BYTES_MAX];
        let sender = std::thread::spawn(move || {
            for len in lengths {
                send(one.as_fd(), &vec![len as u8; len], &[]).unwrap();
            }
        });
        let mut packet = Vec::new();
        for len in lengths {
            while !is_waiting(other.as_fd()) {
                std::thread::yield_now();
            }
            assert!(
                receive(other.as_fd(), &mut packet)
                    .unwrap()
                    .unwrap()
                    .descriptors
                    .is_empty()
            );
            assert_eq!(packet, vec![len as u8; len]);
        }
        assert!(receive(other.as_fd(), &mut packet).unwrap().is_none());
        sender.join().unwrap();
    }

    #[test]
    fn descriptors_travel_beside_a_packet_in_order() {
        let (one, other) = pair().unwrap();
        let files: Vec<File> = (0..PACKET_DESCRIPTORS_MAX as u8)
            .map(|index| crate::memfd::sealed("number", &[index]).unwrap())
            .collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        send(one.as_fd(), b"files", &borrowed).unwrap();
        let mut packet = Vec::new();
        let came = receive(other.as_fd(), &mut packet).unwrap().unwrap();
        assert_eq!(packet, b"files");
        assert!(!came.is_cut);
        for (index, descriptor) in came.descriptors.into_iter().enumerate() {
            assert_eq!(
                crate::memfd::read_all(&File::from(descriptor)).unwrap(),
                [index as u8]
            );
        }
    }

    #[test]
    fn who_connects_by_a_name_is_heard_and_a_name_without_listener_is_refused() {
        let path = std::env::temp_dir().join(format!("packet-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let directory = File::open(&path).unwrap();
        let patience = Duration::from_millis(20);
        let call = || connect(directory.as_fd(), "socket", patience);
        assert_eq!(call().unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = listen(directory.as_fd(), "socket").unwrap();
        let nobody = accept(listener.as_fd()).unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
        let caller = call().unwrap();
        send(caller.as_fd(), b"hello", &[]).unwrap();
        let mut packet = Vec::new();
        let silent = receive(caller.as_fd(), &mut packet).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::WouldBlock);
        let heard = accept(listener.as_fd()).unwrap();
        receive(heard.as_fd(), &mut packet).unwrap().unwrap();
        assert_eq!(packet, b"hello");
        drop(listener);
        // A process that another test is just starting has the listener, too, until it executes its program.
        let deadline = Instant::now() + Duration::from_secs(10);
        let is_refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        while !call().is_err_and(is_refused) {
            assert!(Instant::now() < deadline, "somebody still listens");
            std::thread::yield_now();
        }
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn trying_does_not_wait() {
        let (one, other) = pair().unwrap();
        let mut packet = Vec::new();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        let nothing = try_receive(other.as_fd(), &mut packet).map(drop);
        assert_eq!(kind(nothing), io::ErrorKind::WouldBlock);
        let full = loop {
            if let Err(error) = try_send(one.as_fd(), &[7; 4096], &[]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        try_receive(other.as_fd(), &mut packet).unwrap().unwrap();
        assert_eq!(packet, [7; 4096]);
    }

    #[test]
    fn what_a_peer_sent_before_it_ended_is_received() {
        let (one, other) = pair().unwrap();
        send(one.as_fd(), b"never read", &[]).unwrap();
        send(other.as_fd(), b"last words", &[]).unwrap();
        drop(other);
        let mut packet = Vec::new();
        assert!(receive(one.as_fd(), &mut packet).unwrap().is_some());
        assert_eq!(packet, b"last words");
        assert!(receive(one.as_fd(), &mut packet).unwrap().is_none());
        assert!(send(one.as_fd(), b"x", &[]).is_err());
    }

    #[test]
    fn a_packet_longer_than_ours_is_an_error_and_leaks_nothing() {
        let (one, other) = pair().unwrap();
        let long = vec![0; PACKET_BYTES_MAX + 1];
        let file = File::open("/dev/null").unwrap();
        let rights = [file.as_raw_fd()];
        sendmsg::<()>(
            one.as_raw_fd(),
            &[IoSlice::new(&long)],
            &[ControlMessage::ScmRights(&rights)],
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        let error = receive(other.as_fd(), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
