//! Bytes that nobody else can read, change, repeat, reorder or cut unnoticed: records.
//!
//! A record is its length (`u32`, of the bytes it seals), those bytes encrypted, and a tag of 16 bytes. The length is
//! sealed too. The n-th record of a direction is sealed with n, so one that is missing, repeated or moved does not open.
//! A stream that is cut between two records opens up to there: its end is not told here, but by the frames within.
//!
//! Deliberately absent: what the bytes are, where keys come from (`handshake.rs`), sockets.

use crate::{bytes::Malformed, frame::HEADER_BYTES, secret::Secret};
use ring::aead::{
    self, AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};

/// What records are encrypted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    /// AES-128-GCM, where both machines have it in hardware: as strong as the exchange of keys before it, and faster than
    /// with 256 bits.
    Aes,
    /// ChaCha20-Poly1305.
    ChaCha,
}

/// Makes records.
#[derive(Debug)]
pub struct Sealer {
    key: LessSafeKey,
    count: u64,
    /// Records that nobody has written wholly.
    buffer: Vec<u8>,
    /// How much of `buffer` is written.
    written: usize,
}

/// Opens records.
#[derive(Debug)]
pub struct Opener {
    key: LessSafeKey,
    count: u64,
    buffer: Vec<u8>,
    /// The next byte to take, or the next record.
    start: usize,
    /// How many bytes from there on are opened.
    opened: usize,
    /// The end of what arrived.
    end: usize,
    /// Whether more came than a small buffer holds.
    is_busy: bool,
}

impl Cipher {
    /// Whether this machine has AES in hardware.
    pub fn aes_is_fast() -> bool {
        #[cfg(target_arch = "x86_64")]
        return std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        return std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull");
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return false;
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Cipher::Aes => 1,
            Cipher::ChaCha => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Cipher> {
        match code {
            1 => Some(Cipher::Aes),
            2 => Some(Cipher::ChaCha),
            _ => None,
        }
    }

    fn key(self, secret: &Secret) -> LessSafeKey {
        let algorithm: &'static aead::Algorithm = match self {
            Cipher::Aes => &AES_128_GCM,
            Cipher::ChaCha => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, &secret.bytes()[..algorithm.key_len()]);
        LessSafeKey::new(key.expect("a key is as long as its cipher says"))
    }
}

impl Sealer {
    /// The sending end of one direction.
    pub fn new(cipher: Cipher, secret: &Secret) -> Sealer {
        Sealer {
            key: cipher.key(secret),
            count: 0,
            buffer: Vec::new(),
            written: 0,
        }
    }

    /// Seals these bytes, behind what is still to be written.
    ///
    /// # Panics
    /// If there are none, or more than [`RECORD_BYTES_MAX`].
    pub fn queue_record(&mut self, bytes: &[u8]) {
        assert!(
            (1..=RECORD_BYTES_MAX).contains(&bytes.len()),
            "no record is empty, or longer than the other end takes"
        );
        let length = (bytes.len() as u32).to_le_bytes();
        self.buffer.extend_from_slice(&length);
        let from = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        let nonce = nonce(&mut self.count);
        let sealed = &mut self.buffer[from..];
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(length), sealed)
            .expect("a record is shorter than what a cipher takes");
        self.buffer.extend_from_slice(tag.as_ref());
    }

    /// What to write next.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// So many bytes of [`Sealer::pending`] were written.
    pub fn handle_written(&mut self, count: usize) {
        self.written += count;
        assert!(
            self.written <= self.buffer.len(),
            "no more is written than was there"
        );
        if self.written == self.buffer.len() {
            self.written = 0;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        }
    }

    /// Nobody has used the connection for a while: where nothing waits, no memory is held for it.
    pub fn handle_rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }
}

impl Opener {
    /// The receiving end of one direction.
    pub fn new(cipher: Cipher, secret: &Secret) -> Opener {
        Opener {
            key: cipher.key(secret),
            count: 0,
            buffer: Vec::new(),
            start: 0,
            opened: 0,
            end: 0,
            is_busy: false,
        }
    }

