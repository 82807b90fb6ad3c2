//! Long values on their way out: the right to send one, and the pieces it leaves in.
//!
//! A value that lies in memory as it travels goes from where it lies; any other is sent while it is being encoded, a block
//! at a time. Whoever sends it blocks while there is no room.
//!
//! Deliberately absent: how a piece travels (`link/pieces.rs`).

use super::{Outlet, Refusal};
use crate::{
    codec,
    error::ChannelError,
    link::{LongMark, Look, Tx},
    waits::Waiting,
};
use deploy_wire::frame::{LENGTH_UNKNOWN, Part};
use serde::Serialize;
use std::io::{self, Write};

impl Outlet {
    /// Sends a long value while it is being encoded.
    pub(super) fn stream<T: Serialize>(
        &self,
        value: &T,
        waiting: Waiting,
    ) -> Result<(), ChannelError> {
        let mut pieces = Pieces {
            long: self.begin_long(waiting)?,
            block: Vec::new(),
            error: None,
        };
        let encoded = codec::encode(value, &mut pieces);
        let Pieces { long, block, error } = pieces;
        match (encoded, error) {
            (Ok(()), _) => long.send(&block, Part::Last, LENGTH_UNKNOWN),
            (Err(_), Some(error)) => Err(error),
            (Err(why), None) => Err(ChannelError::Codec(why)),
        }
    }

    /// Blocks until no other long value is being sent, and keeps others from being sent.
    pub(super) fn begin_long(&self, waiting: Waiting) -> Result<Long<'_>, ChannelError> {
        let mark = self.block(waiting, || {
            let mut tx = self.link.tx();
            if let Some(refusal) = self.refusal() {
                return Look::Found(Err(refusal));
            }
            match self.link.mark_long(&mut tx) {
                Some(mark) => Look::Found(Ok(mark)),
                None => Look::Idle, // Until the thread that sends the other one rings.
            }
        })?;
        Ok(Long {
            outlet: self,
            mark,
            waiting,
        })
    }
}

/// The right to send a long value: no other value comes between its pieces. Dropped before the last one, by an error
/// or a panic of the encoder, it has the receiver forget the value.
pub(super) struct Long<'a> {
    outlet: &'a Outlet,
    mark: LongMark,
    /// What its sender waits for meanwhile.
    waiting: Waiting,
}

impl Long<'_> {
    /// Sends bytes in as many pieces as the window and the socket take; the last one is marked `part`.
    pub(super) fn send(
        &self,
        mut bytes: &[u8],
        part: Part,
        total: u64,
    ) -> Result<(), ChannelError> {
        let link = &self.outlet.link;
        loop {
            let look = || self.look_room(bytes.len());
            let (room, at_once) = self.outlet.block(self.waiting, look)?;
            let at_once = room.min(at_once);
            let (piece, rest) = bytes.split_at(at_once.min(bytes.len()));
            let part = if rest.is_empty() { part } else { Part::More };
            if !link.send_piece(self.mark, part, piece, total) {
                return Err(ChannelError::Closed); // The sender was dropped: nobody hears this.
            }
            bytes = rest;
            link.hear(room - piece.len() < piece.len()); // Unless another like it would find room.
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// How much of `wanted` bytes there is room for, all or a piece that is worth a frame, and how much leaves at once. What
    /// waits for the socket leaves first, so that pieces are written from where they lie.
    fn look_room(&self, wanted: usize) -> Look<Result<(usize, usize), Refusal>> {
        let link = &self.outlet.link;
        let tx: &mut Tx = &mut link.tx();
        if !link.holds_long(tx, self.mark) {
            return Look::Found(Err(Refusal::Error(ChannelError::Closed)));
        }
        if let Some(refusal) = self.outlet.refusal() {
            return Look::Found(Err(refusal));
        }
        let room = link.room(tx) as usize;
        // At least one, also for a piece that is empty: headers may have overrun the limit.
        let enough = room >= wanted.clamp(1, PIECE_BYTES_MIN);
        let at_once = if enough { link.room_at_once(tx) } else { 0 };
        Look::of((at_once > 0 && !link.is_blocked()).then_some(Ok((room, at_once))))
    }
}

impl Drop for Long<'_> {
    fn drop(&mut self) {
        let link = &self.outlet.link;
        let mut tx = link.tx();
        if link.holds_long(&tx, self.mark) {
            link.cancel_long(&mut tx);
            drop(tx);
            link.turn.ring();
        }
    }
}

/// Cuts what an encoder writes into pieces.
struct Pieces<'a> {
    long: Long<'a>,
    block: Vec<u8>,
    /// What became of the channel, where an encoder only says that writing failed.
    error: Option<ChannelError>,
}

impl Pieces<'_> {
    /// The block, and what follows it.
    fn send(&mut self, more: &[u8]) -> Result<(), ChannelError> {
        for bytes in [&self.block, more] {
            if !bytes.is_empty() {
                self.long.send(bytes, Part::More, LENGTH_UNKNOWN)?;
            }
        }
        self.block.clear();
        Ok(())
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What is longer than a block goes from where it lies.
        let lies_elsewhere = bytes.len() >= BLOCK_BYTES;
        if !lies_elsewhere {
            self.block.extend_from_slice(bytes);
        }
        if lies_elsewhere || self.block.len() >= BLOCK_BYTES {
            let more = if lies_elsewhere { bytes } else { &[] };
            if let Err(error) = self.send(more) {
                self.error = Some(error);
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much of a long value is encoded before it is sent.
const BLOCK_BYTES: usize = 64 << 10;

/// The shortest piece worth a frame, unless it is the rest.
pub(super) const PIECE_BYTES_MIN: usize = 16 << 10;
