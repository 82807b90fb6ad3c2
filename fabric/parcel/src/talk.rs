//! What processes write, made shorter for its way: lines of text say much twice.
//!
//! # Only where it pays
//! A few lines go as they are, at once, and so does what does not shrink by a quarter: to make it longer again would cost more
//! than it saves. Then what follows is not tried for a while, which doubles up to `PAUSE_MAX`; the first that shrinks ends
//! that. Where output flows so fast that no line holds it up, processors do: then what shrinks to more than a quarter is not
//! worth their time either. Each piece stands for itself, so a reader may begin with any.
//!
//! Deliberately absent: what belongs to whom, and how many bytes may be packed together.

use std::{
    fmt, io,
    time::{Duration, Instant},
};
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::compress_bound,
};

/// Makes pieces shorter. It has some 600 KiB of memory once it was needed.
#[derive(Default)]
pub struct Packer {
    compressor: Option<Compressor<'static>>,
    /// So many more are not tried.
    paused: u32,
    /// How many were not, the last time.
    pause: u32,
    flow: Flow,
}

/// How much has come lately.
#[derive(Default)]
struct Flow {
    since: Option<Instant>,
    bytes: u128,
    is_fast: bool,
}

impl Packer {
    /// The same in fewer bytes; nothing, if it is better sent as it is.
    pub fn pack(&mut self, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.flow.handle(bytes.len(), now);
        if bytes.len() < WORTH_IT_BYTES {
            return None;
        }
        if self.paused > 0 {
            self.paused -= 1;
            return None;
        }
        let packed = self.try_pack(bytes);
        let least = if self.flow.is_fast { 4 } else { 1 };
        let is_worth_it = |packed: &Vec<u8>| packed.len() * least <= bytes.len();
        self.pause = match packed.as_ref().is_some_and(is_worth_it) {
            true => 0,
            false => (2 * self.pause).clamp(1, PAUSE_MAX),
        };
        self.paused = self.pause;
        packed
    }

    fn try_pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.compressor.is_none() {
            self.compressor = Compressor::new(LEVEL).ok(); // Without memory for it all goes as it is.
        }
        let mut packed = Vec::with_capacity(compress_bound(bytes.len()));
        let compressor = self.compressor.as_mut()?;
        let len = compressor.compress_to_buffer(bytes, &mut packed).ok()?;
        (len <= bytes.len() / 4 * 3).then(|| {
            packed.shrink_to_fit();
            packed
        })
    }
}

impl Flow {
    fn handle(&mut self, bytes: usize, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= LATELY {
            self.is_fast = self.bytes > FAST_BYTES_A_SECOND * passed.as_millis() / 1000;
            (self.since, self.bytes) = (Some(now), 0);
        }
        self.bytes += bytes as u128;
    }
}

/// Makes them what they were.
pub struct Unpacker(Decompressor<'static>);

impl Unpacker {
    /// One that has seen nothing.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> io::Result<Unpacker> {
        Decompressor::new().map(Unpacker)
    }

    /// The `len` bytes that these stand for; no more memory is taken, whatever they say.
    ///
    /// # Errors
    /// If they do not stand for so many.
    pub fn unpack(&mut self, packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        let found = self.0.decompress_to_buffer(packed, &mut bytes);
        if found? != len {
            let why = "a piece of the output has another length than was said";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

/// More than a person reads at once. Less hardly shrinks by itself, and takes no time on any line.
const WORTH_IT_BYTES: usize = 4 << 10;
/// So many pieces go untried at most where none shrinks: then trying costs a thirtieth of what it would.
const PAUSE_MAX: u32 = 32;
/// Faster than a line of 1 Gbit/s, and slower than machines are.
const FAST_BYTES_A_SECOND: u128 = 200_000_000;
const LATELY: Duration = Duration::from_millis(50);
/// Of zstd: the fastest that still weighs letters, by which text becomes half as long as without.
const LEVEL: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(count: usize) -> Vec<u8> {
        let lines = (0..count).map(|n| format!("step {n} of many, loss 0.{}\n", n * 7919 % 1000));
        lines.collect::<String>().into_bytes()
    }

    /// It does not shrink.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn lines_shrink_and_come_back() {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::new().unwrap());
        let lines = lines(4000);
        let now = Instant::now();
        let packed = packer
            .pack(&lines, now)
            .expect("lines are like one another");
        assert!(packed.len() * 3 < lines.len(), "{}", packed.len());
        assert_eq!(unpacker.unpack(&packed, lines.len()).unwrap(), lines);
        assert_eq!(
            packer.pack(&lines[..100], now),
            None,
            "it is only a few lines"
        );
        // Behind what could not be read, the next can.
        assert!(unpacker.unpack(&packed[..20], lines.len()).is_err());
        assert!(unpacker.unpack(&packed, lines.len() - 1).is_err());
        assert!(unpacker.unpack(&packed, lines.len() + 1).is_err());
        assert_eq!(unpacker.unpack(&packed, lines.len()).unwrap(), lines);
    }

    #[test]
    fn noise_goes_as_it_is_and_is_seldom_tried() {
        let (mut packer, noise, lines) = (Packer::default(), noise(64 << 10), lines(4000));
        let now = Instant::now();
        for _ in 0..200 {
            assert_eq!(packer.pack(&noise, now), None);
        }
        // Lines behind it are tried before long, and from then on at once.
        let waited = (0..100).find(|_| packer.pack(&lines, now).is_some());
        assert!((1..=PAUSE_MAX as usize).contains(&waited.expect("they shrink")));
        assert!(packer.pack(&lines, now).is_some());
    }

    #[test]
    fn what_shrinks_little_is_left_as_it_is_where_it_flows_fast() {
        let hex = noise(50_000).into_iter().map(|byte| format!("{byte:02x}"));
        let little = hex.collect::<String>().into_bytes();
        let much = vec![b'x'; little.len()];
        for (megabytes_a_second, expected) in [(100, 100..=100), (400, 1..=20)] {
            let (mut packer, mut now) = (Packer::default(), Instant::now());
            let mut pack = |bytes: &[u8]| {
                now += Duration::from_micros(bytes.len() as u64 / megabytes_a_second);
                usize::from(packer.pack(bytes, now).is_some())
            };
            let _ = (0..600).map(|_| pack(&little)).sum::<usize>();
            let packed = (0..100).map(|_| pack(&little)).sum::<usize>();
            assert!(expected.contains(&packed), "{megabytes_a_second}: {packed}");
            let _ = (0..=PAUSE_MAX).map(|_| pack(&much)).sum::<usize>();
            assert_eq!((0..100).map(|_| pack(&much)).sum::<usize>(), 100);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back(bytes in proptest::collection::vec(0u8..6, 0..20_000)) {
            let packed = Packer::default().pack(&bytes, Instant::now());
            if let Some(packed) = packed {
                prop_assert!(packed.len() < bytes.len());
                let back = Unpacker::new().unwrap().unpack(&packed, bytes.len()).unwrap();
                prop_assert_eq!(back, bytes);
            }
        }
    }
}
