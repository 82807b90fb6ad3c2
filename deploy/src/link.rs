//! The connection to one other process, used by any thread: what both directions hold, and how bytes move.
//!
//! Two locks, one for each direction, each held only for as long as a few bytes are copied or one system call that
//! does not block; never both at once, and never while code of the user's runs (encoding, decoding). What the receiving
//! half learns for the sending half (acknowledgements, limits) and what the sending half tells for the receiving half
//! crosses in atomics.
//!
//! Who reads the socket: see `turn.rs`, and `link/waiting.rs` for how. When values leave: see `link/sending.rs`.

mod asking;
mod ending;
mod lease;
mod look;
mod memory;
mod pieces;
mod reading;
mod seat;
mod sending;
mod settling;
mod sleeping;
mod tending;
mod waiting;

pub(crate) use ending::end_of_fork;
pub(crate) use look::{Look, Read, Who};
pub(crate) use pieces::LongMark;
pub(crate) use reading::Rx;
pub(crate) use seat::Seat;
pub(crate) use sending::Tx;

use crate::{
    carrier::{self, Incoming, Outgoing},
    error::Lost,
    hub::Hub,
    share::{RING_BYTES, Saying, Sharing},
    turn::Turn,
};
use deploy_sys::{fork, ring::Bed, stream};
use deploy_wire::{
    exit::ExitStatus, frame::Stop, inbound::WINDOW_UNITS_MIN, pid::Pid, secret::Seal,
};
use settling::Crossing;
use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*},
    },
    time::Instant,
};

/// One per peer, until that has ended and nothing of it is left to tell (`links.rs`).
pub(crate) struct Link {
    pub(crate) peer: Pid,
    pub(crate) hub: Arc<Hub<Link>>,
    /// Names it to the reactor.
    pub(crate) token: u64,
    socket: OnceLock<OwnedFd>,
    /// Whether the peer itself has the other end of a socket pair: then the kernel keeps for it what was written, even
    /// when this process is gone. TCP does not: where the peer has said anything that was not read here, it is reset.
    keeps: AtomicBool,
    tx: Mutex<Tx>,
    rx: Mutex<Rx>,
    /// How the peer ended, once that is known; `None` if there never was such a process.
    fate: OnceLock<Option<ExitStatus>>,
    /// The end of file was read, or the socket is broken: nothing more comes and nothing more leaves.
    ended: AtomicBool,
    /// What the monitor said of the way to the peer, which is no more. Written under `rx`.
    parted: OnceLock<Lost>,
    /// Why the connection ended, where it was not by the end of the peer's process.
    lost: OnceLock<Lost>,
    /// When the current ends first found that the peer had dropped its own in a panic.
    panic_noticed: Mutex<Option<Instant>>,
    /// The latest of the peer's receivers that takes no more, and why with the type it expected.
    stopped: AtomicU32,
    stop: Mutex<Option<(Stop, String)>>,
    /// What the two halves learn from each other.
    crossing: Crossing,
    /// How often something was read: another thread may have read what this one looks for. Written under `rx`.
    reads: AtomicU64,
    /// Whether what comes next probably is a part of a long value. Written under `rx`.
    expects_long: AtomicBool,
    /// Bytes wait that the socket did not take.
    blocked: AtomicBool,
    /// The ring took not all, or has too little room, and its reader will say when there is more.
    starved: AtomicBool,
    /// Whether what comes may bring a descriptor. Written under `rx`.
    asks: AtomicBool,
    /// Where the owner sleeps, once what comes lies in a ring: the socket only wakes then, and ends. Set under `rx`.
    bed: OnceLock<Bed>,
    /// Whether the reactor is told when the socket ends, and has not been: then an owner may sleep without it.
    end_is_told: AtomicBool,
    /// What the sending half is still to say of shared memory. Locked for as long as one is put or taken.
    sayings: Mutex<VecDeque<Saying>>,
    /// Whether it stands in the hub's list of connections with values that wait for company.
    dirty: AtomicBool,
    /// Whether values come so fast that they fill writes by themselves.
    streams: AtomicBool,
    pub(crate) turn: Turn,
}

