//! One direction of a connection, at the end that receives: bytes arrive, values are taken.
//!
//! Two cursors walk over the same bytes. The *scan* reads every header as soon as it is there: acknowledgements,
//! limits and stops concern the other direction and must not wait for a reader. The *take* follows in order and stops
//! where the user's receiver stands: the n-th receiver takes the values of the n-th sender and no other's, and what
//! was sent to a receiver that is gone is skipped.
//!
//! The window says how many units may lie between the two: it starts small, and doubles while the reader keeps up.
//!
//! The machine knows no socket: it lends space to read into, is told how much was read, and is asked for values.

mod scan;
mod take;
#[cfg(test)]
mod tests;

pub use take::{Piece, Taken};

use crate::{
    bytes::Malformed,
    frame::{HEADER_BYTES, Header, Kind, Memory, PAYLOAD_BYTES_MAX, Stop},
    order::Order,
};
use std::collections::VecDeque;

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Inbound {
    order: Order,
    buffer: Vec<u8>,
    /// The next byte to take.
    start: usize,
    /// The next byte to scan.
    scanned: usize,
    /// The end of what arrived.
    end: usize,
    /// How much of the payload of the scanned frame is still to arrive, and whether it counts.
    arriving: Option<Frame>,
    /// The frame that is being taken.
    taking: Option<Frame>,
    /// Units that arrived.
    arrived: u64,
    /// Units that were taken, or skipped.
    taken: u64,
    window: u64,
    /// What the peer was last told.
    told_arrived: u64,
    told_limit: u64,
    ack_wanted: bool,
    acknowledged: u64,
    limit: u64,
    /// The name of the type that the latest sender sends.
    opened: Option<(u32, String)>,
    /// The latest sender that ended, and how.
    ended: Option<(u32, Kind)>,
    /// The latest of the peer's receivers that takes no more, why, and the type it expected.
    stopped: Option<(u32, Stop, String)>,
    /// What the peer said of shared memory, and nobody took yet.
    memory: VecDeque<Memory>,
    /// The latest of our receivers that is gone.
    forsaken: u32,
    /// Whether the latest frame with values held a piece of a long one.
    long_lately: bool,
    /// How long the latest long value was, if it came in one piece, and whether the one before was the same.
    whole_lately: usize,
    repeats: bool,
    /// Whether a read ever brought more than the first ones have room for.
    fills_reads: bool,
    /// How often something was read since the peer was last told of a limit.
    reads: u64,
    /// Skip to the last piece of the value whose pieces come now.
    skipping: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    generation: u32,
    left: usize,
    total: u64,
    /// How much is left of the run that is being taken, where values are runs.
    run: usize,
}

impl Default for Inbound {
    fn default() -> Inbound {
        Inbound::new()
    }
}

impl Inbound {
    /// Before anything arrived.
    pub fn new() -> Inbound {
        Inbound {
            order: Order::default(),
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            end: 0,
            arriving: None,
            taking: None,
            arrived: 0,
            taken: 0,
            window: WINDOW_UNITS_MIN,
            told_arrived: 0,
            told_limit: WINDOW_UNITS_MIN,
            ack_wanted: false,
            acknowledged: 0,
            limit: WINDOW_UNITS_MIN,
            opened: None,
            ended: None,
            stopped: None,
            memory: VecDeque::new(),
            forsaken: 0,
            long_lately: false,
            whole_lately: 0,
            repeats: false,
            fills_reads: false,
            reads: 0,
            skipping: false,
        }
    }

    /// Units of the other direction that the peer has.
    #[inline]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Units of the other direction that the peer lets us send in all.
    #[inline]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The latest of the peer's receivers that takes no more, why, and the type it expected.
    pub fn stopped(&self) -> Option<&(u32, Stop, String)> {
        self.stopped.as_ref()
    }

    /// The next word of the peer's about shared memory. Until [`Memory::Entered`] is taken, bytes that follow it are ignored.
    #[inline]
    pub fn take_memory(&mut self) -> Option<Memory> {
        self.memory.pop_front()
    }

    /// The name of the type that this sender sends, once it is known.
    pub fn opened(&self, generation: u32) -> Option<&str> {
        self.opened
            .as_ref()
            .filter(|(opened, _)| *opened == generation)
            .map(|(_, name)| name.as_str())
    }

