//! What is short stands beside its count.
//!
//! Between two processors a cache line takes most of the time that a short message takes, and `tail` and what it counts lie on
//! two. So what is short is written a second time, on the line of `tail` itself, and a reader that finds just that there does
//! not look into the ring: a message there and back takes a fifth less.
//!
//! # Why it is what it says
//! What stands there begins at the count `short_from`. The writer stores that anew before and after each change, and always
//! before the `tail` that makes it known. So a reader that finds no more there than it is long, and `short_from` where it reads
//! on, before copying and after it, has copied what was written last. Of the count the lower half is enough: no ring is as long.
//!
//! Deliberately absent: the ring, to which everything is written all the same.

use super::memory::{Memory, SHORT_WORDS};
use std::sync::atomic::{Ordering::*, fence};

/// A message of a number, with its frame.
pub(super) const SHORT_BYTES_MAX: usize = SHORT_WORDS * size_of::<u32>();

impl Memory {
    /// Writes what follows this count beside `tail`, which the caller stores next; or, where it is not short, that nothing
    /// stands there.
    #[inline]
    pub(super) fn put_short(&self, count: u64, bytes: &[u8]) {
        let from = count as u32;
        self.short_from().store(from.wrapping_add(NOWHERE), Relaxed);
        if bytes.len() > SHORT_BYTES_MAX {
            return;
        }
        fence(Release);
        let mut short = [0; SHORT_BYTES_MAX];
        short[..bytes.len()].copy_from_slice(bytes);
        let (words, _) = short.as_chunks();
        for (place, word) in self.short_words().iter().zip(words) {
            place.store(u32::from_le_bytes(*word), Relaxed);
        }
        self.short_from().store(from, Release);
    }

    /// What follows this count, behind which so many bytes were written, if it stands beside `tail`.
    #[inline]
    pub(super) fn short(&self, count: u64, there: usize) -> Option<[u8; SHORT_BYTES_MAX]> {
        let from = count as u32;
        if there > SHORT_BYTES_MAX || self.short_from().load(Acquire) != from {
            return None;
        }
        let mut short = [0; SHORT_BYTES_MAX];
        let (words, _) = short.as_chunks_mut();
        for (word, place) in words.iter_mut().zip(self.short_words()) {
            *word = place.load(Relaxed).to_le_bytes();
        }
        fence(Acquire);
        (self.short_from().load(Relaxed) == from).then_some(short)
    }
}

/// So far from where it is: further than any ring is long.
const NOWHERE: u32 = 1 << 31;
