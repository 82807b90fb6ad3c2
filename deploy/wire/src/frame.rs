//! Where one frame stops and the next begins, between two processes of a job.
//!
//! No versions here: both ends are the same image. `PROTOCOL.md` has the table of kinds.

use crate::bytes::Malformed;

/// What every frame begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// How many bytes of payload follow it.
    pub payload: u32,
    /// What it is.
    pub kind: Kind,
    /// Which of the senders that this process has had to that peer, counted from 1; for [`Kind::Stop`], which
    /// receiver; 0 where it concerns none.
    pub generation: u32,
    /// How many units of the opposite direction have arrived here: see [`Kind::counts`].
    pub acknowledged: u64,
    /// How many units the opposite direction may have sent in all.
    pub limit: u64,
    /// For [`Kind::Piece`], how many bytes the whole value has, or [`LENGTH_UNKNOWN`]; for the ends, how many units
    /// were sent before; else 0.
    pub extra: u64,
}

/// The kinds of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A sender begins; the payload is the name of the type it sends.
    Open,
    /// Whole values, each behind its length of four bytes.
    Data,
    /// A part of one value that is sent as it is encoded.
    Piece(Part),
    /// The sender was dropped: its end, as it should be.
    Fin,
    /// The sender was dropped by a panic.
    Abort,
    /// The process ends with the sender alive.
    Bye,
    /// The receiver was dropped, or refuses the sender.
    Stop(Stop),
    /// Nothing but the header's own words.
    Ack,
    /// Acknowledge now.
    Ping,
    /// A word of how the connection goes over to memory that both processes have.
    Memory(Memory),
}

/// How a socket pair's connection goes over to shared memory, one direction by itself. Each end says each word at most
/// once, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Memory {
    /// This end now reads with room for a descriptor.
    Asked,
    /// This end was asked. Its memory is beside the frame, or a frame before, for the other direction; or none is.
    Given,
    /// The last frame of this direction that the socket carries: what follows it lies in the memory that was given.
    Entered,
}

/// Which part of a value a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// More follows.
    More,
    /// The last.
    Last,
    /// There will be no more, and the value is to be forgotten: its encoding failed.
    Cancelled,
}

/// Why a receiver takes nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It was dropped.
    Dropped,
    /// It was dropped by a panic.
    Panicked,
    /// It expects another type; the payload is that type's name.
    Mismatch,
}

impl Header {
    /// A frame of this kind without payload; the acknowledgement and the limit are filled in when it leaves.
    pub fn new(kind: Kind, generation: u32) -> Header {
        Header {
            payload: 0,
            kind,
            generation,
            acknowledged: 0,
            limit: 0,
            extra: 0,
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        assert!(
            self.payload <= self.kind.payload_bytes_max(),
            "frames are cut before they grow too long"
        );
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.payload.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.kind.code());
        bytes[8..12].copy_from_slice(&self.generation.to_le_bytes());
        bytes[ACKNOWLEDGED_AT..][..8].copy_from_slice(&self.acknowledged.to_le_bytes());
        bytes[LIMIT_AT..][..8].copy_from_slice(&self.limit.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.extra.to_le_bytes());
        bytes
    }

    /// The header in these bytes.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Malformed> {
        let u32_at = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
        };
        let u64_at = |at: usize| {
            u64::from_le_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("a slice of eight bytes"),
            )
        };
        let header = Header {
            payload: u32_at(0),
            kind: Kind::from_code([bytes[4], bytes[5]])
                .ok_or(Malformed("an unknown kind of frame"))?,
            generation: u32_at(8),
            acknowledged: u64_at(ACKNOWLEDGED_AT),
            limit: u64_at(LIMIT_AT),
            extra: u64_at(32),
        };
        if header.payload > header.kind.payload_bytes_max() {
            return Err(Malformed("a frame is longer than its kind may be"));
        }
        Ok(header)
    }
}

