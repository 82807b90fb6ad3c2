//! A buffer per thread for values between the user's code and a connection: encoding and decoding are the user's code
//! and run with no lock held, and no message allocates.

use std::cell::Cell;

thread_local!(static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

/// Runs `f` with an empty buffer. Code that gets here again meanwhile, or while its thread ends, has one of its own.
pub(crate) fn with<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let result = f(&mut buffer);
    buffer.clear();
    let _ = SCRATCH.try_with(|scratch| scratch.set(buffer));
    result
}
