//! What this process asks of its monitor, and who waits for which answer.

use crate::{link::Link, links::Links};
use deploy_sys::{fd, packet};
use deploy_wire::{
    control::{Notice, Refusal, Request, SpawnRequest},
    exit::ExitStatus,
    pid::Pid,
};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::*},
    },
};

pub(crate) struct Control {
    socket: OwnedFd,
    next_id: AtomicU64,
    /// Answers by the id of their request: `None` until they come.
    answers: Mutex<HashMap<u64, Option<Notice>>>,
    answered: Condvar,
}

impl Control {
    pub(crate) fn new(socket: OwnedFd) -> Control {
        Control {
            socket,
            next_id: AtomicU64::new(1),
            answers: Mutex::new(HashMap::new()),
            answered: Condvar::new(),
        }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
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
        match self.ask(request.id, &Request::Spawn(Box::new(request)), &descriptors) {
            Notice::Spawned { result, .. } => result,
            other => unreachable!("a spawn is answered as one, not by {other:?}"),
        }
    }

    /// Blocks until the process has ended; nothing, if there never was one.
    pub(crate) fn wait(&self, pid: Pid) -> Option<ExitStatus> {
        let id = self.next_id();
        match self.ask(id, &Request::Wait { id, pid }, &[]) {
            Notice::Waited { status, .. } => status,
            other => unreachable!("a wait is answered as one, not by {other:?}"),
        }
    }

    /// Blocks until the signal is on its way; says whether there ever was such a process.
    pub(crate) fn kill(&self, pid: Pid) -> bool {
        let id = self.next_id();
        match self.ask(id, &Request::Kill { id, pid }, &[]) {
            Notice::KillSent { known, .. } => known,
            other => unreachable!("a kill is answered as one, not by {other:?}"),
        }
    }

    /// Asks for a connection; it comes, or word of the peer's end, without anybody waiting.
    pub(crate) fn connect(&self, peer: Pid) {
        self.send(&Request::Connect { peer }, &[]);
    }

    /// Has the person who watches this told a line of this process.
    pub(crate) fn note(&self, text: String) {
        self.send(&Request::Note { text }, &[]);
    }

    /// Asks whether this process lives, to which the connection has ended unexplained. If so, its connection hears it;
    /// if not, that hears of its end as always.
    pub(crate) fn doubt(&self, peer: Pid) {
        self.send(&Request::Doubt { peer }, &[]);
    }

    /// Takes in everything the monitor has said. Returns the connections whose peer ended.
    pub(crate) fn hear(&self, links: &Links) -> Vec<Arc<Link>> {
        let mut ended = Vec::new();
        let mut bytes = Vec::new();
        loop {
            match packet::try_receive(self.socket(), &mut bytes) {
                Ok(Some(descriptors)) => {
                    let notice = Notice::decode(&bytes).expect("the monitor runs the same image");
                    ended.extend(self.handle(links, notice, descriptors.into_iter().next()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return ended,
                // The monitor is gone, and with it every other process of the job.
                Ok(None) | Err(_) => std::process::abort(),
            }
        }
    }

    fn handle(&self, links: &Links, notice: Notice, socket: Option<OwnedFd>) -> Option<Arc<Link>> {
        let socket = socket.map(raise);
        match notice {
            Notice::Spawned { id, ref result } => {
                if let (Ok(pid), Some(socket)) = (result, socket) {
                    links.handle_connected(*pid, socket);
                }
                self.answer(id, notice);
                None
            }
            Notice::Connected { peer } => {
                if let Some(socket) = socket {
                    links.handle_connected(peer, socket);
                }
                None
            }
            Notice::Ended { peer, status } => {
                let link = links.by_peer(peer)?;
                link.handle_fate(status);
                Some(link)
            }
            Notice::Lives { peer } => {
                if let Some(link) = links.by_peer(peer) {
                    link.handle_severed();
                }
                None
            }
            Notice::Waited { id, .. } | Notice::KillSent { id, .. } => {
                self.answer(id, notice);
                None
            }
        }
    }

    /// Blocks until the answer comes. If the monitor is gone there is none, and this process ends.
    fn ask(&self, id: u64, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Notice {
        self.answers().insert(id, None);
        self.send(request, descriptors);
        let mut answers = self.answers();
        loop {
            if let Some(notice) = answers.get_mut(&id).and_then(Option::take) {
                answers.remove(&id);
                return notice;
            }
            answers = self
                .answered
                .wait(answers)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn answer(&self, id: u64, notice: Notice) {
        if let Some(slot) = self.answers().get_mut(&id) {
            *slot = Some(notice);
            self.answered.notify_all();
        }
    }

    fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) {
        // It fails only when the monitor is gone: the reactor hears of that, and this process ends.
        let _ = packet::send(self.socket(), &request.encode(), descriptors);
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<u64, Option<Notice>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves a descriptor of ours away from the low numbers that programs use and close.
pub(crate) fn raise(descriptor: OwnedFd) -> OwnedFd {
    fd::raise(descriptor)
        .expect("a process has room for its connections: raise the limit on open files")
}
