//! The last call of a process that ends by itself: by `return` from `main` or by `exit`, not by `abort` or a signal; and
//! an end without one.

use std::io;

/// Has `last` called when this process ends by itself, after thread-local values of the ending thread are gone; the
/// other threads still run. A process forked from this one inherits it.
pub fn at_exit(last: extern "C" fn()) -> io::Result<()> {
    // SAFETY: `last` is a function of the executable, which is there for as long as the process.
    match unsafe { libc::atexit(last) } {
        0 => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
    }
}

/// Ends this process at once, without any last call and without a failure.
pub fn vanish() -> ! {
    // SAFETY: it takes a number and never returns.
    unsafe { libc::_exit(0) }
}