    /// Space to read into: a kilobyte or more, once everything that [opens](Opener::take) was taken.
    pub fn space(&mut self) -> &mut [u8] {
        let bytes = match self.is_busy {
            true => BUFFER_BYTES,
            false => BUFFER_BYTES_FIRST,
        };
        let waiting = self.end - self.start;
        if waiting == 0 {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() < bytes.max(waiting + bytes / 4) {
            self.move_to(bytes.max(waiting + bytes / 4));
        } else if self.buffer.len() - self.end < bytes / 4 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, waiting);
        }
        &mut self.buffer[self.end..]
    }

    /// Space for what is missing of so many bytes that were sealed, and for no more, where they come in records as long
    /// as possible; or for what is missing of the next record, if that is longer.
    pub fn space_for(&mut self, bytes: usize) -> &mut [u8] {
        let records = bytes.div_ceil(RECORD_BYTES_MAX);
        let next = self
            .next_bytes()
            .map_or(0, |next| next + RECORD_EXTRA_BYTES);
        let wanted = next.max(bytes + records * RECORD_EXTRA_BYTES);
        let missing = wanted.saturating_sub(self.end - self.start);
        let space = self.space();
        let count = space.len().min(missing.max(1));
        &mut space[..count]
    }

    /// `count` bytes were read into the space.
    pub fn handle_read(&mut self, count: usize) {
        self.end += count;
        self.is_busy |= self.end == self.buffer.len();
    }

    /// These bytes were read elsewhere; no more than a kilobyte, and all that [opens](Opener::take) was taken before.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.space()[..bytes.len()].copy_from_slice(bytes);
        self.handle_read(bytes.len());
    }

    /// Moves what waits into a buffer of so many bytes.
    fn move_to(&mut self, bytes: usize) {
        let waiting = &self.buffer[self.start..self.end];
        let mut buffer = vec![0; bytes];
        buffer[..waiting.len()].copy_from_slice(waiting);
        (self.start, self.end) = (0, waiting.len());
        self.buffer = buffer;
    }

    /// Nobody has used the connection for a while: no memory is held for it but for what waits, a part of a record.
    pub fn handle_rest(&mut self) {
        if self.opened == 0 && self.buffer.len() > self.end - self.start {
            self.move_to(self.end - self.start);
            self.is_busy = false;
        }
    }

    /// The next bytes that were sealed, at most so many; nothing until the rest of their record arrives. After an error
    /// the connection is to be closed.
    pub fn take(&mut self, bytes_max: usize) -> Result<Option<&[u8]>, Malformed> {
        if self.opened == 0 && !self.open()? {
            return Ok(None);
        }
        let from = self.start;
        let count = self.opened.min(bytes_max);
        self.start += count;
        self.opened -= count;
        if self.opened == 0 {
            self.start += TAG_BYTES;
        }
        Ok(Some(&self.buffer[from..from + count]))
    }

    /// Opens the next record where it lies, if it is there.
    fn open(&mut self) -> Result<bool, Malformed> {
        let Some(bytes) = self.next_bytes() else {
            return Ok(false);
        };
        if bytes == 0 || bytes > RECORD_BYTES_MAX {
            return Err(DOES_NOT_OPEN);
        }
        if self.end - self.start < bytes + RECORD_EXTRA_BYTES {
            self.is_busy |= bytes > BUFFER_BYTES_FIRST / 4;
            return Ok(false);
        }
        let length = (bytes as u32).to_le_bytes();
        let from = self.start + LENGTH_BYTES;
        let sealed = &mut self.buffer[from..from + bytes + TAG_BYTES];
        let nonce = nonce(&mut self.count);
        self.key
            .open_in_place(nonce, Aad::from(length), sealed)
            .map_err(|_| DOES_NOT_OPEN)?;
        (self.start, self.opened) = (from, bytes);
        Ok(true)
    }

    /// How many bytes the next record says it seals, if that has arrived.
    fn next_bytes(&self) -> Option<usize> {
        let length = self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>()?;
        Some(u32::from_le_bytes(*length) as usize)
    }
}

/// A number that this key seals with once.
fn nonce(count: &mut u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&count.to_le_bytes());
    *count = count.checked_add(1).expect("2^64 records fit no lifetime");
    Nonce::assume_unique_for_key(bytes)
}

const DOES_NOT_OPEN: Malformed =
    Malformed("what came was changed on its way, or is not from the other end of the connection");

/// How many bytes one record seals at most: a whole frame of small values. That is enough for its own cost to be lost in
/// them, and few enough to stay in a processor's cache from the copy to the cipher to the kernel.
pub const RECORD_BYTES_MAX: usize = (64 << 10) + HEADER_BYTES;

const LENGTH_BYTES: usize = 4;

const TAG_BYTES: usize = 16;

/// What a record is longer than what it seals.
const RECORD_EXTRA_BYTES: usize = LENGTH_BYTES + TAG_BYTES;

const SEALED_BYTES_MAX: usize = RECORD_BYTES_MAX + RECORD_EXTRA_BYTES;

/// Room for a few records: the last one, which is moved to the front when it is cut, is then a small part of it.
const BUFFER_BYTES: usize = 4 * SEALED_BYTES_MAX;

/// Room for a few small values: all that most connections need.
const BUFFER_BYTES_FIRST: usize = 4 << 10;

