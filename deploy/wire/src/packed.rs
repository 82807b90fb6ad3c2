//! What a process wrote, made shorter for its way through a cluster.
//!
//! Deliberately absent: how it is made shorter, and what it was. Whoever only passes it on knows how long it was, and that
//! counts: for credit, for positions, for what was missed.

use crate::bytes::{Malformed, Reader, Writer};

/// Bytes that stand for more bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packed {
    len: u32,
    bytes: Vec<u8>,
}

/// So many bytes are packed together at most: whoever unpacks them has room for these, whatever else is said.
pub const PACKED_TOGETHER_BYTES_MAX: usize = 128 << 10;

impl Packed {
    /// `bytes`, which stand for `len` others.
    ///
    /// # Errors
    /// If those were none, or more than are packed together, or these are not fewer.
    pub fn new(len: usize, bytes: Vec<u8>) -> Result<Packed, Malformed> {
        let is_shorter = (1..len).contains(&bytes.len());
        match u32::try_from(len) {
            Ok(len) if is_shorter && len as usize <= PACKED_TOGETHER_BYTES_MAX => {
                Ok(Packed { len, bytes })
            }
            _ => Err(Malformed("what is packed has an impossible length")),
        }
    }

    /// How many bytes it stands for.
    pub fn stands_for(&self) -> usize {
        self.len as usize
    }

    /// The bytes that travel.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn write<'w>(&self, w: &'w mut Writer) -> &'w mut Writer {
        w.u32(self.len).bytes(&self.bytes)
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Packed, Malformed> {
        Packed::new(r.u32()? as usize, r.bytes()?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shorter_or_too_long_is_malformed() {
        let new = |len: usize, bytes: usize| Packed::new(len, vec![0; bytes]);
        for (len, bytes) in [(2, 1), (PACKED_TOGETHER_BYTES_MAX, 5), (70_000, 69_999)] {
            let packed = new(len, bytes).unwrap();
            assert_eq!((packed.stands_for(), packed.bytes().len()), (len, bytes));
        }
        for (len, bytes) in [
            (0, 0),
            (1, 1),
            (5, 0),
            (5, 6),
            (PACKED_TOGETHER_BYTES_MAX + 1, 5),
        ] {
            assert!(new(len, bytes).is_err(), "{len} {bytes}");
        }
    }
}
