//! Where in an old program lies what the new one has at a place.
//!
//! Deliberately absent: the longest match. The longest of some that are tried is enough, since a part is not ended by the
//! first byte that differs. Of a very long program not every place is known, so that the index stays small beside it: what
//! is equal for long is met at one that is, and followed back from there.

/// The places of an old program by the bytes that begin there.
pub(crate) struct Index {
    /// The latest place for each hash, and before each place the one of the same hash before it; both one more than it is.
    latest: Vec<u32>,
    before: Vec<u32>,
    /// Each so many bytes there is a place; places are numbered.
    step: usize,
}

impl Index {
    pub(crate) fn new(old: &[u8]) -> Index {
        Index::with_places(old, PLACES_MAX)
    }

    fn with_places(old: &[u8], places_max: usize) -> Index {
        let step = old.len().div_ceil(places_max).max(1);
        let places = old.len() / step + 1;
        let slots = places.next_power_of_two().max(2);
        let mut index = Index {
            latest: vec![0; slots],
            before: vec![0; places],
            step,
        };
        for (place, window) in old.windows(WINDOW).step_by(step).enumerate() {
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
            let Some(place) = number.checked_sub(1) else {
                break;
            };
            let place = place as usize;
            let start = place * self.step;
            let ahead = common(&old[start..], &new[at..]);
            let behind = old[..start].iter().rev();
            let behind = behind.zip(new[limit..at].iter().rev());
            let behind = behind.take_while(|(old, new)| old == new).count();
            if ahead >= WINDOW && ahead + behind > best_len {
                (best, best_len) = (Some((start, at)), ahead + behind);
            }
            number = self.before[place];
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

/// With eight bytes for each, and as many again where their number is just above a power of two, at most 24 MiB. Eight times
/// as many find two changes of a program in a hundred bytes more, and take twice as long.
const PLACES_MAX: usize = 2 << 20;
/// As many bytes as one number holds.
const WINDOW: usize = 8;
/// What is shorter is not worth a jump.
const MATCH_MIN: usize = 16;
/// Among more of the same beginning the longest is not looked for.
const TRIED_MAX: usize = 32;
/// What is equal for longer is good enough.
const LOOKED_AT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_for_long_is_found_where_few_places_are_known() {
        let noise = |seed: u32| seed.wrapping_mul(2_654_435_761).rotate_left(7);
        let old: Vec<u8> = (0..10_000).flat_map(|at| noise(at).to_le_bytes()).collect();
        let new = &old[1237..];
        for places_max in [old.len(), old.len() / 7, old.len() / 64] {
            let index = Index::with_places(&old, places_max);
            assert!(index.before.len() <= places_max + 1);
            let mut all = 0..200;
            let found = all.find_map(|at| index.find(&old, new, at, 0));
            let (in_old, in_new) = found.expect("it is equal from the first byte on");
            assert_eq!(in_old, in_new + 1237);
        }
    }
}
