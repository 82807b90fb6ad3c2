//! The receiving half of a connection, with a peer that sends what it likes and a reader that takes in any order.
//!
//! The input is a script: each byte chooses a step, and the bytes behind it say more. So that more than the first
//! header is reached, most steps make frames that are right but for what the script changes.

use crate::{Target, wire::KINDS};
use deploy_wire::{
    bytes::Malformed,
    frame::{HEADER_BYTES, Header, Kind, LENGTH_UNKNOWN, Part},
    inbound::{Inbound, Piece, Taken, WINDOW_UNITS_MAX},
};

pub(crate) const INBOUND: Target = Target {
    name: "inbound",
    check: |input| {
        let mut end = End {
            inbound: Inbound::new(),
            script: input,
            opened: 0,
            receiver: 1,
            in_long: false,
            fed: 0,
        };
        // What a peer must not send ends the connection, and with it the script.
        while let Ok(true) = end.step() {
            end.check();
        }
        // Twice what waits and one read, in the buffer and in the one that it moves to; the names of types.
        8 * end.fed + (1 << 20)
    },
    seeds: || {
        let frame =
            |kind: u8, len: u8| [vec![FRAME, kind, len, 0, 0], vec![7; len as usize]].concat();
        let take = vec![TAKE, TAKE_RUN, 9, TELL, GROW];
        let open = frame(0, 3);
        let data = |len: u8| [frame(1, len + 4), take.clone()].concat();
        vec![
            [open.clone(), data(8), data(0), frame(5, 0), take.clone()].concat(),
            [
                open.clone(),
                frame(2, 100),
                take.clone(),
                vec![PIECE, 200],
                frame(3, 50),
                vec![PIECE, 200, PIECE, 9],
            ]
            .concat(),
            [
                open.clone(),
                frame(3, 50),
                vec![TAKE, PIECE, 200, PIECE, 9],
                frame(3, 50),
                vec![TAKE, PIECE, 200, PIECE, 9],
                [vec![AHEAD, 50, 3], vec![7; 50]].concat(),
                vec![PIECE, 9, AHEAD, 30, 2],
                frame(1, 9),
            ]
            .concat(),
            [
                open.clone(),
                frame(2, 10),
                take.clone(),
                vec![ABANDON],
                frame(4, 0),
                take.clone(),
            ]
            .concat(),
            [
                open.clone(),
                data(3),
                vec![FORSAKE],
                frame(6, 0),
                open.clone(),
                data(5),
                frame(7, 0),
                take.clone(),
            ]
            .concat(),
            [
                frame(8, 0),
                frame(10, 9),
                frame(11, 0),
                frame(12, 0),
                open,
                data(1),
            ]
            .concat(),
        ]
    },
    short: 40_000,
};

struct End<'a> {
    inbound: Inbound,
    script: &'a [u8],
    /// The latest sender of the peer's.
    opened: u32,
    /// Our receiver.
    receiver: u32,
    /// It takes a long value now.
    in_long: bool,
    /// How many bytes have arrived.
    fed: usize,
}

impl<'a> End<'a> {
    /// One step; false at the end of the script.
    fn step(&mut self) -> Result<bool, Malformed> {
        let Some(choice) = self.byte() else {
            return Ok(false);
        };
        match choice % STEPS {
            RAW => {
                let len = self.byte().unwrap_or(0).into();
                let bytes = self.bytes(len);
                self.feed(bytes)?;
            }
            TAKE if !self.in_long => {
                let taken = self.inbound.take(self.receiver)?;
                self.in_long = matches!(taken, Taken::Long { .. });
            }
            TAKE_RUN if !self.in_long => self.take_run()?,
            PIECE if self.in_long => self.take_piece()?,
            ABANDON if self.in_long => {
                self.in_long = false;
                self.inbound.abandon_long()?;
            }
            FORSAKE => {
                self.in_long = false;
                self.inbound.handle_forsaken(self.receiver)?;
                self.receiver += 1;
            }
            TELL => self
                .inbound
                .handle_told(self.inbound.arrived(), self.inbound.granted()),
            GROW if self.inbound.wants_growth() => {
                self.inbound.grow();
            }
            PEEK if !self.in_long => {
                self.inbound.peek(self.receiver)?;
            }
            AHEAD if !self.in_long && self.inbound.expects_whole().is_some() => {
                self.read_ahead()?
            }
            FRAME | 11.. => self.frame()?,
            _ => {}
        }
        Ok(true)
    }

    fn check(&self) {
        let inbound = &self.inbound;
        assert!(
            inbound.arrived() <= self.fed as u64,
            "no more arrived than came"
        );
        assert!(inbound.window() <= WINDOW_UNITS_MAX);
        assert!(inbound.granted() <= self.fed as u64 + WINDOW_UNITS_MAX);
        let _ = (
            inbound.ack_is_due(),
            inbound.ack_is_owed(),
            inbound.wants_growth(),
        );
        let _ = (inbound.opened(self.receiver), inbound.stopped());
    }