impl Link {
    pub(crate) fn new(peer: Pid, hub: Arc<Hub<Link>>, token: u64) -> Link {
        hub.windows.handle_new(WINDOW_UNITS_MIN);
        Link {
            peer,
            hub,
            token,
            socket: OnceLock::new(),
            keeps: AtomicBool::new(false),
            tx: Mutex::new(Tx::new()),
            rx: Mutex::new(Rx::new()),
            fate: OnceLock::new(),
            ended: AtomicBool::new(false),
            parted: OnceLock::new(),
            lost: OnceLock::new(),
            panic_noticed: Mutex::new(None),
            stopped: AtomicU32::new(0),
            stop: Mutex::new(None),
            crossing: Crossing::new(),
            reads: AtomicU64::new(0),
            expects_long: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            asks: AtomicBool::new(false),
            bed: OnceLock::new(),
            end_is_told: AtomicBool::new(false),
            sayings: Mutex::new(VecDeque::new()),
            dirty: AtomicBool::new(false),
            streams: AtomicBool::new(false),
            turn: Turn::new(),
        }
    }

    pub(crate) fn tx(&self) -> MutexGuard<'_, Tx> {
        self.tx.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rx(&self) -> MutexGuard<'_, Rx> {
        self.rx.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket arrived; what was sent before leaves now, or after a handshake.
    pub(crate) fn attach(self: &Arc<Link>, socket: OwnedFd, seal: Option<Seal>) {
        let mut rx = self.rx();
        // A second one for the same pair would be the monitor's fault; the first one stays.
        if self.socket.get().is_some() {
            return;
        }
        self.keeps.store(seal.is_none(), Relaxed);
        let (incoming, outgoing) = carrier::begin(socket.as_fd(), seal, self.hub.sharing);
        rx.way = incoming;
        if let (Incoming::Pair(pair), Sharing::AtOnce) = (&mut rx.way, self.hub.sharing) {
            pair.ask(&mut |saying| self.have_said(saying));
            self.asks.store(true, SeqCst);
        }
        let set = self.socket.set(socket);
        drop(rx);
        set.expect("sockets are attached one after the other");
        match outgoing {
            Some(outgoing) => self.open(outgoing),
            None => self.turn.ring(), // Whoever reads next may open it before this line.
        }
        match self.turn.is_used() {
            true => self.attend(),
            false => self.take_back(),
        }
    }

    /// Whether bytes may leave.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        !self.tx().way.is_closed()
    }

    /// Bytes may leave like this from now on.
    fn open(self: &Arc<Link>, way: Outgoing) {
        let mut tx = self.tx();
        tx.way = way;
        self.say(&mut tx);
        self.flush(&mut tx);
        drop(tx);
        self.turn.ring();
    }

    /// The socket, once there is one. A child that the program forked has none: its copy is its parent's.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket
            .get()
            .map(AsFd::as_fd)
            .filter(|_| !fork::happened())
    }

    /// Ends the socket, which somebody else may hold too.
    pub(crate) fn shut_down(&self) {
        if let Some(socket) = self.socket() {
            stream::shutdown(socket);
            self.rouse(); // It may be closed by the program, and then nobody is told.
        }
    }

    /// Something that kept the connection is gone. The reactor looks whether it was the last.
    pub(crate) fn let_retire(self: &Arc<Link>) {
        if self.has_ended() {
            self.attend();
        }
    }

    /// How often something was read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Acquire)
    }

    /// Whether bytes wait that the socket did not take.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(SeqCst)
    }

    /// Whether what comes lies in a ring.
    pub(crate) fn has_ring(&self) -> bool {
        self.bed.get().is_some()
    }

    /// Whether what comes may bring a descriptor: then one does not sleep in the call that reads.
    pub(crate) fn asks(&self) -> bool {
        self.asks.load(SeqCst)
    }

    /// Whether what comes next probably is a part of a long value. Who sleeps for that does so in `poll`: in `recv` it
    /// would be woken again and again while the peer takes in what was sent to it.
    pub(crate) fn expects_long(&self) -> bool {
        self.expects_long.load(Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let rx = self.rx.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ring = match &rx.way {
            Incoming::Ring(_) => RING_BYTES as u64,
            Incoming::Pair(pair) if pair.has_ring() => RING_BYTES as u64,
            _ => 0,
        };
        self.hub.windows.release(rx.inbound.window() + ring);
    }
}
