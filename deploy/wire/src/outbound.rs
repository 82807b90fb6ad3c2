//! One direction of a connection, at the end that sends: values become frames, frames wait to be written.
//!
//! A sender announces itself (`Open`), sends whole values (`Data`) or one long value in `Piece`s, and ends (`Fin`,
//! `Abort`, or `Bye` for all at once). Everything is counted in units; the peer's runtime acknowledges units as they
//! arrive and sets a limit to those it will hold. Small values share a frame for as long as nobody wrote it.
//!
//! The machine knows no socket: it is told what the peer said (`handle_*`) and asked for bytes (`poll_transmit`).

use crate::{
    frame::{ACKNOWLEDGED_AT, HEADER_BYTES, Header, Kind, LIMIT_AT, Memory, Part, Stop},
    type_name::travelling,
};

/// The sending half of a connection.
#[derive(Debug)]
pub struct Outbound {
    /// Frames that nobody has written wholly.
    buffer: Vec<u8>,
    /// How much of `buffer` is written.
    written: usize,
    /// Where the last frame's header stands, for as long as the frame may still grow or be stamped.
    last_header: Option<usize>,
    /// Whether the last frame takes more values.
    open: bool,
    /// How much payload of the piece announced last was not handed over yet.
    promised: usize,
    /// What the latest stamp said of the other direction: arrived, and the limit.
    told: (u64, u64),
    /// Units queued so far.
    sequence: u64,
    /// The current or latest sender.
    generation: u32,
}

impl Default for Outbound {
    fn default() -> Outbound {
        Outbound::new()
    }
}

impl Outbound {
    /// Before the first sender.
    pub fn new() -> Outbound {
        Outbound {
            buffer: Vec::new(),
            written: 0,
            last_header: None,
            open: false,
            promised: 0,
            told: (0, 0),
            sequence: 0,
            generation: 0,
        }
    }

    /// Units queued so far: when the peer has acknowledged as many, it holds everything.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The current or latest sender, counted from 1.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Bytes that wait to be written.
    #[inline]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// A new sender of values of this type begins.
    pub fn queue_open(&mut self, type_name: &str) {
        self.generation += 1;
        self.queue_frame(
            Header::new(Kind::Open, self.generation),
            travelling(type_name).as_bytes(),
        );
    }

    /// One whole value. [`record_units`] more than [`Outbound::sequence`] must be within the limit.
    #[inline]
    pub fn queue_record(&mut self, record: &[u8]) {
        let len = u32::try_from(record.len()).expect("long values go in pieces");
        let units = record_units(record.len());
        if !self.open || self.open_payload() + units as usize > RECORDS_BYTES_MAX {
            self.begin(Header::new(Kind::Data, self.generation));
            self.open = true;
        }
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(record);
        self.sequence += units;
    }

    /// The header of a piece of a long value, whose `len` bytes of payload the caller hands over right behind it, by
    /// [`Outbound::handle_written`]. `len` more than [`Outbound::sequence`] must be within the limit.
    pub fn queue_piece_header(&mut self, part: Part, len: usize, total: u64) {
        let payload = u32::try_from(len).expect("a piece is no longer than a window");
        let header = Header {
            payload,
            extra: total,
            ..Header::new(Kind::Piece(part), self.generation)
        };
        self.begin(header);
        self.sequence += u64::from(payload);
        self.promised = len;
    }

    /// The sender's end: `Fin`, `Abort` or `Bye`.
    pub fn queue_end(&mut self, kind: Kind) {
        assert!(
            matches!(kind, Kind::Fin | Kind::Abort | Kind::Bye),
            "an end is one of three"
        );
        let header = Header {
            extra: self.sequence,
            ..Header::new(kind, self.generation)
        };
        self.queue_frame(header, &[]);
    }

    /// The receiver `generation` takes nothing more; `expected` is its type where that is why.
    pub fn queue_stop(&mut self, generation: u32, stop: Stop, expected: &str) {
        self.queue_frame(
            Header::new(Kind::Stop(stop), generation),
            travelling(expected).as_bytes(),
        );
    }

