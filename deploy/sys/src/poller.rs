//! One thread's wait for many sockets, and for other threads that wake it.
//!
//! It stands beside mio, which the monitor uses, for one reason: its descriptors are moved away from the low numbers
//! that a user's program opens and closes, and mio's cannot be.
//!
//! Readiness is told once: who is told reads until nothing is left.

use crate::fd::raise;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// Waits for readiness; every thread may add and remove and wake.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    waker: OwnedFd,
}

/// What of a socket is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Nothing, for now.
    Nothing,
    /// That something came.
    Arrivals,
    /// That something came, or that there is room again for what is to leave: a socket with nothing to send has room
    /// whenever its peer reads, and would be told of each time.
    BothWays,
    /// That there is room, once: to be told again, ask again.
    Room,
    /// That the other side has ended.
    End,
}

/// Room for what one wait found.
#[derive(Debug)]
pub struct Events {
    events: Vec<EpollEvent>,
    count: usize,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub fn new() -> io::Result<Poller> {
        let epoll = Epoll(raise(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?.0)?);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let waker = raise(EventFd::from_flags(flags)?.into())?;
        let poller = Poller { epoll, waker };
        poller.add(poller.waker.as_fd(), WOKEN, Interest::Nothing)?;
        Ok(poller)
    }

    /// Watches a socket, or watches it for something else, and tells of what it is ready for now.
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        match self.epoll.add(socket, event(token, interest)) {
            Err(Errno::EEXIST) => self.change(socket, token, interest),
            added => Ok(added?),
        }
    }

    /// Watches a socket that it watches already for something else, and tells of what it is ready for now.
    pub fn change(&self, socket: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.modify(socket, &mut event(token, interest))?)
    }

    /// Watches a socket no more.
    pub fn remove(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.epoll.delete(socket)?)
    }

    /// Ends the wait, or the next one if nobody waits. Fails where the program has closed our descriptors.
    ///
    /// An eventfd can always be written, so asking for that anew is told at once. Writing to it would do as well, but
    /// where its number names a file of the user's by now, the bytes would be in there.
    pub fn wake(&self) -> io::Result<()> {
        self.change(self.waker.as_fd(), WOKEN, Interest::Room)
    }

    /// Blocks until something is ready or somebody wakes, and takes nothing: that is for whoever waits next.
    pub fn await_anything(&self) {
        let mut ears = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        while poll(&mut ears, PollTimeout::NONE) == Err(Errno::EINTR) {}
    }

    /// Blocks until something is ready, until woken, until the time is over, or, rarely, for no reason.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let millis = timeout.map(|left| left.as_micros().div_ceil(1000).min(1 << 30) as i32);
        let timeout = match millis {
            Some(millis) => EpollTimeout::try_from(millis).expect("no more than 2^30 ms"),
            None => EpollTimeout::NONE,
        };
        events.count = 0;
        match self.epoll.wait(&mut events.events, timeout) {
            Ok(count) => events.count = count,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Events {
    /// Room for `count` of them; what does not fit comes with the next wait.
    pub fn with_capacity(count: usize) -> Events {
        Events {
            events: vec![EpollEvent::empty(); count],
            count: 0,
        }
    }

    /// The tokens of what is ready; a wake-up is none.
    pub fn tokens(&self) -> impl Iterator<Item = u64> + '_ {
        self.events[..self.count]
            .iter()
            .map(EpollEvent::data)
            .filter(|token| *token != WOKEN)
    }
}

fn event(token: u64, interest: Interest) -> EpollEvent {
    let flags = match interest {
        // The end of the other side is told even so, once.
        Interest::Nothing => EpollFlags::empty(),
        Interest::Arrivals => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
        Interest::BothWays => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLOUT,
        Interest::Room => EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT,
        Interest::End => EpollFlags::EPOLLRDHUP,
    };
    EpollEvent::new(flags | EpollFlags::EPOLLET, token)
}

const WOKEN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fd::socketpair_stream, stream};
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn a_socket_is_told_once_and_a_wake_up_ends_the_wait() {
        let poller = Poller::new().unwrap();
        assert!(poller.epoll.0.as_raw_fd() >= 512 && poller.waker.as_raw_fd() >= 512);
        let mut events = Events::with_capacity(8);
        let (one, other) = socketpair_stream().unwrap();
        stream::write(other.as_fd(), b"x", b"").unwrap();
        poller.add(one.as_fd(), 7, Interest::Arrivals).unwrap();
        poller.await_anything();
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events.tokens().collect::<Vec<_>>(), [7]);
        poller.wake().unwrap();
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events.tokens().count(), 0);
        poller.change(one.as_fd(), 7, Interest::BothWays).unwrap();
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events.tokens().collect::<Vec<_>>(), [7]);
        poller.change(one.as_fd(), 7, Interest::Nothing).unwrap();
        assert_quiet(&poller, &mut events, &other);
        poller.remove(one.as_fd()).unwrap();
        poller.add(one.as_fd(), 8, Interest::Room).unwrap();
        poller.wait(&mut events, None).unwrap();
        assert_eq!(events.tokens().collect::<Vec<_>>(), [8]);
        assert_quiet(&poller, &mut events, &other);
    }

    fn assert_quiet(poller: &Poller, events: &mut Events, other: &OwnedFd) {
        stream::write(other.as_fd(), b"x", b"").unwrap();
        poller.wait(events, Some(Duration::from_millis(1))).unwrap();
        assert_eq!(events.tokens().count(), 0);
    }
}
