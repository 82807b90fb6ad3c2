//! How much of what it was given a decoder has understood: a hundred million inputs that are refused at their first byte say
//! nothing. And where one input is a script of many, each of its steps, events or entries that the decoder has read is a word.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// The target has given its decoder so many more words.
pub(crate) fn given(words: u64) {
    WORDS.fetch_add(words, Ordering::Relaxed);
}

/// The decoder takes an input for what it claims to be.
pub(crate) fn accepted() {
    ACCEPTED.fetch_add(1, Ordering::Relaxed);
}

/// What was counted; of a target that does not count there is nothing.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// How many inputs were taken for what they claim to be, once for each decoder of the target.
    pub accepted: u64,
    /// How many words the inputs were.
    pub words: u64,
}

impl Counts {
    /// In this process, so far.
    pub(crate) fn now() -> Counts {
        Counts {
            accepted: ACCEPTED.load(Ordering::Relaxed),
            words: WORDS.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn since(self, before: Counts) -> Counts {
        Counts {
            accepted: self.accepted - before.accepted,
            words: self.words - before.words,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, name) in [(self.words, "words"), (self.accepted, "accepted")] {
            if count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        Ok(())
    }
}

static WORDS: AtomicU64 = AtomicU64::new(0);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
