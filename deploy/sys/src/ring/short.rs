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
use std::{
    ptr,
    sync::atomic::{Ordering::*, fence},
};

/// A message of a number, with its frame.
pub(super) const SHORT_BYTES_MAX: usize = SHORT_WORDS * WORD_BYTES;

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
        let (words, rest) = bytes.as_chunks();
        let mut places = self.short_words().iter();
        for (word, place) in words.iter().zip(places.by_ref()) {
            place.store(u32::from_ne_bytes(*word), Relaxed);
        }
        if let (Some(place), false) = (places.next(), rest.is_empty()) {
            let mut word = [0; WORD_BYTES];
            word[..rest.len()].copy_from_slice(rest);
            place.store(u32::from_ne_bytes(word), Relaxed);
        }
        self.short_from().store(from, Release);
    }

    /// Copies the first `bytes` bytes of what follows this count, behind which `there` were written, if all of that stands beside
    /// `tail`. Otherwise it says so, and what it copied means nothing.
    ///
    /// # Safety
    /// `to` may be written for `bytes` bytes, which nobody else sees, and which are no more than are there.
    #[inline]
    pub(super) unsafe fn take_short(
        &self,
        count: u64,
        there: usize,
        to: *mut u8,
        bytes: usize,
    ) -> bool {
        let from = count as u32;
        if there > SHORT_BYTES_MAX || self.short_from().load(Acquire) != from {
            return false;
        }
        let places = self.short_words();
        let words = bytes / WORD_BYTES;
        for (index, place) in places[..words].iter().enumerate() {
            let word = place.load(Relaxed).to_ne_bytes();
            // SAFETY: it is one of the whole words of `to`, by this function's own condition.
            unsafe { to.cast::<[u8; WORD_BYTES]>().add(index).write(word) };
        }
        let rest = bytes % WORD_BYTES;
        if rest > 0 {
            let word = places[words].load(Relaxed).to_ne_bytes();
            // SAFETY: these bytes of `to` lie behind its whole words.
            unsafe { ptr::copy_nonoverlapping(word.as_ptr(), to.add(words * WORD_BYTES), rest) };
        }
        fence(Acquire);
        self.short_from().load(Relaxed) == from
    }
}

const WORD_BYTES: usize = size_of::<u32>();

/// So far from where it is: further than any ring is long.
const NOWHERE: u32 = 1 << 31;