    /// Whether nothing waits for a receiver after `generation`: no value, and no end but the process's. What broke off in
    /// the middle, with the process, does not count.
    pub fn is_spent(&self, generation: u32) -> bool {
        let heard = |(ended, kind)| ended <= generation || kind == Kind::Bye;
        self.start >= self.scanned
            && self
                .taking
                .is_none_or(|frame| frame.generation <= generation)
            && self.ended.is_none_or(heard)
    }

    /// Units that arrived.
    #[inline]
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Units that the peer may send in all.
    #[inline]
    pub fn granted(&self) -> u64 {
        self.taken + self.window
    }

    /// The size of the window, which counts against what all connections of a process may hold together.
    #[inline]
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Whether a larger window would help: much comes with each read, and the reader keeps up with it. The caller may
    /// then [`Inbound::grow`] it.
    #[inline]
    pub fn wants_growth(&self) -> bool {
        let taken_lately = self.granted() - self.told_limit;
        taken_lately >= self.window / 2
            && taken_lately >= self.reads * STREAM_BYTES_PER_READ
            && self.arrived - self.taken <= self.window / 4
            && self.window < WINDOW_UNITS_MAX
    }

    /// Doubles the window; returns by how much it grew.
    pub fn grow(&mut self) -> u64 {
        let grown = (self.window * 2).min(WINDOW_UNITS_MAX) - self.window;
        self.window += grown;
        grown
    }

    /// Whether nothing that arrived is left to take.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the peer waits to be told, so that it can go on or end: half a window, a ping, or an end.
    #[inline]
    pub fn ack_is_due(&self) -> bool {
        let half = self.window / 2;
        self.ack_wanted
            || self.arrived - self.told_arrived >= half
            || self.granted() - self.told_limit >= half
    }

    /// Whether there is anything to tell, due or not.
    #[inline]
    pub fn ack_is_owed(&self) -> bool {
        self.ack_wanted || self.arrived > self.told_arrived || self.granted() > self.told_limit
    }

    /// The peer was told, by whatever frame left, that so many units arrived and how far it may go: what
    /// [`Outbound::told`](crate::outbound::Outbound::told) says.
    #[inline]
    pub fn handle_told(&mut self, arrived: u64, limit: u64) {
        if limit > self.told_limit {
            self.told_limit = limit;
            self.reads = 0;
        }
        self.told_arrived = self.told_arrived.max(arrived);
        self.ack_wanted &= self.told_arrived < self.arrived;
    }

