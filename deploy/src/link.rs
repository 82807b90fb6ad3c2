//! The connection to one other process, used by any thread: what both directions hold, and how bytes move.
//!
//! Two locks, one for each direction, each held only for as long as a few bytes are copied or one system call that
//! does not block; never both at once, and never while code of the user's runs (encoding, decoding). What the receiving
//! half learns for the sending half (acknowledgements, limits) and what the sending half tells for the receiving half
//! crosses in atomics.
//!
//! Who reads the socket: see `turn.rs`, and `link/waiting.rs` for how. When small values leave: a value is written at once if nothing is
//! unacknowledged; otherwise it waits for company until 64 KiB are together, the acknowledgement comes, its process
//! is about to block or to end, or the reactor sees it.

mod asking;
mod ending;
mod lease;
mod look;
mod memory;
mod seat;
mod sleeping;
mod waiting;

pub(crate) use ending::end_of_fork;
pub(crate) use look::{Look, Read, Who};
pub(crate) use seat::Seat;

use crate::{
    carrier::{self, Came, Incoming, Outgoing},
    error::Lost,
    hub::Hub,
    share::{RING_BYTES, Saying, Sharing},
    turn::Turn,
};
use deploy_sys::{fd, fork, stream};
use deploy_wire::{
    exit::ExitStatus,
    frame::{LENGTH_UNKNOWN, Part, Stop},
    inbound::{Inbound, WINDOW_UNITS_MIN},
    outbound::{Outbound, record_units},
    pid::Pid,
    secret::Seal,
};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*},
    },
    time::{Duration, Instant},
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
    /// Why the connection ended, where it was not by the end of the peer's process.
    lost: OnceLock<Lost>,
    /// When the current ends first found that the peer had dropped its own in a panic.
    panic_noticed: Mutex<Option<Instant>>,
    /// The latest of the peer's receivers that takes no more, and why with the type it expected.
    stopped: AtomicU32,
    stop: Mutex<Option<(Stop, String)>>,
    /// From the receiving half to the sending half: what the peer has, and how much it lets us send.
    acknowledged: AtomicU64,
    limit: AtomicU64,
    /// The same the other way: what we have, and how much we let it send.
    arrived: AtomicU64,
    granted: AtomicU64,
    /// How often something was read: another thread may have read what this one looks for. Written under `rx`.
    reads: AtomicU64,
    /// Whether what comes next probably is a part of a long value. Written under `rx`.
    expects_long: AtomicBool,
    /// What of these the peer was told.
    told_arrived: AtomicU64,
    told_granted: AtomicU64,
    /// Bytes wait that the socket did not take.
    blocked: AtomicBool,
    /// The ring took not all, or has too little room, and its reader will say when there is more.
    starved: AtomicBool,
    /// Whether what comes may bring a descriptor, or lies in a ring, for which the socket only wakes. Written under `rx`.
    asks: AtomicBool,
    has_ring: AtomicBool,
    /// What the sending half is still to say of shared memory. Locked for as long as one is put or taken.
    sayings: Mutex<VecDeque<Saying>>,
    /// Whether it stands in the hub's list of connections with values that wait for company.
    dirty: AtomicBool,
    /// Whether values come so fast that they fill writes by themselves.
    streams: AtomicBool,
    pub(crate) turn: Turn,
}

/// The sending half.
pub(crate) struct Tx {
    pub(crate) out: Outbound,
    /// How its bytes leave.
    way: Outgoing,
    /// Whether there is a `Sender`.
    pub(crate) sender: bool,
    /// The long value that is being sent, which no other may interrupt.
    pub(crate) long: Option<LongMark>,
    /// Whether a piece of it left that is not the last.
    long_begun: bool,
    /// How many long values there were.
    longs: u64,
    /// How many values were queued since it was last looked how fast they come.
    values: u32,
}

/// Tells one long value from those before and after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongMark(u64);