impl Kind {
    /// Whether each byte of such a frame, header and payload, is a unit of its direction's sequence: what a receiver
    /// has to hold until it is taken. (An announcement is held too, but the first value must not wait for its
    /// acknowledgement.)
    pub const fn counts(self) -> bool {
        match self {
            Kind::Data | Kind::Piece(_) | Kind::Fin | Kind::Abort | Kind::Bye => true,
            Kind::Open | Kind::Stop(_) | Kind::Ack | Kind::Ping | Kind::Memory(_) => false,
        }
    }

    const fn payload_bytes_max(self) -> u32 {
        match self {
            Kind::Data | Kind::Piece(_) => PAYLOAD_BYTES_MAX,
            Kind::Open | Kind::Stop(_) => NAME_BYTES_MAX,
            Kind::Fin | Kind::Abort | Kind::Bye | Kind::Ack | Kind::Ping | Kind::Memory(_) => 0,
        }
    }

    const fn code(self) -> [u8; 2] {
        match self {
            Kind::Open => [1, 0],
            Kind::Data => [2, 0],
            Kind::Piece(Part::More) => [3, 0],
            Kind::Piece(Part::Last) => [3, 1],
            Kind::Piece(Part::Cancelled) => [3, 2],
            Kind::Fin => [4, 0],
            Kind::Abort => [5, 0],
            Kind::Bye => [6, 0],
            Kind::Stop(Stop::Dropped) => [7, 0],
            Kind::Stop(Stop::Panicked) => [7, 1],
            Kind::Stop(Stop::Mismatch) => [7, 2],
            Kind::Ack => [8, 0],
            Kind::Ping => [9, 0],
            Kind::Memory(Memory::Asked) => [10, 0],
            Kind::Memory(Memory::Given) => [10, 1],
            Kind::Memory(Memory::Entered) => [10, 2],
        }
    }

    const fn from_code(code: [u8; 2]) -> Option<Kind> {
        Some(match code {
            [1, 0] => Kind::Open,
            [2, 0] => Kind::Data,
            [3, 0] => Kind::Piece(Part::More),
            [3, 1] => Kind::Piece(Part::Last),
            [3, 2] => Kind::Piece(Part::Cancelled),
            [4, 0] => Kind::Fin,
            [5, 0] => Kind::Abort,
            [6, 0] => Kind::Bye,
            [7, 0] => Kind::Stop(Stop::Dropped),
            [7, 1] => Kind::Stop(Stop::Panicked),
            [7, 2] => Kind::Stop(Stop::Mismatch),
            [8, 0] => Kind::Ack,
            [9, 0] => Kind::Ping,
            [10, 0] => Kind::Memory(Memory::Asked),
            [10, 1] => Kind::Memory(Memory::Given),
            [10, 2] => Kind::Memory(Memory::Entered),
            _ => return None,
        })
    }
}

/// The length of a [`Header`].
pub const HEADER_BYTES: usize = 40;

/// Where `acknowledged` and `limit` stand in it: they are filled in when the frame leaves.
pub const ACKNOWLEDGED_AT: usize = 16;
/// See [`ACKNOWLEDGED_AT`].
pub const LIMIT_AT: usize = 24;

/// The longest payload: what a window may hold at most, so that a lying length never makes anybody allocate more.
pub const PAYLOAD_BYTES_MAX: u32 = 4 << 20;

/// The longest name of a type that travels whole.
pub const NAME_BYTES_MAX: u32 = 64 << 10;

/// The length of a value that is sent while it is still being encoded.
pub const LENGTH_UNKNOWN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_comes_back() {
        for major in 0..=255 {
            for minor in 0..=255 {
                if let Some(kind) = Kind::from_code([major, minor]) {
                    assert_eq!(kind.code(), [major, minor]);
                    let header = Header {
                        extra: 5,
                        limit: 4,
                        acknowledged: 3,
                        ..Header::new(kind, 2)
                    };
                    assert_eq!(Header::decode(&header.encode()), Ok(header));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_malformed(bytes in proptest::array::uniform32(any::<u8>())) {
            let mut long = [0; HEADER_BYTES];
            long[..32].copy_from_slice(&bytes);
            if let Ok(header) = Header::decode(&long) {
                prop_assert!(header.payload <= PAYLOAD_BYTES_MAX);
            }
        }
    }
}
