//! A test binary whose tests begin in the order in which they are listed, where cargo's own harness begins them by their names:
//! so the longest can come first, and run beside all others.
//!
//! Deliberately absent: what the tests write held back until they fail, since that needs what only cargo's harness may use.

use libtest_mimic::Arguments;
pub use libtest_mimic::Trial;
use std::{num::NonZero, thread};

/// These functions, by the paths by which they are chosen: `trials![short, module::other]`. One that is left out is dead code,
/// of which the compiler warns.
#[macro_export]
macro_rules! trials {
    ($($function:path),* $(,)?) => {
        vec![$($crate::harness::trial(stringify!($function), $function)),*]
    };
}

/// A test, and the name by which it is chosen.
pub fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        test();
        Ok(())
    })
}

/// Runs them as the command line wants it, and ends the process. If that says nothing of it, as many run at a time as there are
/// processors, and this many at least.
pub fn run(trials: Vec<Trial>, at_once_min: usize) -> ! {
    let mut args = Arguments::from_args();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let at_once = processors.max(at_once_min);
    args.test_threads = args.test_threads.or(Some(at_once));
    libtest_mimic::run(&args, trials).exit()
}
