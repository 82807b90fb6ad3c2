//! What this process asks of its monitor, and who waits for which answer.
//!
//! A thread that asks listens to the monitor itself until its answer is there, and the reactor is kept out of it: an
//! answer that comes through another thread comes a wake-up later. While nobody asks the reactor listens.

mod answers;
mod hearing;

use crate::{
    fatal,
    links::Links,
    waits::{self, Line, Waiting},
};
use answers::Answers;
use deploy_sys::{fd, packet, poller::Interest};
use deploy_wire::{
    control::{Notice, Refusal, Request, SpawnRequest},
    exit::ExitStatus,
    pid::Pid,
    resources::Resources,
    wait::{Awaited, Waits},
};
use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering::*},
    },
};

pub(crate) struct Control {
    socket: OwnedFd,
    links: Arc<Links>,
    next_id: AtomicU64,
    answers: Mutex<Answers>,
    answered: Condvar,
    /// Whoever listens holds this from reading a packet until it is dealt with, so that they are dealt with in order.
    ear: Mutex<Vec<u8>>,
}

impl Control {
    /// Speaks on this socket, which the reactor listens to from now on. `packet` is an old one, whose memory serves on.
    pub(crate) fn new(
        socket: OwnedFd,
        links: Arc<Links>,
        packet: Vec<u8>,
    ) -> std::io::Result<Control> {
        links
            .hub
            .poller
            .add(socket.as_fd(), CONTROL, Interest::Arrivals)?;
        Ok(Control {
            socket,
            links,
            next_id: AtomicU64::new(1),
            answers: Mutex::default(),
            answered: Condvar::new(),
            ear: Mutex::new(packet),
        })
    }

    fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Starts a process; its id is put in here. Blocks until it was started or refused.
    pub(crate) fn spawn(
        &self,
        mut request: SpawnRequest,
        file: Option<File>,
    ) -> Result<Pid, Refusal> {
        request.id = self.next_id();
        let descriptors: Vec<BorrowedFd<'_>> = file.as_ref().map(AsFd::as_fd).into_iter().collect();
        spawned(self.ask(request.id, &Request::Spawn(Box::new(request)), &descriptors))
    }

    /// The same for a task. Dropped before the process is started, it is not.
    pub(crate) async fn spawn_async(
        &self,
        mut request: SpawnRequest,
        file: Option<File>,
    ) -> Result<Pid, Refusal> {
        request.id = self.next_id();
        let (id, request) = (request.id, Request::Spawn(Box::new(request)));
        spawned(self.question(id, None, &request, file).await)
    }

    /// Blocks until the process has ended; nothing, if there never was one.
    pub(crate) fn wait(&self, pid: Pid, at: Line) -> Option<ExitStatus> {
        let id = self.next_id();
        let _remembered = waits::sleeps(pid, end_at(at));
        waited(self.ask(id, &Request::Wait { id, pid }, &[]))
    }

    /// The same for a task.
    pub(crate) async fn wait_async(&self, pid: Pid, at: Line) -> Option<ExitStatus> {
        let id = self.next_id();
        let request = Request::Wait { id, pid };
        waited(self.question(id, Some((pid, at)), &request, None).await)
    }

    /// Blocks until the signal is on its way; says whether there ever was such a process.
    pub(crate) fn kill(&self, pid: Pid) -> bool {
        let id = self.next_id();
        match self.ask(id, &Request::Kill { id, pid }, &[]) {
            Notice::KillSent { known, .. } => known,
            other => unreachable!("a kill is answered as one, not by {other:?}"),
        }
    }

    /// The same, without waiting: the signal is as good as on its way, since requests are dealt with in order.
    pub(crate) fn kill_unheard(&self, pid: Pid) {
        let id = self.next_id();
        self.send(&Request::Kill { id, pid }, &[]); // Its answer finds nobody who waits.
    }

    /// Asks for other resources than this process was started with. Blocks until they are granted; where there are none
    /// for it, this process ends here.
    pub(crate) fn need(&self, resources: Resources) -> Resources {
        let id = self.next_id();
        match self.ask(id, &Request::Need { id, resources }, &[]) {
            Notice::Granted { resources, .. } => resources,
            other => unreachable!("a need is answered as one, not by {other:?}"),
        }
    }

    /// Asks for a connection; it comes, or word of the peer's end, without anybody waiting.
    pub(crate) fn connect(&self, peer: Pid) {
        self.send(&Request::Connect { peer }, &[]);
    }

    /// Says what this process has waited for, from now on.
    pub(crate) fn tell_waits(&self, waits: Waits) {
        self.send(&Request::Waits(waits), &[]);
    }

    /// Asks whether this process lives, to which the connection has ended unexplained. If so, its connection hears it, and that
    /// process that it has ended here; if not, it hears of its end as always.
    pub(crate) fn doubt(&self, peer: Pid) {
        self.send(&Request::Doubt { peer }, &[]);
    }

    fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) {
        match packet::send(self.socket(), &request.encode(), descriptors) {
            Err(error) if fd::is_not_ours(&error) => fatal::closed_ours(),
            // Else the monitor is gone: the reactor hears of that, and this process ends.
            _ => {}
        }
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }
}

/// What one waits for who asks for an end in this line.
fn end_at(at: Line) -> Waiting {
    Waiting {
        what: Awaited::End,
        type_name: "",
        at: Some(at),
    }
}

fn spawned(answer: Notice) -> Result<Pid, Refusal> {
    match answer {
        Notice::Spawned { result, .. } => result,
        other => unreachable!("a spawn is answered as one, not by {other:?}"),
    }
}

fn waited(answer: Notice) -> Option<ExitStatus> {
    match answer {
        Notice::Waited { status, .. } => status,
        other => unreachable!("a wait is answered as one, not by {other:?}"),
    }
}

/// Names the monitor's socket to the reactor.
pub(crate) const CONTROL: u64 = u64::MAX - 1;

/// Moves a descriptor of ours away from the low numbers that programs use and close.
pub(crate) fn raise(descriptor: OwnedFd) -> OwnedFd {
    fd::raise(descriptor).expect("an open descriptor is raised, or stays where it is")
}