    /// A frame that says no more than its header, unless others wait that will say the same.
    pub fn queue_ack(&mut self) {
        if self.pending() == 0 || self.last_header.is_none() {
            self.queue_frame(Header::new(Kind::Ack, 0), &[]);
        }
    }

    /// Asks for an acknowledgement at once.
    pub fn queue_ping(&mut self) {
        self.queue_frame(Header::new(Kind::Ping, 0), &[]);
    }

    /// A word of how the connection goes over to shared memory.
    pub fn queue_memory(&mut self, word: Memory) {
        self.queue_frame(Header::new(Kind::Memory(word), 0), &[]);
    }

    /// What to write next, stamped with how much of the other direction `arrived` and how much it may send.
    pub fn poll_transmit(&mut self, arrived: u64, limit: u64) -> &[u8] {
        self.close_frame();
        if let Some(at) = self.last_header.filter(|at| *at >= self.written) {
            self.buffer[at + ACKNOWLEDGED_AT..][..8].copy_from_slice(&arrived.to_le_bytes());
            self.buffer[at + LIMIT_AT..][..8].copy_from_slice(&limit.to_le_bytes());
            self.told = (arrived, limit);
        }
        &self.buffer[self.written..]
    }

    /// What the frames that [`Outbound::poll_transmit`] returned, up to now, say of the other direction: how much of it
    /// arrived, and how much it may send. A frame that is half written says nothing new.
    #[inline]
    pub fn told(&self) -> (u64, u64) {
        self.told
    }

    /// `count` bytes were written of what [`Outbound::poll_transmit`] returned followed by `payload`, the payload of
    /// the piece announced last; what is left of the payload is kept here. Elsewhere `payload` is empty.
    pub fn handle_written(&mut self, count: usize, payload: &[u8]) {
        let pending = self.pending();
        assert!(
            count <= pending + payload.len(),
            "no more is written than was there"
        );
        assert_eq!(
            std::mem::take(&mut self.promised),
            payload.len(),
            "a piece is as long as its header says"
        );
        self.buffer
            .extend_from_slice(&payload[count.saturating_sub(pending)..]);
        self.written += count.min(pending);
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
            self.written = 0;
            self.last_header = None;
        } else if self.last_header.is_some_and(|at| at < self.written) {
            self.last_header = None;
        }
        self.forget_written();
    }

    /// Nobody has used the connection for a while: where nothing waits, no memory is held for it.
    pub fn handle_rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }

    /// Moves what waits to the front, once that is less than what it moves over.
    fn forget_written(&mut self) {
        let pending = self.pending();
        if self.written >= pending.max(RECORDS_BYTES_MAX) {
            self.buffer.copy_within(self.written.., 0);
            self.buffer.truncate(pending);
            self.last_header = self.last_header.map(|at| at - self.written);
            self.written = 0;
        }
    }

    fn queue_frame(&mut self, header: Header, payload: &[u8]) {
        let payload_len = u32::try_from(payload.len()).expect("names are short");
        self.begin(Header {
            payload: payload_len,
            ..header
        });
        self.buffer.extend_from_slice(payload);
    }

    fn begin(&mut self, header: Header) {
        assert_eq!(
            self.promised, 0,
            "a piece's payload comes right behind its header"
        );
        self.close_frame();
        if header.kind.counts() {
            self.sequence += HEADER_BYTES as u64;
        }
        self.last_header = Some(self.buffer.len());
        self.buffer.extend_from_slice(&header.encode());
    }

    /// The open frame takes no more values and learns its length.
    fn close_frame(&mut self) {
        if std::mem::take(&mut self.open) {
            let payload = self.open_payload() as u32;
            let at = self.last_header.expect("an open frame has a header");
            self.buffer[at..at + 4].copy_from_slice(&payload.to_le_bytes());
        }
    }

    fn open_payload(&self) -> usize {
        self.buffer.len() - self.last_header.expect("an open frame has a header") - HEADER_BYTES
    }
}

/// How many units a whole value of this many bytes takes beside its frame's header.
pub const fn record_units(len: usize) -> u64 {
    RECORD_HEADER_BYTES as u64 + len as u64
}

