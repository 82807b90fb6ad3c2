//! What travels of a connection that two machines cannot make themselves, by way of the master.
//!
//! Deliberately absent: what the bytes say. They are sealed by the two processes, and nobody on the way can read or change
//! them unnoticed.
//!
//! # The story
//! 1. Each of the two wardens is ordered to open its end (`JobOrder::Relay`), with the same window: so many bytes each may
//!    send before it is granted more.
//! 2. `Bytes` go as far as was granted. Who has given them to its process grants as many again (`Credit`). So what waits
//!    anywhere on the way is bounded for each connection, and one whose process is slow holds up no other.
//! 3. `End` says that a process has closed its end, behind its last bytes, and `Stop` that it reads no more.
//! 4. `Over` is the last word of an end: it sends nothing more and takes nothing more. When both have said it, or where one
//!    is gone with its machine, the connection is forgotten.
//! 5. `Broken` is the master's word: what was on its way is lost with a session. It comes before any word of the end of the
//!    process at the other end, which may go on, or end as if all were well.

use crate::{
    bytes::{Malformed, Reader, Writer},
    secret::Seal,
};

/// An end of a relayed connection, for a process.
#[derive(Clone, PartialEq, Debug)]
pub struct Relay {
    /// Its number in the job; none names two.
    pub channel: u32,
    /// The process that gets the end.
    pub one: u32,
    /// The process at the other end.
    pub other: u32,
    /// What the process makes the connection its own with.
    pub seal: Seal,
    /// How many bytes may be on their way in each direction.
    pub window: u64,
}

/// Something of a relayed connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// At most [`PIECE_BYTES_MAX`] of them.
    Bytes(Vec<u8>),
    /// So many more may be sent.
    Credit(u64),
    /// No bytes follow.
    End,
    /// No bytes are wanted any more.
    Stop,
    /// The sender's end is gone.
    Over,
    /// What was on its way is lost. Only the master says so.
    Broken,
}

/// A packet holds it, and nothing waits for long behind it.
pub const PIECE_BYTES_MAX: usize = 64 << 10;

impl Relay {
    pub(crate) fn write(&self, w: &mut Writer) {
        w.u32(self.channel).u32(self.one).u32(self.other);
        self.seal.write(w);
        w.u64(self.window);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Relay, Malformed> {
        Ok(Relay {
            channel: r.u32()?,
            one: r.u32()?,
            other: r.u32()?,
            seal: Seal::read(r)?,
            window: r.u64()?,
        })
    }
}

impl Piece {
    /// Whether it may wait for what is said of jobs. Credit may not: whoever waits for it could send. Nor may word that it broke:
    /// word of an end would overtake it.
    pub fn is_bulk(&self) -> bool {
        !matches!(self, Piece::Credit(_) | Piece::Broken)
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Piece::Bytes(bytes) => w.u8(1).bytes(bytes),
            Piece::Credit(bytes) => w.u8(2).u64(*bytes),
            Piece::End => w.u8(3),
            Piece::Stop => w.u8(4),
            Piece::Over => w.u8(5),
            Piece::Broken => w.u8(6),
        };
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Piece, Malformed> {
        Ok(match r.u8()? {
            1 => match r.bytes()? {
                bytes if bytes.len() <= PIECE_BYTES_MAX => Piece::Bytes(bytes.to_vec()),
                _ => return Err(Malformed("a piece is too long")),
            },
            2 => Piece::Credit(r.u64()?),
            3 => Piece::End,
            4 => Piece::Stop,
            5 => Piece::Over,
            6 => Piece::Broken,
            _ => return Err(Malformed("an unknown piece of a relayed connection")),
        })
    }
}
