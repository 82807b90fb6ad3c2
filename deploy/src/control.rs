//! What this process asks of its monitor, and who waits for which answer.
//!
//! A thread that asks listens to the monitor itself until its answer is there, and the reactor is kept out of it: an
//! answer that comes through another thread comes a wake-up later. While nobody asks the reactor listens.

use crate::{
    fatal,
    links::Links,
    waits::{self, Line, Remembered, Waiting},
};
use deploy_sys::{
    fd,
    packet::{self, Beside},
    poller::Interest,
};
use deploy_wire::{
    control::{Notice, Refusal, Request, SpawnRequest},
    exit::ExitStatus,
    pid::Pid,
    resources::Resources,
    secret::Seal,
    wait::{Awaited, Waits},
};
use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::*},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
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

#[derive(Default)]
struct Answers {
    /// By the id of their request, from when it is asked until somebody takes it.
    by_id: HashMap<u64, Answer>,
    /// Whether one of those who asked listens for all of them.
    has_listener: bool,
    /// How many of them sleep meanwhile.
    sleepers: usize,
}

enum Answer {
    /// Not there yet; the task to wake then, where a task waits.
    Awaited(Option<Waker>),
    Come(Notice),
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

    /// How many answers are waited for.
    pub(crate) fn asked(&self) -> usize {
        let answers = self.answers();
        let is_awaited = |answer: &&Answer| matches!(answer, Answer::Awaited(_));
        answers.by_id.values().filter(is_awaited).count()
    }

    /// Asks whether this process lives, to which the connection has ended unexplained. If so, its connection hears it;
    /// if not, that hears of its end as always.
    pub(crate) fn doubt(&self, peer: Pid) {
        self.send(&Request::Doubt { peer }, &[]);
    }

    /// Takes in everything the monitor has said, unless somebody who asked listens.
    pub(crate) fn hear(&self) {
        let mut packet = match self.ear.try_lock() {
            Ok(packet) => packet,
            Err(TryLockError::Poisoned(packet)) => packet.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        while let Some(beside) = self.receive(packet::try_receive, &mut packet) {
            self.handle(&packet, beside);
        }
    }

    /// The next packet; none if there is none yet.
    fn receive(&self, receive: Receive, packet: &mut Vec<u8>) -> Option<Beside> {
        match receive(self.socket(), packet) {
            Ok(Some(beside)) => Some(beside),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) if fd::is_not_ours(&error) => fatal::closed_ours(),
            // The monitor is gone, and with it every other process of the job.
            Ok(None) | Err(_) => std::process::abort(),
        }
    }

    fn handle(&self, packet: &[u8], beside: Beside) {
        let notice = Notice::decode(packet).expect("the monitor runs the same image");
        let is_cut = beside.is_cut;
        let socket = beside.descriptors.into_iter().next().map(raise);
        match notice {
            Notice::Spawned {
                id,
                ref result,
                ref seal,
            } => {
                // The connection to one on another machine comes later.
                if let (Ok(pid), true) = (result, is_cut || socket.is_some()) {
                    self.handle_connected(*pid, socket, seal.clone());
                }
                self.answer(id, notice);
            }
            Notice::Connected { peer, seal } => {
                // From another machine it may come behind the word of the peer's end, which then found no connection to
                // tell it to. It is said again to whoever asks, and a peer that lives is connected once.
                if seal.is_some() && self.links.by_peer(peer).is_none() {
                    self.connect(peer);
                }
                self.handle_connected(peer, socket, seal);
            }
            Notice::Ended { peer, status } => {
                if let Some(link) = self.links.by_peer(peer) {
                    link.handle_fate(status);
                    link.let_retire();
                    if !link.has_ended() {
                        // Somebody else may hold the socket too, such as a forked child.
                        self.links.hub.set_alarm(Instant::now() + LINGER, link);
                    }
                }
            }
            Notice::Lives { peer } => {
                if let Some(link) = self.links.by_peer(peer) {
                    link.handle_severed();
                }
            }
            Notice::Waited { id, .. }
            | Notice::KillSent { id, .. }
            | Notice::Granted { id, .. } => self.answer(id, notice),
        }
    }

    /// The socket to `peer` came, or there was no number left for it.
    fn handle_connected(&self, peer: Pid, socket: Option<OwnedFd>, seal: Option<Seal>) {
        match socket {
            Some(socket) => drop(self.links.handle_connected(peer, socket, seal)),
            None => self.links.handle_unconnected(peer),
        }
    }