/// What stands before each value in a `Data` frame: its length.
pub const RECORD_HEADER_BYTES: usize = 4;

/// The longest value that travels whole: a value and its length fill at most the smallest window.
pub const RECORD_BYTES_MAX: usize = RECORDS_BYTES_MAX - RECORD_HEADER_BYTES;

/// The longest `Data` frame: as much as one write hands over well.
const RECORDS_BYTES_MAX: usize = 64 << 10;

/// How large a buffer stays once it is empty.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(mut bytes: &[u8]) -> Vec<Header> {
        let mut headers = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::decode(header).unwrap();
            bytes = &rest[header.payload as usize..];
            headers.push(header);
        }
        assert!(bytes.is_empty(), "frames end where their headers say");
        headers
    }

    #[test]
    fn small_values_share_a_frame_until_it_leaves() {
        let mut out = Outbound::new();
        out.queue_open("u64");
        for record in 0..3u64 {
            out.queue_record(&record.to_le_bytes());
        }
        out.poll_transmit(0, 0);
        out.queue_record(b"");
        let found = headers(out.poll_transmit(5, 6));
        let kinds: Vec<Kind> = found.iter().map(|header| header.kind).collect();
        assert_eq!(kinds, [Kind::Open, Kind::Data, Kind::Data]);
        assert_eq!(found[1].payload, 36);
        assert_eq!((found[2].acknowledged, found[2].limit), (5, 6));
        assert_eq!(out.sequence(), 40 + 36 + 40 + 4);
    }

    #[test]
    fn a_frame_holds_no_more_than_one_write_hands_over_well() {
        let mut out = Outbound::new();
        for _ in 0..3 {
            out.queue_record(&[0; RECORDS_BYTES_MAX / 2 - RECORD_HEADER_BYTES]);
        }
        out.queue_record(&[0; RECORD_BYTES_MAX]);
        let payloads: Vec<u32> = headers(out.poll_transmit(0, 0))
            .iter()
            .map(|header| header.payload)
            .collect();
        assert_eq!(payloads, [65_536, 32_768, 65_536]);
    }

    /// Told only counts what a header says: a frame that is half written cannot be stamped any more.
    #[test]
    fn a_half_written_frame_tells_nothing_new() {
        let mut out = Outbound::new();
        out.queue_ack();
        out.poll_transmit(1, 10);
        assert_eq!(out.told(), (1, 10));
        out.handle_written(1, &[]);
        out.poll_transmit(2, 20);
        assert_eq!(out.told(), (1, 10));
        out.queue_ack();
        out.poll_transmit(3, 30);
        assert_eq!(out.told(), (3, 30));
    }

    #[test]
    fn acknowledgements_do_not_pile_up() {
        let mut out = Outbound::new();
        for round in 0..10_000 {
            out.queue_ack();
            let waiting = out.poll_transmit(round, round).len();
            assert!(waiting <= 2 * HEADER_BYTES);
            out.handle_written(waiting.min(1), &[]);
        }
    }

    /// A socket that takes a little less than is queued, for ever, once made the buffer grow without end.
    #[test]
    fn a_buffer_that_never_empties_stays_small() {
        let mut out = Outbound::new();
        out.queue_record(&[0; 1000]);
        for _ in 0..10_000 {
            out.queue_record(&[0; 1000]);
            out.poll_transmit(0, 0);
            out.handle_written(out.pending() - 500, &[]);
            assert!(out.buffer.len() < 2 * RECORDS_BYTES_MAX);
        }
    }

    #[test]
    fn a_piece_is_kept_as_far_as_it_was_not_written() {
        for count in 0..=HEADER_BYTES + 10 {
            let mut out = Outbound::new();
            out.queue_piece_header(Part::Last, 10, 10);
            let mut bytes = out.poll_transmit(0, 0).to_vec();
            bytes.extend(0..10);
            out.handle_written(count, &Vec::from_iter(0..10));
            assert_eq!(out.poll_transmit(0, 0), &bytes[count..]);
        }
    }
}
