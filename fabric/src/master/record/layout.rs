//! What a record is on the disk, for those who write it and those who read it.
//!
//! Deliberately absent: reading and writing.
//!
//! # On the disk
//! A directory of files, *segments*, each called by the position of its first event. An event is a head of `HEAD_BYTES`
//! (length of its message `u32`, its number `u64`, bytes of output before it `u64`, bytes of output in it `u32`, little
//! end first) and the message that tells a client of it. A reader sees by the numbers where something is missing: a
//! segment that was dropped, or what came while the disk took nothing.

use deploy_trust::framing::Message;
use deploy_wire::client::Position;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A segment ends when it is so long.
    pub segment_bytes: u64,
    /// The oldest segment goes when all together are longer.
    pub record_bytes: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) first: Position,
    pub(super) bytes: u64,
}

/// An event that is to be written. Its message is the one that those are told who read along.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) head: [u8; HEAD_BYTES],
    pub(super) message: Message,
}

/// What a segment is called, by its first position.
pub(super) fn file_name(first: Position) -> String {
    let Position { sequence, output } = first;
    format!("{sequence:016x}-{output:016x}")
}

/// The position that a segment is called by.
pub(super) fn position(name: &str) -> Option<Position> {
    let (sequence, output) = name.split_once('-')?;
    let number = |text: &str| {
        let digits = Some(text).filter(|text| text.len() == 16)?;
        u64::from_str_radix(digits, 16).ok()
    };
    Some(Position {
        sequence: number(sequence)?,
        output: number(output)?,
    })
}

/// What stands before each message.
pub(super) struct Head {
    pub(super) message_bytes: usize,
    pub(super) at: Position,
    pub(super) output: u32,
}

impl Head {
    pub(super) fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let len = u32::try_from(self.message_bytes).expect("a message of the wire is shorter");
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.at.sequence.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.at.output.to_le_bytes());
        bytes[20..].copy_from_slice(&self.output.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Head {
        let u32_at = |at: usize| {
            let four = bytes[at..at + 4].try_into();
            u32::from_le_bytes(four.expect("four are four"))
        };
        let u64_at = |at: usize| {
            let eight = bytes[at..at + 8].try_into();
            u64::from_le_bytes(eight.expect("eight are eight"))
        };
        Head {
            message_bytes: u32_at(0) as usize,
            at: Position {
                sequence: u64_at(4),
                output: u64_at(12),
            },
            output: u32_at(20),
        }
    }
}

pub(super) const HEAD_BYTES: usize = 24;