/// The receiving half.
pub(crate) struct Rx {
    pub(crate) inbound: Inbound,
    /// How its bytes come.
    pub(crate) way: Incoming,
    /// Whether there is a `Receiver`.
    pub(crate) receiver: bool,
    /// The current or latest receiver, counted from 1.
    pub(crate) generation: u32,
    /// Whether a long value is being received, by one caller alone.
    pub(crate) long: bool,
    /// Whether values were taken of which the sending half does not know yet.
    unsettled: bool,
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
            tx: Mutex::new(Tx {
                out: Outbound::new(),
                way: Outgoing::Closed,
                sender: false,
                long: None,
                long_begun: false,
                longs: 0,
                values: 0,
            }),
            rx: Mutex::new(Rx {
                inbound: Inbound::new(),
                way: Incoming::Plain,
                receiver: false,
                generation: 0,
                long: false,
                unsettled: false,
            }),
            fate: OnceLock::new(),
            ended: AtomicBool::new(false),
            lost: OnceLock::new(),
            panic_noticed: Mutex::new(None),
            stopped: AtomicU32::new(0),
            stop: Mutex::new(None),
            acknowledged: AtomicU64::new(0),
            limit: AtomicU64::new(WINDOW_UNITS_MIN),
            arrived: AtomicU64::new(0),
            granted: AtomicU64::new(WINDOW_UNITS_MIN),
            reads: AtomicU64::new(0),
            expects_long: AtomicBool::new(false),
            told_arrived: AtomicU64::new(0),
            told_granted: AtomicU64::new(WINDOW_UNITS_MIN),
            blocked: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            asks: AtomicBool::new(false),
            has_ring: AtomicBool::new(false),
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
        self.has_ring.load(SeqCst)
    }

    /// Whether what comes may bring a descriptor: then one does not sleep in the call that reads.
    pub(crate) fn asks(&self) -> bool {
        self.asks.load(SeqCst)
    }

    /// Whether the peer's runtime holds everything up to `sequence`.
    pub(crate) fn is_acknowledged(&self, sequence: u64) -> bool {
        self.acknowledged.load(Acquire) >= sequence
    }

    /// Whether the peer will have all that was sent, as long as it lives, whatever becomes of this process.
    pub(crate) fn is_delivered(&self) -> bool {
        let tx = self.tx();
        self.keeps.load(Relaxed) && !tx.way.is_closed() && tx.out.pending() == 0
    }

    /// Whether something was sent that the peer has not said it has.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        let sent = self.tx().out.sequence();
        !self.is_acknowledged(sent)
    }

    /// How long the peer may need to take in what it has not acknowledged, before it can answer.
    pub(crate) fn peers_work(&self) -> Duration {
        let sent = self.tx().out.sequence();
        let unacknowledged = sent.saturating_sub(self.acknowledged.load(Acquire));
        Duration::from_nanos(unacknowledged / COPIED_BYTES_PER_NS).min(PEERS_WORK_MAX)
    }

    /// Whether what comes next probably is a part of a long value. Who sleeps for that does so in `poll`: in `recv` it
    /// would be woken again and again while the peer takes in what was sent to it.
    pub(crate) fn expects_long(&self) -> bool {
        self.expects_long.load(Relaxed)
    }

    /// How many units the sending half may queue now: none while too much waits for the socket.
    pub(crate) fn room(&self, tx: &Tx) -> u64 {
        if tx.out.pending() > PENDING_BYTES_MAX {
            return 0;
        }
        self.limit.load(Acquire).saturating_sub(tx.out.sequence())
    }

    /// Queues a value, for which there is room, and lets it leave as the rule at the top says; where the sender
    /// `is_patient`, with a batch, when the hub is flushed, or within a tick. Says whether a batch left.
    pub(crate) fn send_record(
        self: &Arc<Link>,
        tx: &mut Tx,
        record: &[u8],
        is_patient: bool,
    ) -> bool {
        assert!(
            record_units(record.len()) <= self.room(tx),
            "the caller has looked for room"
        );
        let quiet = self.is_acknowledged(tx.out.sequence());
        tx.out.queue_record(record);
        tx.values += 1;
        let is_batch = tx.out.pending() >= BATCH_BYTES;
        if self.streams() {
            self.turn.mark_used(); // It reads at each batch: see `hear`.
        }
        if is_batch || (quiet && !is_patient) {
            self.leave_together(tx);
        } else if !self.dirty.load(Relaxed) && !self.dirty.swap(true, SeqCst) {
            // Whoever makes it clean takes the sending lock behind that, and so finds what was queued before it.
            self.await_company(!is_patient && !self.streams());
        }
        is_batch
    }

    /// Whether values come so fast that they fill writes by themselves.
    pub(crate) fn streams(&self) -> bool {
        self.streams.load(Relaxed)
    }

    /// What was queued leaves; how much that is says how fast values come.
    fn leave_together(self: &Arc<Link>, tx: &mut Tx) {
        let values = std::mem::take(&mut tx.values);
        let streams = values >= STREAM_VALUES || tx.out.pending() >= STREAM_BYTES;
        self.streams.store(streams, Relaxed);
        self.flush(tx);
    }

    /// What waits for company leaves without.
    pub(crate) fn flush_dirty(self: &Arc<Link>) {
        self.dirty.store(false, SeqCst);
        self.leave_together(&mut self.tx());
    }

    /// Marks the connection as sending a long value, unless it does already.
    pub(crate) fn mark_long(&self, tx: &mut Tx) -> Option<LongMark> {
        if tx.long.is_some() {
            return None;
        }
        tx.longs += 1;
        tx.long = Some(LongMark(tx.longs));
        tx.long
    }

    /// Whether this long value is still the one that is being sent.
    pub(crate) fn holds_long(&self, tx: &Tx, mark: LongMark) -> bool {
        tx.long == Some(mark)
    }

    /// Has the receiver forget the long value that is being sent, if there is one. The caller rings, with no lock held:
    /// whoever is woken may drop a channel.
    pub(crate) fn cancel_long(self: &Arc<Link>, tx: &mut Tx) {
        if tx.long.take().is_some() && std::mem::take(&mut tx.long_begun) {
            tx.out
                .queue_piece_header(Part::Cancelled, 0, LENGTH_UNKNOWN);
            self.flush(tx);
        }
    }

    /// Queues a part of a long value and writes it, straight from where it lies as far as the socket takes it. Says
    /// whether this long value is still the one that is being sent.
    pub(crate) fn send_piece(
        self: &Arc<Link>,
        mark: LongMark,
        part: Part,
        payload: &[u8],
        total: u64,
    ) -> bool {
        let mut tx = self.tx();
        if !self.holds_long(&tx, mark) {
            return false;
        }
        self.write_piece(&mut tx, part, payload, total);
        tx.long_begun = part == Part::More;
        if part == Part::Last {
            tx.long = None;
            drop(tx);
            self.turn.ring();
        }
        true
    }

    /// Queues a run of bytes, for which there is room, and writes it like a part of a long value.
    pub(crate) fn send_run(self: &Arc<Link>, tx: &mut Tx, bytes: &[u8]) {
        assert!(
            bytes.len() as u64 <= self.room(tx),
            "the caller has looked for room"
        );
        self.write_piece(tx, Part::Last, bytes, bytes.len() as u64);
    }

    fn write_piece(self: &Arc<Link>, tx: &mut Tx, part: Part, payload: &[u8], total: u64) {
        tx.out.queue_piece_header(part, payload.len(), total);
        self.transmit(tx, payload);
        self.flush(tx);
    }

    /// Writes what waits, as far as the socket takes it; the reactor goes on when it takes more.
    pub(crate) fn flush(self: &Arc<Link>, tx: &mut Tx) {
        while (tx.out.pending() > 0 || tx.way.is_behind()) && self.transmit(tx, &[]) {}
    }

    /// What waited for the socket leaves, as far as it takes it; whoever waits for that is told. Says whether all left.
    pub(crate) fn unblock(self: &Arc<Link>) -> bool {
        if !self.is_blocked() {
            return false;
        }
        self.flush(&mut self.tx());
        let unblocked = !self.is_blocked();
        if unblocked {
            self.turn.ring();
        }
        unblocked
    }

    /// What is left to do when nobody waits for this connection, or whoever does sleeps: what was queued leaves, and
    /// the peer is told what it does not know.
    pub(crate) fn tend(self: &Arc<Link>) {
        let rx = self.rx();
        if rx.unsettled {
            self.settle(rx);
        } else {
            drop(rx);
        }
        if self.dirty.load(SeqCst) {
            self.flush(&mut self.tx());
        }
        self.unblock();
        self.refill();
        self.acknowledge_if_owed();
    }

    /// Nobody has used it for a while: it holds no memory for what may come.
    pub(crate) fn rest(&self) {
        let mut tx = self.tx();
        tx.out.handle_rest();
        tx.way.handle_rest();
        drop(tx);
        let mut rx = self.rx();
        rx.inbound.handle_rest();
        rx.way.handle_rest();
    }

    /// One write: what waits, then `payload`. What is not written of the payload waits. Says whether there is hope for
    /// more.
    fn transmit(self: &Arc<Link>, tx: &mut Tx, payload: &[u8]) -> bool {
        let Some(socket) = self.socket().filter(|_| !tx.way.is_closed()) else {
            tx.out.handle_written(0, payload);
            return false;
        };
        let (arrived, granted) = (self.arrived.load(Acquire), self.granted.load(Acquire));
        let waiting = tx.out.poll_transmit(arrived, granted);
        let written = match tx.way.write(socket, waiting, payload) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tx.out.handle_written(0, payload);
                if tx.way.ring_room().is_some() {
                    return !self.starves(tx);
                }
                if !self.blocked.swap(true, SeqCst) {
                    self.attend(); // Once: then the reactor waits for room.
                }
                return false;
            }
            Err(error) if fd::is_not_ours(&error) => {
                tx.out.handle_written(0, payload);
                self.attend(); // Whoever reads finds it out, and says it.
                return false;
            }
            // The peer is gone; whoever reads finds the end of file and why.
            Err(_) => waiting.len() + payload.len(),
        };
        if self.is_blocked() {
            self.blocked.store(false, SeqCst);
        }
        tx.out.handle_written(written, payload);
        let (told_arrived, told_granted) = tx.out.told();
        self.told_arrived.store(told_arrived, Release);
        self.told_granted.store(told_granted, Release);
        true
    }

    /// Reads once and does at once what must not wait for a user: acknowledgements, limits, stops. While an owner
    /// sleeps on the socket only the owner reads.
    pub(crate) fn read(self: &Arc<Link>, as_owner: bool) -> Read {
        self.read_by(as_owner, |rx, socket| rx.way.read(socket, &mut rx.inbound))
    }

    /// The same, by `read`.
    pub(crate) fn read_by(
        self: &Arc<Link>,
        as_owner: bool,
        read: impl FnOnce(&mut Rx, BorrowedFd<'_>) -> Came,
    ) -> Read {
        let mut guard = self.rx();
        let Some(socket) = self.socket().filter(|_| !self.has_ended()) else {
            return Read::Idle;
        };
        if self.turn.has_owner() && !as_owner {
            return Read::Nothing;
        }
        let came = read(&mut guard, socket);
        self.handle_came(guard, came)
    }

    /// Sleeps on the socket, as its owner, until there is something, and reads it: one system call instead of two.
    /// Says as whom to look next: where more may be there to read, as the owner.
    pub(crate) fn sleep_and_read(self: &Arc<Link>, socket: BorrowedFd<'_>) -> Who {
        let mut bytes = [0; SHORT_READ_BYTES];
        match stream::read_blocking(socket, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(1..) if self.has_ring() => return Who::Owner, // A bell.
            Ok(count @ 1..) => {
                let mut guard = self.rx();
                let rx = &mut *guard;
                let came = rx
                    .way
                    .handle_bytes(socket, &bytes[..count], &mut rx.inbound);
                self.handle_came(guard, came);
                if count == bytes.len() {
                    return Who::Owner;
                }
            }
            _ => return self.handle_end(),
        }
        Who::Sleeper
    }

    /// What a read brought is told to whom it concerns.
    pub(crate) fn handle_came(self: &Arc<Link>, mut rx: MutexGuard<'_, Rx>, came: Came) -> Read {
        let is_end = matches!(came, Came::End);
        let mut opened = None;
        match came {
            Came::Nothing => {
                drop(rx);
                return match self.refill() {
                    true => Read::Something,
                    false => Read::Nothing,
                };
            }
            Came::Something => {}
            Came::Opened(outgoing) => opened = Some(outgoing),
            Came::End => {
                if self
                    .socket()
                    .is_some_and(|socket| !stream::is_socket(socket))
                {
                    let _ = self.lost.set(Lost::OwnDescriptor); // Unless a word came first.
                }
                self.ended.store(true, SeqCst);
            }
            Came::Wrong(malformed) => self.handle_violation(malformed),
        }
        let is_writer_told = self.handle_memory(&mut rx);
        self.hear_stop(&rx.inbound);
        self.expects_long.store(rx.inbound.expects_long(), Relaxed);
        self.reads.store(self.reads() + 1, Release);
        self.settle(rx);
        if is_writer_told {
            self.speak();
        }
        self.refill();
        match opened {
            Some(outgoing) => self.open(outgoing), // Which rings.
            None => self.turn.ring(),
        }
        if is_end && self.is_doubtful() {
            self.hub
                .set_alarm(Instant::now() + DOUBT_AFTER, self.clone());
        }
        Read::Something
    }

    /// Our receiver `generation` takes no more.
    pub(crate) fn stop_receiver(self: &Arc<Link>, generation: u32, stop: Stop, expected: &str) {
        let mut rx = self.rx();
        if let Err(malformed) = rx.inbound.handle_forsaken(generation) {
            self.handle_violation(malformed);
        }
        self.settle(rx);
        let mut tx = self.tx();
        tx.out.queue_stop(generation, stop, expected);
        self.flush(&mut tx);
    }

    /// After taking a whole value. Where others lie behind it, and the peer waits for no word, settling comes with one of
    /// those, or by the reactor: a reader of many values settles once for all of them.
    #[inline]
    pub(crate) fn settle_taken(self: &Arc<Link>, mut rx: MutexGuard<'_, Rx>) {
        if rx.inbound.is_empty() || rx.inbound.ack_is_due() {
            self.settle(rx);
        } else if !std::mem::replace(&mut rx.unsettled, true) {
            drop(rx);
            self.attend();
        }
    }

    /// After reading or taking: lets the sending half see what the receiving half learned, grows the window of a
    /// reader that keeps up, and tells the peer what it waits for.
    pub(crate) fn settle(self: &Arc<Link>, mut rx: MutexGuard<'_, Rx>) {
        rx.unsettled = false;
        let inbound = &mut rx.inbound;
        self.acknowledged.store(inbound.acknowledged(), Release);
        self.limit.store(inbound.limit(), Release);
        inbound.handle_told(
            self.told_arrived.load(Acquire),
            self.told_granted.load(Acquire),
        );
        if inbound.wants_growth() && self.hub.windows.take(inbound.window()) {
            inbound.grow();
        }
        self.arrived.store(inbound.arrived(), Release);
        self.granted.store(inbound.granted(), Release);
        let (ack_is_due, ack_is_owed) = (inbound.ack_is_due(), inbound.ack_is_owed());
        drop(rx);
        if ack_is_due {
            self.acknowledge();
        } else if ack_is_owed {
            self.attend(); // The reactor sees to it within a tick, unless something leaves before.
        }
        // Of a stream, what follows an acknowledgement is soon a batch by itself.
        if self.dirty.load(SeqCst) && !self.streams() {
            self.flush(&mut self.tx());
        }
    }

    /// Tells the peer what arrived and how much more it may send, if it does not know.
    pub(crate) fn acknowledge_if_owed(self: &Arc<Link>) {
        if self.owes_word() {
            self.acknowledge();
        }
    }

    /// Whether the peer does not know what arrived or how much more it may send.
    pub(crate) fn owes_word(&self) -> bool {
        let told = (
            self.told_arrived.load(Acquire),
            self.told_granted.load(Acquire),
        );
        told != (self.arrived.load(Acquire), self.granted.load(Acquire)) && !self.has_ended()
    }

    /// Whether there is nothing to do for it before something comes or is sent.
    pub(crate) fn is_settled(&self) -> bool {
        !self.turn.is_leased()
            && !self.is_blocked()
            && !self.dirty.load(SeqCst)
            && !self.owes_word()
            && !self.rx().unsettled
    }

    fn acknowledge(self: &Arc<Link>) {
        let mut tx = self.tx();
        tx.out.queue_ack();
        self.flush(&mut tx);
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

/// As much as is worth a write of its own.
const BATCH_BYTES: usize = 64 << 10;

/// Where this much is together when it leaves, or so many values, the next ones will soon be too: nobody need be woken
/// for them, and a stream's last ones wait for the reactor's next tick.
const STREAM_BYTES: usize = BATCH_BYTES / 4;
const STREAM_VALUES: u32 = 64;

/// How much may wait for the socket: a few batches. Beyond it, senders wait for the reader's process to read.
const PENDING_BYTES_MAX: usize = 256 << 10;

/// How fast a process takes in what lies in its socket, while others use the machine too.
const COPIED_BYTES_PER_NS: u64 = 4;

/// Long values are worth a longer look, but not for ever: it is a megabyte's time.
const PEERS_WORK_MAX: Duration = Duration::from_micros(300);

/// What a thread that sleeps reads as it wakes: a short message. Of a longer one the rest is read where it belongs.
const SHORT_READ_BYTES: usize = 1 << 10;

/// How long the end of a process may follow the end of its bytes before the monitor is asked about it: it comes some
/// 50 us later, or, where a process is slow to end, some milliseconds.
const DOUBT_AFTER: Duration = Duration::from_secs(1);
