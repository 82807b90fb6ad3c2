//! How much a decoder was given, where one input is a script of many: what one of them reads is counted as a word.

use std::sync::atomic::{AtomicU64, Ordering};

/// The target has given its decoder so many more: steps of a script, events of a record, entries of a journal.
pub(crate) fn given(words: u64) {
    WORDS.fetch_add(words, Ordering::Relaxed);
}

/// How many that were in this process.
pub(crate) fn so_far() -> u64 {
    WORDS.load(Ordering::Relaxed)
}

static WORDS: AtomicU64 = AtomicU64::new(0);