/// How large a buffer stays once it is empty: what one write of small values needs.
const BUFFER_BYTES_KEPT: usize = 2 * SEALED_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: Secret = Secret::from_bytes([1; 32]);

    fn pair(cipher: Cipher) -> (Sealer, Opener) {
        (Sealer::new(cipher, &SECRET), Opener::new(cipher, &SECRET))
    }

    fn sealed(lengths: &[usize]) -> (Sealer, Vec<Vec<u8>>) {
        let mut sealer = Sealer::new(Cipher::Aes, &SECRET);
        let mut records = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            sealer.queue_record(&vec![index as u8; *length]);
            records.push(sealer.pending().to_vec());
            sealer.handle_written(sealer.pending().len());
        }
        (sealer, records)
    }

    /// All that opens of these bytes, cut into chunks, taken in bites.
    fn opened(bytes: &[u8], chunk: usize, bite: usize) -> Result<Vec<u8>, Malformed> {
        let mut opener = Opener::new(Cipher::Aes, &SECRET);
        let mut all = Vec::new();
        for mut bytes in bytes.chunks(chunk) {
            while !bytes.is_empty() {
                let room = opener.space().len();
                assert!(room >= BUFFER_BYTES_FIRST / 4);
                let (now, later) = bytes.split_at(bytes.len().min(room));
                opener.handle_bytes(now);
                bytes = later;
                while let Some(some) = opener.take(bite)? {
                    assert!(!some.is_empty() && some.len() <= bite);
                    all.extend_from_slice(some);
                }
            }
        }
        Ok(all)
    }

    #[test]
    fn long_texts_are_cut_and_come_whole_with_either_cipher() {
        for cipher in [Cipher::Aes, Cipher::ChaCha] {
            let (mut sealer, mut opener) = pair(cipher);
            let text: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
            for split in [0, 1, 40, RECORD_BYTES_MAX, 100_000, 300_000] {
                let (first, second) = text.split_at(split);
                let [first, second] = [first, second].map(|bytes| bytes.chunks(RECORD_BYTES_MAX));
                first
                    .chain(second)
                    .for_each(|bytes| sealer.queue_record(bytes));
                let mut all = Vec::new();
                while !sealer.pending().is_empty() {
                    let count = sealer.pending().len().min(opener.space().len()).min(70_001);
                    opener.handle_bytes(&sealer.pending()[..count]);
                    sealer.handle_written(count);
                    while let Some(some) = opener.take(usize::MAX).unwrap() {
                        all.extend_from_slice(some);
                    }
                }
                assert!(all == text, "{cipher:?} {split}");
            }
        }
    }

    #[test]
    fn records_repeated_missing_moved_cut_or_of_another_key_do_not_open() {
        let (_, records) = sealed(&[10, 20, 30]);
        let check = |bytes: &[u8]| assert_eq!(opened(bytes, 1000, 1000), Err(DOES_NOT_OPEN));
        let [one, two, three] = &records[..] else {
            panic!("three were sealed")
        };
        check(&[&one[..], one].concat());
        check(&[&one[..], three].concat());
        check(&[&two[..], one].concat());
        check(&[&one[..10], two, three].concat());
        check(&[0; 40]);
        check(&[255; 40]);
        let mut other = Opener::new(Cipher::Aes, &Secret::from_bytes([2; 32]));
        other.handle_bytes(one);
        assert_eq!(other.take(1000), Err(DOES_NOT_OPEN));
    }

    #[test]
    fn a_sealer_that_is_written_little_by_little_loses_nothing() {
        let (mut sealer, mut opener) = pair(Cipher::ChaCha);
        let mut all = Vec::new();
        for round in 0..1000u32 {
            sealer.queue_record(&round.to_le_bytes());
            let count = sealer.pending().len().min(23);
            opener.handle_bytes(&sealer.pending()[..count]);
            sealer.handle_written(count);
            while let Some(some) = opener.take(3).unwrap() {
                all.extend_from_slice(some);
            }
        }
        opener.handle_bytes(sealer.pending());
        while let Some(some) = opener.take(usize::MAX).unwrap() {
            all.extend_from_slice(some);
        }
        let expected: Vec<u8> = (0..1000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(all, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn cut_anywhere_it_comes_whole(
            lengths in proptest::collection::vec(1..RECORD_BYTES_MAX, 1..6),
            chunk in prop_oneof![1..100usize, 1..300_000usize],
            bite in prop_oneof![1..100usize, Just(usize::MAX)],
        ) {
            let (_, records) = sealed(&lengths);
            let expected: Vec<u8> = lengths.iter().enumerate().flat_map(|(n, len)| vec![n as u8; *len]).collect();
            prop_assert!(opened(&records.concat(), chunk, bite) == Ok(expected));
        }

        #[test]
        fn a_changed_bit_anywhere_does_not_open(
            lengths in proptest::collection::vec(1..2000usize, 1..5),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let (_, records) = sealed(&lengths);
            let mut bytes = records.concat();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let before: usize = records.iter().scan(0, |sum, record| { *sum += record.len(); Some(*sum) }).take_while(|end| *end <= at).count();
            let whole: usize = lengths[..before].iter().sum();
            // What a longer length promises may just not be there yet; but nothing of what was changed is ever given.
            match opened(&bytes, 777, 100) {
                Ok(all) => prop_assert_eq!(all.len(), whole),
                Err(why) => prop_assert_eq!(why, DOES_NOT_OPEN),
            }
        }

        #[test]
        fn any_bytes_are_refused_or_wait_for_more(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            if let Ok(all) = opened(&bytes, 100, 100) {
                prop_assert!(all.is_empty());
            }
        }
    }
}
