//! The first cursor: every header is read as soon as it is there.

use super::{Frame, Inbound};
use crate::{
    bytes::Malformed,
    frame::{HEADER_BYTES, Header, Kind, Memory, Part},
};

impl Inbound {
    /// Reads one header, or passes over what arrived of a payload; says whether there may be more.
    pub(super) fn scan(&mut self) -> Result<bool, Malformed> {
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
            Kind::Memory(word) => {
                self.scan_word(header);
                self.memory.push_back(word);
                if word == Memory::Entered {
                    self.end = self.scanned; // What the socket brings behind it are bells.
                    return Ok(false);
                }
            }
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
                self.learn_length(&header);
                self.arriving = Some(Frame::new(header)).filter(|frame| frame.left > 0);
            }
        }
        Ok(true)
    }

    /// What comes next is probably like what came last.
    fn learn_length(&mut self, header: &Header) {
        self.long_lately = matches!(header.kind, Kind::Piece(_));
        let is_whole = u64::from(header.payload) == header.extra;
        let whole = match header.kind {
            Kind::Piece(Part::Last) if is_whole => header.payload as usize,
            _ => 0,
        };
        self.repeats = whole > 0 && whole == self.whole_lately;
        self.whole_lately = whole;
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

    pub(super) fn settle_arriving(&mut self) {
        if self.arriving.is_some_and(|frame| frame.left == 0) {
            self.arriving = None;
        }
    }
}
