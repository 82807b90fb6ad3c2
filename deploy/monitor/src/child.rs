//! One process as the monitor holds it: its descriptors, its group, what it has still to be told.
//!
//! What it means to others is the roster's business.

use crate::{memory::Allowance, voice::Voice};
use deploy_sys::{
    cgroup::Leaf,
    group_limits::Limits,
    packet::{self, Beside},
    pidfd::{Death, Process},
};
use deploy_wire::{control::Notice, exit::End};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
};

/// A process that was started and is not yet farewelled.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) process: Process,
    /// What it writes.
    pub(crate) voice: Voice,
    /// Its control group, where there is one.
    pub(crate) leaf: Option<Leaf>,
    /// What its group may use, once that is set.
    pub(crate) limits: Option<Limits>,
    /// The memory that it may use, where that is not its group's to limit.
    pub(crate) allowance: Option<Allowance>,
    /// Whether it has been reaped.
    pub(crate) is_dead: bool,
    pub(crate) control: Control,
    /// Whether the loop is told when the control socket has room.
    pub(crate) awaits_room: bool,
}

impl Child {
    /// Limits its group, where there is one: dozens of files are looked for, and so a spare is limited ahead as the latest was.
    pub(crate) fn limit(&mut self, limits: Limits) {
        if let Some(leaf) = self.leaf.as_ref().filter(|_| self.limits != Some(limits)) {
            // Fails where the group has been removed under us, and then nothing lives in it.
            self.limits = leaf.limit(&limits).ok().map(|()| limits);
        }
    }

    /// How it ended, if it has; it stays to be reaped.
    pub(crate) fn end(&self) -> io::Result<Option<End>> {
        Ok(self.process.peek()?.map(end))
    }

    /// The same, and reaps it: only once.
    pub(crate) fn reap(&self) -> io::Result<Option<End>> {
        Ok(self.process.try_wait()?.map(end))
    }
}

fn end(death: Death) -> End {
    match death {
        Death::Code(code) => End::Code(code),
        Death::Signal(signal) => End::Signal(signal),
    }
}

/// The socket to a process, and the packets that wait for room in it.
///
/// Nothing of it blocks.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
    outbox: VecDeque<Packet>,
    /// Whether the kernel refused the first packet for a reason that no event takes back.
    is_refused: bool,
}

#[derive(Debug)]
struct Packet {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// A process does not read what it is told, and too much waits for it.
#[derive(Debug)]
pub struct Overflow;

impl Control {
    /// The monitor's end.
    pub fn new(socket: OwnedFd) -> Control {
        Control {
            socket,
            outbox: VecDeque::new(),
            is_refused: false,
        }
    }

    /// Tells the process something now, or once it has read what it was told before.
    pub fn tell(&mut self, notice: &Notice, descriptor: Option<OwnedFd>) -> Result<(), Overflow> {
        self.send(notice.encode(), descriptor.into_iter().collect())
    }

    /// The same for any packet.
    pub fn send(&mut self, bytes: Vec<u8>, descriptors: Vec<OwnedFd>) -> Result<(), Overflow> {
        if self.outbox.len() >= OUTBOX_PACKETS_MAX {
            return Err(Overflow);
        }
        self.outbox.push_back(Packet { bytes, descriptors });
        self.flush();
        Ok(())
    }

    /// Sends what the socket has room for.
    pub fn flush(&mut self) {
        self.is_refused = false;
        while let Some(packet) = self.outbox.front() {
            let descriptors: Vec<_> = packet.descriptors.iter().map(AsFd::as_fd).collect();
            match packet::try_send(self.socket.as_fd(), &packet.bytes, &descriptors) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_passing(&error) => {
                    self.is_refused = true;
                    return;
                }
                // Nobody is there to read it; that it has ended comes another way.
                Err(_) => self.outbox.clear(),
            }
        }
    }

    /// Sends everything, waiting for room.
    pub fn flush_blocking(&mut self) -> io::Result<()> {
        while let Some(packet) = self.outbox.pop_front() {
            let descriptors: Vec<_> = packet.descriptors.iter().map(AsFd::as_fd).collect();
            packet::send(self.socket.as_fd(), &packet.bytes, &descriptors)?;
        }
        Ok(())
    }

    /// How many packets wait.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Whether to try again shortly: no event will say when.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// The next packet from the process, and what came beside it; nothing at the end of file.
    pub fn receive(&mut self, packet: &mut Vec<u8>) -> io::Result<Option<Beside>> {
        packet::try_receive(self.socket.as_fd(), packet)
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the kernel may accept it later: too many descriptors are on their way, or memory is short.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ETOOMANYREFS | ENOBUFS | ENOMEM))
}

/// A process is told a few things about each other process, so a job of tens of thousands does not come near; each may
/// hold a descriptor of ours.
const OUTBOX_PACKETS_MAX: usize = 1 << 16;
const ENOMEM: i32 = 12;
const ENOBUFS: i32 = 105;
const ETOOMANYREFS: i32 = 109;
