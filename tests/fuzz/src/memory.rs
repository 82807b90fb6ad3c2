//! How much memory is allocated at once, by whatever runs in this process: one target at a time.

use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};
use std::alloc::System;

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Begins to count anew.
pub fn mark() -> Mark {
    MEMORY.reset_peak_memory();
    Mark(())
}

/// The most that was allocated at once since then.
pub fn peak_since(_mark: Mark) -> usize {
    MEMORY.get_peak_memory()
}

/// When counting began.
#[derive(Debug)]
pub struct Mark(());
