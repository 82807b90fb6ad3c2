//! What the long commands (`soaks/`) have in common: numbers on their command line, and numbers drawn from a seed.
//!
//! Deliberately absent: what any of them does.

/// The number that follows `name` among the arguments, or `default`.
///
/// # Panics
/// If what follows is no number.
pub fn number(args: &[String], name: &str, default: u64) -> u64 {
    let at = args.iter().position(|arg| arg == name);
    let text = at.and_then(|at| args.get(at + 1));
    text.map_or(default, |text| text.parse().expect("a number follows"))
}

/// Numbers that look unlike (SplitMix64).
pub fn mixed(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Such numbers, one after another.
#[derive(Clone, Debug)]
pub struct Lots {
    seed: u64,
    drawn: u64,
}

impl Lots {
    /// The same seed draws the same numbers.
    pub fn new(seed: u64) -> Lots {
        Lots { seed, drawn: 0 }
    }

    /// The next one, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        mixed(self.seed, self.drawn) % end
    }

    /// The next one in this range.
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}
