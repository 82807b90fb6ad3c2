//! Where in an old program lies what the new one has at a place.
//!
//! Deliberately absent: the longest match. The longest of some that are tried is enough, since a part is not ended by the
//! first byte that differs.

/// The places of an old program by the bytes that begin there.
pub(crate) struct Index {
    /// The latest place for each hash, and before each place the one of the same hash before it; both one more than it is.
    latest: Vec<u32>,
    before: Vec<u32>,
}

impl Index {
    pub(crate) fn new(old: &[u8]) -> Index {
        let slots = old.len().next_power_of_two().max(2);
        let mut index = Index {
            latest: vec![0; slots],
            before: vec![0; old.len()],
        };
        for (place, window) in old.windows(WINDOW).enumerate() {
            let latest = &mut index.latest[slot(window, slots)];
            index.before[place] = *latest;
            *latest = place as u32 + 1;
        }
        index
    }

    /// A place in the old program and one in the new, not before `limit` and near `at`, where both are equal for long.
    pub(crate) fn find(
        &self,
        old: &[u8],
        new: &[u8],
        at: usize,
        limit: usize,
    ) -> Option<(usize, usize)> {
        let window = new.get(at..at + WINDOW)?;
        let mut number = self.latest[slot(window, self.latest.len())];
        let (mut best, mut best_len) = (None, MATCH_MIN - 1);
        for _ in 0..TRIED_MAX {
            let Some(start) = number.checked_sub(1) else {
                break;
            };
            let start = start as usize;
            let ahead = common(&old[start..], &new[at..]);
            let behind = old[..start].iter().rev();
            let behind = behind.zip(new[limit..at].iter().rev());
            let behind = behind.take_while(|(old, new)| old == new).count();
            if ahead >= WINDOW && ahead + behind > best_len {
                (best, best_len) = (Some((start, at)), ahead + behind);
            }
            number = self.before[start];
        }
        best
    }
}

fn common(old: &[u8], new: &[u8]) -> usize {
    let both = old.iter().zip(new).take(LOOKED_AT_MAX);
    both.take_while(|(old, new)| old == new).count()
}

fn slot(window: &[u8], slots: usize) -> usize {
    let word = u64::from_le_bytes(window.try_into().expect("a window has eight bytes"));
    // The high bits of a product depend on all bits of the factors.
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - slots.ilog2())) as usize
}

/// As many bytes as one number holds.
const WINDOW: usize = 8;
/// What is shorter is not worth a jump.
const MATCH_MIN: usize = 16;
/// Among more of the same beginning the longest is not looked for.
const TRIED_MAX: usize = 32;
/// What is equal for longer is good enough.
const LOOKED_AT_MAX: usize = 4096;
