//! Inputs made of other inputs, by a seed.

/// Random bits that a seed decides (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Makes `input` one of the seeds, changed a few times.
pub(crate) fn mutate(seeds: &[Vec<u8>], random: &mut Random, input: &mut Vec<u8>) {
    input.clear();
    input.extend_from_slice(&seeds[random.below(seeds.len())]);
    for _ in 0..1 + random.below(CHANGES_MAX) {
        change(seeds, random, input);
    }
    input.truncate(INPUT_BYTES_MAX);
}

fn change(seeds: &[Vec<u8>], random: &mut Random, input: &mut Vec<u8>) {
    let at = random.below(input.len() + 1);
    let span = at..input.len().min(at + 1 + random.below(SPAN_MAX));
    match random.below(8) {
        0 => input.truncate(at),
        1 => {
            let bytes: Vec<u8> = (0..random.below(SPAN_MAX))
                .map(|_| random.next() as u8)
                .collect();
            input.splice(at..at, bytes);
        }
        2 => {
            let copy = input[span].to_vec();
            input.splice(at..at, copy);
        }
        3 => {
            input.drain(span);
        }
        4 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 => overwrite(
            input,
            at,
            &TELLING[random.below(TELLING.len())].to_le_bytes(),
            random,
        ),
        6 => overwrite(input, at, &[random.next() as u8], random),
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

/// Writes the first one, two, four or eight of these bytes over those at `at`.
fn overwrite(input: &mut [u8], at: usize, bytes: &[u8], random: &mut Random) {
    let width = bytes.len().min(1 << random.below(4));
    for (to, from) in input[at..].iter_mut().zip(&bytes[..width]) {
        *to = *from;
    }
}

/// Numbers at which counts and lengths go wrong.
const TELLING: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x1_0001,
    0x40_0000,
    0x0fff_ffff,
    0x1000_0000,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];
const CHANGES_MAX: usize = 6;
const SPAN_MAX: usize = 24;
/// Longer inputs say nothing new.
const INPUT_BYTES_MAX: usize = 4 << 10;
