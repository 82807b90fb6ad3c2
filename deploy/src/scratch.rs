//! A buffer per thread for values between the user's code and a connection: encoding and decoding are the user's code
//! and run with no lock held, and no message allocates.

use std::{cell::RefCell, mem::take};

thread_local!(static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

/// Runs `f` with an empty buffer. Code that gets here again meanwhile, or while its thread ends, has one of its own.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut f = Some(f);
    let mut run = |buffer: &mut Vec<u8>| {
        buffer.clear();
        let f = f.take().expect("it is run once");
        f(buffer)
    };
    let done = SCRATCH.try_with(|scratch| {
        scratch
            .try_borrow_mut()
            .ok()
            .map(|mut buffer| run(&mut buffer))
    });
    match done {
        Ok(Some(result)) => result,
        _ => run(&mut Vec::new()),
    }
}

/// The buffer of this thread, for what outlives a call: empty, and to be given back by whichever thread has it then.
#[inline]
pub(crate) fn lend() -> Vec<u8> {
    let lend = |scratch: &RefCell<Vec<u8>>| scratch.try_borrow_mut().map(|mut own| take(&mut *own));
    let lent = SCRATCH.try_with(lend);
    let mut buffer = lent.ok().and_then(Result::ok).unwrap_or_default();
    buffer.clear();
    buffer
}

/// Gives back what was lent.
#[inline]
pub(crate) fn give_back(buffer: Vec<u8>) {
    // Without a place for it, it goes.
    let _ = SCRATCH.try_with(|scratch| scratch.try_borrow_mut().map(|mut own| *own = buffer));
}