    /// Space to read into: only a header's worth where a long value is likely to come next, since its bytes are better
    /// read straight to where they belong.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
            if self.buffer.len() > BUFFER_BYTES_KEPT {
                self.buffer.truncate(BUFFER_BYTES_KEPT);
                self.buffer.shrink_to_fit();
            }
        }
        let wanted = self.wanted_bytes();
        if self.buffer.len() - self.end < wanted && self.start >= (self.end - self.start) / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.scanned, self.end) = (self.scanned - self.start, self.end - self.start);
            self.start = 0;
        }
        if self.buffer.len() - self.end < wanted {
            self.enlarge(wanted);
        }
        let space = if self.wants_header() {
            HEADER_BYTES
        } else {
            wanted
        };
        &mut self.buffer[self.end..self.end + space]
    }

    /// Whether what comes next probably is a part of a long value.
    pub fn expects_long(&self) -> bool {
        self.long_lately
    }

    /// Whether a header comes next, and behind it probably a part of a long value.
    pub fn wants_header(&self) -> bool {
        self.start == self.end && self.arriving.is_none() && self.long_lately
    }

    /// How long the next value probably is, if it is a long one in one piece that has not begun to arrive: as the last
    /// two. Who waits for it may read its bytes with the header before them, straight to where they would belong, and
    /// say so by [`Inbound::handle_ahead`].
    pub fn expects_whole(&self) -> Option<usize> {
        (self.repeats && self.wants_header()).then_some(self.whole_lately)
    }

    /// Nobody has used the connection for a while: where nothing waits, no memory is held for it.
    pub fn handle_rest(&mut self) {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
            self.buffer = Vec::new();
            self.fills_reads = false;
        }
    }

    /// These bytes were read elsewhere.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() && self.memory.back() != Some(&Memory::Entered) {
            let space = self.space();
            let (now, later) = bytes.split_at(bytes.len().min(space.len()));
            space[..now.len()].copy_from_slice(now);
            self.handle_read(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// `count` bytes were read into the space.
    pub fn handle_read(&mut self, count: usize) -> Result<(), Malformed> {
        self.end += count;
        self.fills_reads |= count >= READ_BYTES_FIRST;
        self.reads += 1;
        while self.scanned < self.end && self.scan()? {}
        self.skip_forsaken()?;
        if self.end - self.start > WAITING_BYTES_MAX {
            return Err(Malformed("more waits than any window lets in"));
        }
        Ok(())
    }

    /// A whole header was read into the space, and what came behind it was read `ahead`, elsewhere. If that begins a long
    /// value for our receiver `generation`, says of how many bytes in all, and how many of them stay where they were read;
    /// everything else is taken in as always.
    pub fn handle_ahead(
        &mut self,
        generation: u32,
        ahead: &[u8],
    ) -> Result<Option<(u64, usize)>, Malformed> {
        self.handle_read(HEADER_BYTES)?;
        let Taken::Long { total } = self.peek(generation)? else {
            self.handle_bytes(ahead)?;
            return Ok(None);
        };
        let left = self.taking.map_or(0, |frame| frame.left);
        let kept = left.min(ahead.len());
        if kept > 0 {
            self.handle_direct(kept);
        }
        self.handle_bytes(&ahead[kept..])?;
        Ok(Some((total, kept)))
    }

    /// Our receiver `generation` takes no more: what was or will be sent to it is skipped.
    pub fn handle_forsaken(&mut self, generation: u32) -> Result<(), Malformed> {
        self.forsaken = generation;
        self.skip_forsaken()
    }

    /// How much to read at once: little on a connection that never had more, since most only carry a word or two.
    fn wanted_bytes(&self) -> usize {
        if self.fills_reads {
            READ_BYTES
        } else {
            READ_BYTES_FIRST
        }
    }

    /// Moves what waits into a buffer with as much room again and one read; or, once it is much, with all the room that
    /// the window can need. Buffers of megabytes, each outgrown by the next, would add up to more than what waits.
    fn enlarge(&mut self, wanted: usize) {
        let waiting = &self.buffer[self.start..self.end];
        let bytes = match waiting.len() <= BUFFER_BYTES_KEPT {
            true => 2 * waiting.len(),
            false => waiting.len().max(self.window as usize) * 3 / 2,
        };
        let mut buffer = vec![0; bytes.next_multiple_of(wanted) + wanted];
        buffer[..waiting.len()].copy_from_slice(waiting);
        self.buffer = buffer;
        (self.scanned, self.end) = (self.scanned - self.start, self.end - self.start);
        self.start = 0;
    }

    fn header_at(&self, at: usize) -> Result<Option<Header>, Malformed> {
        match self.buffer[at..self.end].first_chunk::<HEADER_BYTES>() {
            Some(bytes) => Header::decode(bytes).map(Some),
            None => Ok(None),
        }
    }
}

impl Frame {
    fn new(header: Header) -> Frame {
        Frame {
            kind: header.kind,
            generation: header.generation,
            left: header.payload as usize,
            total: header.extra,
            run: 0,
        }
    }
}

/// The window a connection starts with: one frame of small values.
pub const WINDOW_UNITS_MIN: u64 = 64 << 10;

/// The largest window: what a stalled receiver costs at most.
pub const WINDOW_UNITS_MAX: u64 = PAYLOAD_BYTES_MAX as u64;

/// A stream fills reads; a conversation comes one message at a time, and needs no window.
const STREAM_BYTES_PER_READ: u64 = 2 << 10;

/// How much may lie unread in all: the largest window, what a header hangs over it, one read, and the announcements and
/// ends of some hundred thousand senders that came and went unheard, which no limit holds back.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// How much to read at once: two frames of small values.
const READ_BYTES: usize = 128 << 10;

/// The same, as long as no read has filled it.
const READ_BYTES_FIRST: usize = 4 << 10;

/// How large a buffer stays once it is empty.
const BUFFER_BYTES_KEPT: usize = 512 << 10;
