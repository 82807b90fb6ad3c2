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

use crate::{
    bytes::Malformed,
    frame::{HEADER_BYTES, Header, Kind, PAYLOAD_BYTES_MAX, Part, Stop},
    order::Order,
    outbound::RECORD_HEADER_BYTES,
};

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
    /// The latest of our receivers that is gone.
    forsaken: u32,
    /// Whether the latest frame with values held a piece of a long one.
    long_lately: bool,
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

/// What a receiver finds when it asks for a value.
#[derive(PartialEq, Eq, Debug)]
pub enum Taken<'a> {
    /// A whole value.
    Record(&'a [u8]),
    /// A long value begins, of so many bytes or [`LENGTH_UNKNOWN`](crate::frame::LENGTH_UNKNOWN); ask for its pieces.
    Long {
        /// How many bytes it has.
        total: u64,
    },
    /// The sender's end: `Fin`, `Abort` or `Bye`. It is found again however often one asks.
    Ended(Kind),
    /// Nothing yet.
    Pending,
}

/// What a receiver finds when it asks for the next bytes of a long value.
#[derive(PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// Bytes that had arrived: at most as many as asked.
    Bytes(&'a [u8]),
    /// So many bytes may be read from the socket straight to where they belong; say so by [`Inbound::handle_direct`].
    Direct(usize),
    /// The value is complete.
    End,
    /// There will be no such value.
    Cancelled,
    /// The sender's process ends, with the value incomplete.
    Bye,
    /// The sender ended, or another began, with the value incomplete: nothing that this library sends to a receiver
    /// that lives.
    Broken,
    /// Nothing yet.
    Pending,
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
            forsaken: 0,
            long_lately: false,
            fills_reads: false,
            reads: 0,
            skipping: false,
        }
    }

    /// Units of the other direction that the peer has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Units of the other direction that the peer lets us send in all.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The latest of the peer's receivers that takes no more, why, and the type it expected.
    pub fn stopped(&self) -> Option<&(u32, Stop, String)> {
        self.stopped.as_ref()
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
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Units that the peer may send in all.
    pub fn granted(&self) -> u64 {
        self.taken + self.window
    }

    /// The size of the window, which counts against what all connections of a process may hold together.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Whether a larger window would help: much comes with each read, and the reader keeps up with it. The caller may
    /// then [`Inbound::grow`] it.
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

    /// Whether the peer waits to be told, so that it can go on or end: half a window, a ping, or an end.
    pub fn ack_is_due(&self) -> bool {
        let half = self.window / 2;
        self.ack_wanted
            || self.arrived - self.told_arrived >= half
            || self.granted() - self.told_limit >= half
    }

    /// Whether there is anything to tell, due or not.
    pub fn ack_is_owed(&self) -> bool {
        self.ack_wanted || self.arrived > self.told_arrived || self.granted() > self.told_limit
    }

    /// The peer was told, by whatever frame left, that so many units arrived and how far it may go: what
    /// [`Outbound::told`](crate::outbound::Outbound::told) says.
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
        if self.buffer.len() - self.end < wanted && self.start >= self.end - self.start {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.scanned, self.end) = (self.scanned - self.start, self.end - self.start);
            self.start = 0;
        }
        if self.buffer.len() - self.end < wanted {
            self.enlarge(wanted);
        }
        let header_next = self.start == self.end && self.arriving.is_none();
        let space = if header_next && self.long_lately {
            HEADER_BYTES
        } else {
            wanted
        };
        &mut self.buffer[self.end..self.end + space]
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
        while !bytes.is_empty() {
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
        while self.scan()? {}
        self.skip_forsaken()?;
        if self.end - self.start > WAITING_BYTES_MAX {
            return Err(Malformed("more waits than any window lets in"));
        }
        Ok(())
    }

    /// Our receiver `generation` takes no more: what was or will be sent to it is skipped.
    pub fn handle_forsaken(&mut self, generation: u32) -> Result<(), Malformed> {
        self.forsaken = generation;
        self.skip_forsaken()
    }

    /// The next value for our receiver `generation`.
    pub fn take(&mut self, generation: u32) -> Result<Taken<'_>, Malformed> {
        self.look(generation, true)
    }

    /// The same, but that a whole value is left where it is.
    pub fn peek(&mut self, generation: u32) -> Result<Taken<'_>, Malformed> {
        self.look(generation, false)
    }

    fn look(&mut self, generation: u32, take: bool) -> Result<Taken<'_>, Malformed> {
        while let Some(frame) = self.frame_of(generation)? {
            match frame.kind {
                Kind::Data if frame.left > 0 => {
                    let Some((from, to)) = self.find_record(frame)? else {
                        return Ok(Taken::Pending);
                    };
                    if take {
                        self.advance(to - self.start);
                    }
                    return Ok(Taken::Record(&self.buffer[from..to]));
                }
                Kind::Piece(_) if self.skipping => {
                    if !self.skip_frame(frame) {
                        return Ok(Taken::Pending);
                    }
                }
                Kind::Piece(_) => return Ok(Taken::Long { total: frame.total }),
                _ => self.taking = None,
            }
        }
        Ok(self.end_of(generation))
    }

    /// The next values for our receiver `generation` of bytes: a record is a run of them, and so is a piece. At most
    /// `want`; if none are wanted, an empty record says that there are some.
    pub fn take_run(&mut self, generation: u32, want: usize) -> Result<Taken<'_>, Malformed> {
        while let Some(frame) = self.frame_of(generation)? {
            let left = match frame.kind {
                Kind::Data if frame.left > 0 && frame.run == 0 => {
                    if !self.enter_run(frame)? {
                        return Ok(Taken::Pending);
                    }
                    continue;
                }
                Kind::Data => frame.run.min(frame.left),
                _ => frame.left,
            };
            if left == 0 {
                self.taking = None;
                continue;
            }
            let there = left.min(self.end - self.start);
            if there == 0 {
                return Ok(Taken::Pending);
            }
            let (from, count) = (self.start, there.min(want));
            self.advance(count);
            if let Some(frame) = self.taking.as_mut() {
                frame.run = frame.run.saturating_sub(count);
            }
            return Ok(Taken::Record(&self.buffer[from..from + count]));
        }
        Ok(self.end_of(generation))
    }

    /// How many bytes of the run that our receiver `generation` of bytes is taking may be read from the socket straight
    /// to where they belong, after [`Inbound::take_run`] found nothing; say so by [`Inbound::handle_direct`].
    pub fn direct_run(&self, generation: u32) -> usize {
        match self.taking {
            Some(frame) if matches!(frame.kind, Kind::Piece(_)) => {
                let own = frame.generation == generation && self.start == self.end;
                if own { frame.left } else { 0 }
            }
            _ => 0,
        }
    }

    /// The frame to take from for our receiver `generation`, if there is one: not where the sender has ended, and not
    /// where a later one has begun, whose receiver is not made yet. (An earlier one's frames were skipped.)
    fn frame_of(&mut self, generation: u32) -> Result<Option<Frame>, Malformed> {
        while self.end_of(generation) == Taken::Pending {
            if let Some(frame) = self.taking {
                return Ok(Some(frame).filter(|frame| frame.generation == generation));
            }
            if !self.enter()? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The end of the sender that belongs to our receiver `generation`, if it has come.
    fn end_of(&self, generation: u32) -> Taken<'static> {
        match self.ended {
            Some((ended, kind)) if ended == generation || kind == Kind::Bye => Taken::Ended(kind),
            _ => Taken::Pending,
        }
    }

    /// The next bytes, `want` at most but not none, of the long value that [`Inbound::take`] found.
    pub fn take_piece(&mut self, generation: u32, want: usize) -> Result<Piece<'_>, Malformed> {
        loop {
            let Some(frame) = self.taking else {
                match self.ended {
                    Some((_, Kind::Bye)) => return Ok(Piece::Bye),
                    Some((ended, _)) if ended >= generation => return Ok(Piece::Broken),
                    _ => {}
                }
                if !self.enter()? {
                    return Ok(Piece::Pending);
                }
                continue;
            };
            let Kind::Piece(part) = frame.kind else {
                return Ok(Piece::Broken);
            };
            if frame.left == 0 {
                self.taking = None;
                match part {
                    Part::More => continue,
                    Part::Last => return Ok(Piece::End),
                    Part::Cancelled => return Ok(Piece::Cancelled),
                }
            }
            let there = (self.end - self.start).min(frame.left).min(want);
            if there == 0 {
                return Ok(Piece::Direct(frame.left.min(want)));
            }
            let from = self.start;
            self.advance(there);
            return Ok(Piece::Bytes(&self.buffer[from..from + there]));
        }
    }

    /// `count` bytes of a long value were read from the socket to where they belong.
    pub fn handle_direct(&mut self, count: usize) {
        assert_eq!(
            self.start, self.end,
            "bytes that arrived earlier are taken first"
        );
        for frame in [&mut self.arriving, &mut self.taking] {
            let frame = frame
                .as_mut()
                .expect("a piece is both arriving and being taken");
            frame.left -= count;
        }
        self.arrived += count as u64;
        self.taken += count as u64;
        self.reads += 1;
        self.settle_arriving();
    }

    /// Forgets the rest of the long value that is being taken, of which no end was found yet.
    pub fn abandon_long(&mut self) -> Result<(), Malformed> {
        self.skipping = true;
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

    /// Moves what waits into a buffer with as much room again and one read.
    fn enlarge(&mut self, wanted: usize) {
        let waiting = &self.buffer[self.start..self.end];
        let mut buffer = vec![0; (2 * waiting.len()).next_multiple_of(wanted) + wanted];
        buffer[..waiting.len()].copy_from_slice(waiting);
        self.buffer = buffer;
        (self.scanned, self.end) = (self.scanned - self.start, self.end - self.start);
        self.start = 0;
    }

    /// Reads one header, or passes over what arrived of a payload; says whether there may be more.
    fn scan(&mut self) -> Result<bool, Malformed> {
        if let Some(frame) = &mut self.arriving {
            let there = frame.left.min(self.end - self.scanned);
            frame.left -= there;
            self.scanned += there;
            if frame.kind.counts() {
                self.arrived += there as u64;
            }
            self.settle_arriving();
            return Ok(there > 0);
        }
        let Some(header) = self.header_at(self.scanned)? else {
            return Ok(false);
        };
        let stop = matches!(header.kind, Kind::Stop(_));
        if stop && self.end - self.scanned < HEADER_BYTES + header.payload as usize {
            return Ok(false);
        }
        self.order.handle_frame(&header)?;
        self.acknowledged = self.acknowledged.max(header.acknowledged);
        self.limit = self.limit.max(header.limit);
        match header.kind {
            Kind::Ack | Kind::Ping | Kind::Stop(_) => self.scan_word(header),
            Kind::Fin | Kind::Abort | Kind::Bye if header.extra != self.arrived => {
                return Err(Malformed("the count at the end is not what arrived"));
            }
            Kind::Fin | Kind::Abort | Kind::Bye => {
                self.arrived += HEADER_BYTES as u64;
                self.ack_wanted = true;
                self.scanned += HEADER_BYTES;
            }
            // What is taken back is the end of a value, for which nobody waits until there is room.
            Kind::Data | Kind::Piece(_)
                if (header.kind != Kind::Piece(Part::Cancelled) || header.payload > 0)
                    && self.arrived + u64::from(header.payload) > self.granted()
                    && !self.order.is_over() =>
            {
                return Err(Malformed("more was sent than the limit allows"));
            }
            Kind::Open | Kind::Data | Kind::Piece(_) => {
                if header.kind.counts() {
                    self.arrived += HEADER_BYTES as u64;
                }
                self.scanned += HEADER_BYTES;
                self.long_lately = matches!(header.kind, Kind::Piece(_));
                self.arriving = Some(Frame::new(header)).filter(|frame| frame.left > 0);
            }
        }
        Ok(true)
    }

    /// A frame that concerns the other direction alone: heard, and cut out of the bytes.
    fn scan_word(&mut self, header: Header) {
        let (from, to) = (
            self.scanned,
            self.scanned + HEADER_BYTES + header.payload as usize,
        );
        match header.kind {
            Kind::Ping => self.ack_wanted = true,
            // The first word of a receiver says why: it is dropped after it refused, too.
            Kind::Stop(_) if self.stopped_until() >= header.generation => {}
            Kind::Stop(stop) => {
                let name =
                    String::from_utf8_lossy(&self.buffer[from + HEADER_BYTES..to]).into_owned();
                self.stopped = Some((header.generation, stop, name));
            }
            _ => {}
        }
        if self.start == from {
            (self.start, self.scanned) = (to, to);
        } else {
            self.buffer.copy_within(to..self.end, from);
            self.end -= to - from;
        }
    }

    /// The latest of the peer's receivers that takes no more.
    fn stopped_until(&self) -> u32 {
        self.stopped.as_ref().map_or(0, |(stopped, ..)| *stopped)
    }

    fn settle_arriving(&mut self) {
        if self.arriving.is_some_and(|frame| frame.left == 0) {
            self.arriving = None;
        }
    }

    /// Begins to take the next frame, if its header was scanned.
    fn enter(&mut self) -> Result<bool, Malformed> {
        if self.start >= self.scanned {
            return Ok(false);
        }
        let header = self
            .header_at(self.start)?
            .expect("a scanned header is there");
        if header.kind == Kind::Open
            && self.end - self.start < HEADER_BYTES + header.payload as usize
        {
            return Ok(false);
        }
        self.start += HEADER_BYTES;
        if header.kind.counts() {
            self.taken += HEADER_BYTES as u64;
        }
        // A sender may leave a long value unfinished that nobody wants; what the next one sends is another.
        self.skipping &= matches!(header.kind, Kind::Piece(_));
        match header.kind {
            Kind::Open => {
                let name = &self.buffer[self.start..self.start + header.payload as usize];
                self.opened = Some((
                    header.generation,
                    String::from_utf8_lossy(name).into_owned(),
                ));
                self.start += name.len();
            }
            Kind::Fin | Kind::Abort | Kind::Bye => {
                self.ended = Some((header.generation, header.kind));
            }
            _ => self.taking = Some(Frame::new(header)),
        }
        Ok(true)
    }

    /// Where the next whole value of a `Data` frame lies, if it has arrived.
    fn find_record(&self, frame: Frame) -> Result<Option<(usize, usize)>, Malformed> {
        let Some(len) = self.record_len(frame)? else {
            return Ok(None);
        };
        let from = self.start + RECORD_HEADER_BYTES;
        Ok((self.end >= from + len).then_some((from, from + len)))
    }

    /// Begins to take the next run of a `Data` frame, if its length has arrived.
    fn enter_run(&mut self, frame: Frame) -> Result<bool, Malformed> {
        let Some(len) = self.record_len(frame)? else {
            return Ok(false);
        };
        self.advance(RECORD_HEADER_BYTES);
        self.taking.as_mut().expect("a run is a frame's").run = len;
        Ok(true)
    }

    /// The length that stands before the next value of a `Data` frame, if it has arrived.
    fn record_len(&self, frame: Frame) -> Result<Option<usize>, Malformed> {
        let Some(len) = self.buffer[self.start..self.end].first_chunk::<RECORD_HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*len) as usize;
        if RECORD_HEADER_BYTES + len > frame.left {
            return Err(Malformed("a value is longer than its frame"));
        }
        Ok(Some(len))
    }

    /// `count` bytes of the payload of the frame that is being taken are taken.
    fn advance(&mut self, count: usize) {
        let frame = self.taking.as_mut().expect("bytes are taken from a frame");
        frame.left -= count;
        self.start += count;
        self.taken += count as u64;
    }

    /// Passes over what was sent to receivers that are gone, and over a long value that nobody wants.
    fn skip_forsaken(&mut self) -> Result<(), Malformed> {
        loop {
            let Some(frame) = self.taking else {
                let next = self.start < self.scanned && self.next_is_forsaken()?;
                if !next || !self.enter()? {
                    return Ok(());
                }
                continue;
            };
            let piece = self.skipping && matches!(frame.kind, Kind::Piece(_));
            if frame.generation > self.forsaken && !piece {
                return Ok(());
            }
            if !self.skip_frame(frame) {
                return Ok(());
            }
        }
    }

    fn next_is_forsaken(&self) -> Result<bool, Malformed> {
        let header = self
            .header_at(self.start)?
            .expect("a scanned header is there");
        Ok(header.generation <= self.forsaken
            || (self.skipping && matches!(header.kind, Kind::Piece(_))))
    }

    /// Passes over what is there of the frame that is being taken; says whether that was all of it.
    fn skip_frame(&mut self, frame: Frame) -> bool {
        let there = frame.left.min(self.end - self.start);
        self.advance(there);
        if there < frame.left {
            return false;
        }
        if matches!(frame.kind, Kind::Piece(Part::Last | Part::Cancelled)) {
            self.skipping = false;
        }
        self.taking = None;
        true
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::LENGTH_UNKNOWN;
    use proptest::prelude::*;

    fn frame(kind: Kind, generation: u32, payload: &[u8], extra: u64) -> Vec<u8> {
        let payload_len = payload.len() as u32;
        let header = Header {
            payload: payload_len,
            extra,
            ..Header::new(kind, generation)
        };
        [&header.encode()[..], payload].concat()
    }

    fn read(inbound: &mut Inbound, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let space = inbound.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            inbound.handle_read(count)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn check_refused(frames: &[Vec<u8>], why: &'static str) {
        let mut inbound = Inbound::new();
        let found = read(&mut inbound, &frames.concat());
        let found = found.and_then(|()| inbound.take(1).map(drop));
        assert_eq!(found, Err(Malformed(why)));
    }

    #[test]
    fn lies_are_refused() {
        let open = frame(Kind::Open, 1, b"u8", 0);
        let data = |payload: &[u8]| frame(Kind::Data, 1, payload, 0);
        let window = vec![0; WINDOW_UNITS_MIN as usize];
        check_refused(
            &[data(b"\0\0\0\0")],
            "a frame belongs to no sender that lives",
        );
        check_refused(
            &[open.clone(), data(&window), data(b"\0\0\0\0")],
            "more was sent than the limit allows",
        );
        check_refused(
            &[open.clone(), frame(Kind::Fin, 1, b"", u64::MAX)],
            "the count at the end is not what arrived",
        );
        for record in [&b"\x01\0\0\0"[..], b"\xff\xff\xff\xff12345", b"\0\0"] {
            let ends = [open.clone(), data(record), frame(Kind::Ping, 0, b"", 0)];
            let mut inbound = Inbound::new();
            read(&mut inbound, &ends[..2].concat()).unwrap();
            read(&mut inbound, &open).unwrap_err();
            assert!(inbound.take(1).is_err(), "{record:?}");
        }
    }

    #[test]
    fn stops_and_pings_leave_nothing_behind() {
        let mut inbound = Inbound::new();
        read(&mut inbound, &frame(Kind::Open, 1, b"u8", 0)).unwrap();
        let waiting = inbound.end - inbound.start;
        let stop = frame(Kind::Stop(Stop::Mismatch), 3, &[b'x'; 5000], 0);
        let ack = frame(Kind::Ack, 0, b"", 0);
        for _ in 0..1000 {
            read(&mut inbound, &[&stop[..], &ack].concat()).unwrap();
            assert_eq!(inbound.end - inbound.start, waiting);
        }
        assert!(inbound.buffer.capacity() <= 2 * READ_BYTES);
        assert_eq!(
            inbound.stopped().map(|(generation, ..)| *generation),
            Some(3)
        );
    }

    #[test]
    fn senders_that_nobody_hears_are_bounded() {
        let mut inbound = Inbound::new();
        for generation in 1.. {
            let arrived = inbound.arrived();
            let open = frame(Kind::Open, generation, &[b'x'; 50_000], 0);
            let fin = frame(Kind::Fin, generation, b"", arrived);
            if read(&mut inbound, &[open, fin].concat()).is_err() {
                break;
            }
            assert!(inbound.buffer.capacity() < 4 * WAITING_BYTES_MAX);
        }
    }

    /// A thread that was sending when another ended the process has looked for room before the end took some.
    #[test]
    fn what_comes_after_the_end_breaks_nothing() {
        let mut inbound = Inbound::new();
        let bye = frame(Kind::Bye, 1, b"", 0);
        let window = vec![0; WINDOW_UNITS_MIN as usize];
        let late = frame(Kind::Data, 1, &window, 0);
        let open = frame(Kind::Open, 1, b"u8", 0);
        read(&mut inbound, &[open, bye, late].concat()).unwrap();
        assert_eq!(inbound.take(1), Ok(Taken::Ended(Kind::Bye)));
    }

    /// The header of the last piece has overrun the limit by itself.
    #[test]
    fn a_value_is_taken_back_where_the_window_is_full() {
        let mut inbound = Inbound::new();
        let open = frame(Kind::Open, 1, b"u8", 0);
        let window = vec![0; WINDOW_UNITS_MIN as usize];
        let piece = frame(Kind::Piece(Part::More), 1, &window, LENGTH_UNKNOWN);
        let cancelled = frame(Kind::Piece(Part::Cancelled), 1, b"", LENGTH_UNKNOWN);
        read(&mut inbound, &[open, piece, cancelled].concat()).unwrap();
        while let Piece::Bytes(_) = inbound.take_piece(1, 9999).unwrap() {}
        assert_eq!(inbound.take(1), Ok(Taken::Pending));
        assert_eq!(inbound.granted() - inbound.arrived(), WINDOW_UNITS_MIN);
    }

    /// Small values keep their frames' headers waiting, and those count.
    #[test]
    fn a_window_of_empty_values_takes_no_more_than_a_window() {
        let mut inbound = Inbound::new();
        read(&mut inbound, &frame(Kind::Open, 1, b"()", 0)).unwrap();
        let value = frame(Kind::Data, 1, b"\0\0\0\0", 0);
        while read(&mut inbound, &value).is_ok() {}
        assert!(inbound.end - inbound.start <= WINDOW_UNITS_MIN as usize + 3 * value.len());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_or_malformed(script in proptest::collection::vec(step(), 1..60)) {
            let mut inbound = Inbound::new();
            let mut broken = false;
            read(&mut inbound, &frame(Kind::Open, 1, b"u8", 0)).unwrap();
            for step in script {
                match step {
                    Step::Frame(bytes) if !broken => broken = read(&mut inbound, &bytes).is_err(),
                    Step::End(kind, generation) if !broken => {
                        let end = frame(kind, generation, b"", inbound.arrived());
                        broken = read(&mut inbound, &end).is_err();
                    }
                    Step::Frame(_) | Step::End(..) => {}
                    Step::Take(generation) => while let Ok(Taken::Record(_)) = inbound.take(generation) {},
                    Step::Peek(generation) => {
                        let first = inbound.peek(generation).map(|taken| format!("{taken:?}"));
                        prop_assert_eq!(first, inbound.peek(generation).map(|taken| format!("{taken:?}")));
                    }
                    Step::Run(generation, want) => take_runs(&mut inbound, generation, want),
                    Step::Piece(generation, want) => take_pieces(&mut inbound, generation, want),
                    Step::Forsake(generation) => drop(inbound.handle_forsaken(generation)),
                    Step::Abandon => drop(inbound.abandon_long()),
                    Step::Grow => drop(inbound.grow()),
                }
                prop_assert!(inbound.taken <= inbound.arrived);
                let within = inbound.arrived <= inbound.granted() + 100 * HEADER_BYTES as u64;
                prop_assert!(within || inbound.order.is_over());
                prop_assert!(inbound.start <= inbound.scanned && inbound.scanned <= inbound.end);
                prop_assert!(inbound.buffer.capacity() <= 4 * WAITING_BYTES_MAX);
            }
        }
    }

    proptest! {
        /// However bytes were grouped when they were sent, and cut on their way, they are taken in any groups.
        #[test]
        fn runs_are_one_stream(
            runs in proptest::collection::vec((1..2000usize, any::<bool>()), 1..20),
            reads in proptest::collection::vec((1..3000usize, 1..3000usize), 1..20),
        ) {
            let mut frames = frame(Kind::Open, 1, b"u8", 0);
            let mut bytes = (0..=250u8).cycle();
            let mut expected = Vec::new();
            for (len, piece) in runs {
                let run: Vec<u8> = bytes.by_ref().take(len).collect();
                frames.extend(match piece {
                    true => frame(Kind::Piece(Part::Last), 1, &run, len as u64),
                    false => frame(Kind::Data, 1, &[&(len as u32).to_le_bytes()[..], &run].concat(), 0),
                });
                expected.extend(run);
            }
            let (mut inbound, mut taken, mut left) = (Inbound::new(), Vec::new(), &frames[..]);
            for (count, want) in reads.into_iter().cycle() {
                let (now, later) = left.split_at(count.min(left.len()));
                read(&mut inbound, now).unwrap();
                left = later;
                while let Taken::Record(run) = inbound.take_run(1, want).unwrap() {
                    prop_assert!((1..=want).contains(&run.len()));
                    taken.extend_from_slice(run);
                    let more = inbound.take_run(1, 0).unwrap() != Taken::Pending;
                    prop_assert!(!more || taken.len() < expected.len());
                }
                let direct = inbound.direct_run(1).min(left.len());
                taken.extend_from_slice(&left[..direct]);
                left = &left[direct..];
                if direct > 0 {
                    inbound.handle_direct(direct);
                }
                if left.is_empty() && inbound.take_run(1, 0).unwrap() == Taken::Pending {
                    break;
                }
            }
            prop_assert!(taken == expected);
            prop_assert_eq!(inbound.taken, inbound.arrived);
        }
    }

    /// As a receiver does: bytes from the buffer, or straight from the socket, where one zero lies.
    fn take_pieces(inbound: &mut Inbound, generation: u32, want: usize) {
        while let Ok(piece) = inbound.take_piece(generation, want) {
            match piece {
                Piece::Bytes(bytes) => assert!(bytes.len() <= want),
                Piece::Direct(space) => {
                    assert!((1..=want).contains(&space));
                    return inbound.handle_direct(1);
                }
                _ => return,
            }
        }
    }

    /// The same where values are bytes.
    fn take_runs(inbound: &mut Inbound, generation: u32, want: usize) {
        while let Ok(Taken::Record(run)) = inbound.take_run(generation, want) {
            assert!((1..=want).contains(&run.len()));
        }
        if inbound.direct_run(generation) > 0 {
            inbound.handle_direct(1);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Frame(Vec<u8>),
        /// With the right count.
        End(Kind, u32),
        Take(u32),
        Peek(u32),
        Run(u32, usize),
        Piece(u32, usize),
        Forsake(u32),
        Abandon,
        Grow,
    }

    fn step() -> impl Strategy<Value = Step> {
        let generation =
            || prop_oneof![4 => Just(1u32), 2 => Just(2), 1 => 0..4u32, 1 => any::<u32>()];
        prop_oneof![
            1 => generation().prop_map(|generation| Step::End(Kind::Fin, generation)),
            12 => any_frame().prop_map(Step::Frame),
            4 => generation().prop_map(Step::Take),
            1 => generation().prop_map(Step::Peek),
            2 => (generation(), 1..100_000usize).prop_map(|(generation, want)| Step::Run(generation, want)),
            3 => (generation(), 1..100_000usize).prop_map(|(generation, want)| Step::Piece(generation, want)),
            1 => generation().prop_map(Step::Forsake),
            1 => Just(Step::Abandon),
            1 => Just(Step::Grow),
        ]
    }

    /// Mostly frames that could be meant, with fields that lie, and cut or garbled now and then.
    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![
            4 => Just(Kind::Open),
            6 => Just(Kind::Data),
            4 => Just(Kind::Piece(Part::More)),
            2 => Just(Kind::Piece(Part::Last)),
            1 => Just(Kind::Piece(Part::Cancelled)),
            2 => Just(Kind::Fin),
            1 => Just(Kind::Abort),
            1 => Just(Kind::Bye),
            1 => Just(Kind::Stop(Stop::Mismatch)),
            1 => Just(Kind::Ack),
            1 => Just(Kind::Ping),
        ];
        let generation = prop_oneof![6 => Just(1u32), 2 => Just(2), 1 => any::<u32>()];
        let word = || prop_oneof![3 => Just(0), 1 => Just(LENGTH_UNKNOWN), 1 => 0..10_000u64, 1 => any::<u64>()];
        let payload = prop_oneof![
            3 => (0..70_000usize).prop_map(|len| [&(len as u32).to_le_bytes()[..], &vec![7; len]].concat()),
            2 => proptest::collection::vec(0..9u8, 0..200),
            1 => Just(Vec::new()),
        ];
        let garbling =
            proptest::option::weighted(0.05, (any::<prop::sample::Index>(), any::<u8>()));
        let cut = proptest::option::weighted(0.05, any::<prop::sample::Index>());
        (kind, generation, payload, word(), word(), garbling, cut).prop_map(
            |(kind, generation, payload, extra, limit, garbling, cut)| {
                let mut bytes = frame(kind, generation, &[], extra);
                if matches!(
                    kind,
                    Kind::Open | Kind::Data | Kind::Piece(_) | Kind::Stop(_)
                ) {
                    bytes[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
                    bytes.extend(payload);
                }
                bytes[crate::frame::LIMIT_AT..][..8].copy_from_slice(&limit.to_le_bytes());
                if let Some((at, byte)) = garbling {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                if let Some(at) = cut {
                    bytes.truncate(at.index(bytes.len()));
                }
                bytes
            },
        )
    }
}