    /// A frame, of a length and a generation near the right ones; the payload begins with a record's length.
    fn frame(&mut self) -> Result<(), Malformed> {
        let kind = KINDS[usize::from(self.byte().unwrap_or(0)) % KINDS.len()];
        let len = usize::from(self.byte().unwrap_or(0));
        let (change, scale) = (self.byte().unwrap_or(0), self.byte().unwrap_or(0));
        self.opened += u32::from(kind == Kind::Open);
        let mut payload = self.bytes(len).to_vec();
        payload.resize(len << (scale % 8), 1);
        if kind == Kind::Data && payload.len() >= 4 && change < 200 {
            let record = payload.len() as u32 - 4;
            payload[..4].copy_from_slice(&record.to_le_bytes());
        }
        if matches!(
            kind,
            Kind::Fin | Kind::Abort | Kind::Bye | Kind::Ack | Kind::Ping | Kind::Memory(_)
        ) {
            payload.clear();
        }
        let extra = match kind {
            Kind::Fin | Kind::Abort | Kind::Bye => self.inbound.arrived(),
            Kind::Piece(Part::Last) if change % 2 == 0 => payload.len() as u64,
            _ => LENGTH_UNKNOWN,
        };
        let header = Header {
            payload: payload.len() as u32,
            acknowledged: u64::from(change),
            limit: u64::MAX >> (change % 64),
            extra,
            ..Header::new(kind, self.opened)
        };
        let mut bytes = header.encode().to_vec();
        if change >= 192 {
            let at = usize::from(scale) % bytes.len();
            bytes[at] ^= change;
        }
        bytes.extend_from_slice(&payload);
        let cut = usize::from(change) % (bytes.len() + 1);
        self.feed(&bytes[..cut])?;
        self.feed(&bytes[cut..])
    }

    fn take_run(&mut self) -> Result<(), Malformed> {
        let want = usize::from(self.byte().unwrap_or(1));
        let pending = matches!(self.inbound.take_run(self.receiver, want)?, Taken::Pending);
        let direct = self.inbound.direct_run(self.receiver);
        if pending && direct > 0 {
            self.read_direct(direct.min(want.max(1)));
        }
        Ok(())
    }

    fn take_piece(&mut self) -> Result<(), Malformed> {
        let want = 1 + usize::from(self.byte().unwrap_or(0));
        match self.inbound.take_piece(self.receiver, want)? {
            Piece::Bytes(bytes) => assert!((1..=want).contains(&bytes.len())),
            Piece::Direct(most) => {
                assert!((1..=want).contains(&most));
                self.read_direct(most);
            }
            Piece::Pending => {}
            Piece::End | Piece::Cancelled | Piece::Bye | Piece::Broken => self.in_long = false,
        }
        Ok(())
    }

    fn read_direct(&mut self, count: usize) {
        self.fed += count;
        self.inbound.handle_direct(count);
    }

    /// A piece, and more behind it, of which the reader has what it expects in one read.
    fn read_ahead(&mut self) -> Result<(), Malformed> {
        let expected = self.inbound.expects_whole().unwrap_or(0);
        let len = usize::from(self.byte().unwrap_or(0));
        let kind = match self.byte().unwrap_or(0) % 4 {
            0 => Kind::Data,
            1 => Kind::Piece(Part::More),
            _ => Kind::Piece(Part::Last),
        };
        let header = Header {
            payload: len as u32,
            extra: len as u64,
            ..Header::new(kind, self.opened)
        };
        let ahead = self.bytes(expected);
        self.fed += HEADER_BYTES + ahead.len();
        self.inbound.space().copy_from_slice(&header.encode());
        if let Some((_, kept)) = self.inbound.handle_ahead(self.receiver, ahead)? {
            assert!(kept <= len.min(ahead.len()));
            self.in_long = true;
        }
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.fed += bytes.len();
        self.inbound.handle_bytes(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*byte)
    }

    /// The next bytes of the script: as many as there are, and `len` at most.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.script.split_at(len.min(self.script.len()));
        self.script = rest;
        bytes
    }
}

const FRAME: u8 = 0;
const RAW: u8 = 1;
const TAKE: u8 = 2;
const TAKE_RUN: u8 = 3;
const PIECE: u8 = 4;
const ABANDON: u8 = 5;
const FORSAKE: u8 = 6;
const TELL: u8 = 7;
const GROW: u8 = 8;
const PEEK: u8 = 9;
const AHEAD: u8 = 10;
/// More of them make frames.
const STEPS: u8 = 16;
