//! Copies that leave no trace in the writer's caches.
//!
//! What a processor writes stays in its own cache, and another one that reads it has to be handed each line from there. Where
//! the two share no core, that takes longer than from memory; and so does writing to lines that the reader still has. Stores
//! of this kind give whole lines to memory, and take them away from whichever cache had them.
//!
//! Deliberately absent: when that is worth it (`ways.rs`). Where a processor has no such stores that we know of, it is a copy
//! like any other.

use std::ptr;

/// As [`ptr::copy_nonoverlapping`]; what is stored behind it is seen behind these bytes.
///
/// # Safety
/// As for that.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    let before_line = to.align_offset(LINE_BYTES).min(bytes);
    let lines = (bytes - before_line) / LINE_BYTES;
    // SAFETY: what lies before the first whole line of `to`, these lines, and what lies behind them are `bytes` together, which
    // may be read and written by this function's own condition. A line begins where its parts may be stored whole, and they
    // are loaded from anywhere; both instructions are in all processors of this kind. Nobody sees these bytes before the
    // fence, behind which they are in order with all other stores, as the compiler takes them to be.
    unsafe {
        ptr::copy_nonoverlapping(from, to, before_line);
        let (from, to) = (from.add(before_line), to.add(before_line));
        for line in 0..lines {
            let from: *const __m128i = from.add(line * LINE_BYTES).cast();
            let to: *mut __m128i = to.add(line * LINE_BYTES).cast();
            let parts = [0, 1, 2, 3].map(|part| _mm_loadu_si128(from.add(part)));
            for (part, value) in parts.into_iter().enumerate() {
                _mm_stream_si128(to.add(part), value);
            }
        }
        let done = lines * LINE_BYTES;
        ptr::copy_nonoverlapping(from.add(done), to.add(done), bytes - before_line - done);
        _mm_sfence();
    }
}

/// As [`ptr::copy_nonoverlapping`].
///
/// # Safety
/// As for that.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: by this function's own condition.
    unsafe { ptr::copy_nonoverlapping(from, to, bytes) };
}

#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    #[test]
    fn any_bytes_get_anywhere_and_no_others() {
        let from: Vec<u8> = (0..=255).cycle().skip(1).take(400).collect();
        for (at, to, bytes) in (0..70).flat_map(|at| (0..70).map(move |to| (at, to, at * 3 + to))) {
            let mut there = vec![0; 400];
            // SAFETY: both have 400 bytes, which is more than 69 and 276 together.
            unsafe { super::copy(from.as_ptr().add(at), there.as_mut_ptr().add(to), bytes) };
            assert_eq!(there[to..to + bytes], from[at..at + bytes]);
            let others = there[..to].iter().chain(&there[to + bytes..]);
            assert!(others.copied().all(|byte| byte == 0), "{at} {to} {bytes}");
        }
    }
}
