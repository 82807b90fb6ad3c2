//! The second cursor: values, whole or in pieces or runs, and ends, in order and for the receiver that they belong to.

use super::{Frame, Inbound};
use crate::{
    bytes::Malformed,
    frame::{HEADER_BYTES, Kind, Part},
    outbound::RECORD_HEADER_BYTES,
};

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

impl Inbound {
    /// The next value for our receiver `generation`.
    #[inline]
    pub fn take(&mut self, generation: u32) -> Result<Taken<'_>, Malformed> {
        self.look(generation, true)
    }

    /// The same, but only where a whole value of at most `len_max` bytes is there, behind others of its frame.
    #[inline]
    pub fn take_short(&mut self, generation: u32, len_max: usize) -> Option<&[u8]> {
        let frame = self.taking.as_ref()?;
        let is_own = frame.kind == Kind::Data && frame.generation == generation;
        let rest = self.buffer[self.start..self.end].split_first_chunk();
        let (len, rest) = rest.filter(|_| is_own)?;
        let len = u32::from_le_bytes(*len) as usize;
        let is_there = len <= len_max && len <= rest.len();
        if !is_there || RECORD_HEADER_BYTES + len > frame.left {
            return None;
        }
        let from = self.start + RECORD_HEADER_BYTES;
        self.advance(RECORD_HEADER_BYTES + len);
        Some(&self.buffer[from..from + len])
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
    #[inline]
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

    /// Begins to take the next frame, if its header was scanned.
    #[inline]
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
    #[inline]
    fn advance(&mut self, count: usize) {
        let frame = self.taking.as_mut().expect("bytes are taken from a frame");
        frame.left -= count;
        self.start += count;
        self.taken += count as u64;
    }

    /// Passes over what was sent to receivers that are gone, and over a long value that nobody wants.
    pub(super) fn skip_forsaken(&mut self) -> Result<(), Malformed> {
        if self.forsaken == 0 && !self.skipping {
            return Ok(()); // Most often: no receiver was ever dropped.
        }
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
    pub(super) fn skip_frame(&mut self, frame: Frame) -> bool {
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
}
