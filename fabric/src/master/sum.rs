//! Whether a disk hands back what was written: eight bytes that stand before it and follow from it.
//!
//! Deliberately absent: anybody who means harm, who could write the sum, too.

/// The sum of these bytes.
pub fn of(bytes: &[u8]) -> [u8; BYTES] {
    let digest = blake3::hash(bytes);
    *digest.as_bytes().first_chunk().expect("a digest is longer")
}

/// The bytes behind their sum; nothing, if it is that of others.
pub fn check(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = bytes.split_first_chunk()?;
    (*sum == of(rest)).then_some(rest)
}

/// How long it is.
pub const BYTES: usize = 8;