    /// Blocks until the answer comes. If the monitor is gone there is none, and this process ends.
    fn ask(&self, id: u64, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Notice {
        self.answers().by_id.insert(id, Answer::Awaited(None));
        self.send(request, descriptors);
        let mut answers = self.answers();
        loop {
            if let Some(notice) = answers.take(id) {
                return notice;
            }
            if answers.has_listener {
                answers.sleepers += 1;
                let woken = self.answered.wait(answers);
                answers = woken.unwrap_or_else(PoisonError::into_inner);
                answers.sleepers -= 1;
                continue;
            }
            answers.has_listener = true;
            drop(answers);
            self.listen_for(id);
            answers = self.answers();
            answers.has_listener = false;
            if answers.sleepers > 0 {
                self.answered.notify_all(); // One of them listens next.
            }
        }
    }

    /// Listens, for everybody, until this answer is there.
    fn listen_for(&self, id: u64) {
        // Neither fails for a descriptor that is watched; if it did, the reactor would be woken and find nothing to do.
        let poller = &self.links.hub.poller;
        let _ = poller.change(self.socket(), CONTROL, Interest::Nothing);
        let mut packet = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(self.answers().by_id.get(&id), Some(Answer::Awaited(_))) {
            if let Some(beside) = self.receive(packet::receive, &mut packet) {
                self.handle(&packet, beside);
            }
        }
        drop(packet);
        let _ = poller.change(self.socket(), CONTROL, Interest::Arrivals);
    }

    fn answer(&self, id: u64, notice: Notice) {
        let mut answers = self.answers();
        let Some(slot) = answers.by_id.get_mut(&id) else {
            return; // Whoever asked waits no more.
        };
        let before = std::mem::replace(slot, Answer::Come(notice));
        if answers.sleepers > 0 {
            self.answered.notify_all();
        }
        drop(answers);
        if let Answer::Awaited(Some(task)) = before {
            task.wake();
        }
    }

    /// Asks for a task, which the answer will wake.
    fn question(
        &self,
        id: u64,
        of: Option<(Pid, Line)>,
        request: &Request,
        file: Option<File>,
    ) -> Question<'_> {
        self.answers().by_id.insert(id, Answer::Awaited(None));
        let descriptors: Vec<BorrowedFd<'_>> = file.as_ref().map(AsFd::as_fd).into_iter().collect();
        self.send(request, &descriptors);
        Question {
            control: self,
            id,
            of: of.map(|(pid, at)| (pid, waits::waits(pid, end_at(at)))),
        }
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

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// The answer, if it has come.
    fn take(&mut self, id: u64) -> Option<Notice> {
        match self.by_id.remove(&id)? {
            Answer::Come(notice) => Some(notice),
            awaited => {
                self.by_id.insert(id, awaited);
                None
            }
        }
    }
}

/// What a task waits for. Dropped before the answer has come, it takes the request back.
struct Question<'a> {
    control: &'a Control,
    id: u64,
    /// Whose end it asks for, if that is what it does.
    of: Option<(Pid, Remembered)>,
}

impl Future for Question<'_> {
    type Output = Notice;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Notice> {
        let task = cx.waker().clone();
        let mut answers = self.control.answers();
        if let Some(notice) = answers.take(self.id) {
            return Poll::Ready(notice);
        }
        let before = answers.by_id.insert(self.id, Answer::Awaited(Some(task)));
        drop(answers);
        drop(before); // With no lock held: it may be the last of a task, which asks something too.
        Poll::Pending
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let before = self.control.answers().by_id.remove(&self.id);
        if let Some(Answer::Awaited(_)) = before {
            let (id, of) = (self.id, self.of.as_ref().map(|(pid, _)| *pid));
            self.control.send(&Request::Withdraw { id, of }, &[]);
        }
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

/// How to receive a packet: waiting for it or not.
type Receive = fn(BorrowedFd<'_>, &mut Vec<u8>) -> std::io::Result<Option<Beside>>;

/// How long the socket of a peer that ended may stay open.
const LINGER: Duration = Duration::from_secs(1);

/// Names the monitor's socket to the reactor.
pub(crate) const CONTROL: u64 = u64::MAX - 1;

/// Moves a descriptor of ours away from the low numbers that programs use and close.
pub(crate) fn raise(descriptor: OwnedFd) -> OwnedFd {
    fd::raise(descriptor).expect("an open descriptor is raised, or stays where it is")
}
