//! Runs tests that mostly wait: for silences that somebody has to notice, and for what is promised after them. More of them
//! run at a time than there are processors, which is what cargo's own harness goes by.
//!
//! Deliberately absent: what that harness has beyond names to choose by; and capturing, so each line that a test prints is
//! among those of others.

use std::{
    env,
    panic::catch_unwind,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// A test and the name by which it is chosen.
pub type Test = (&'static str, fn());

/// These tests, each of which is a function of a module.
macro_rules! tests {
    ($($module:ident::$function:ident,)*) => {
        &[$((concat!(stringify!($module), "::", stringify!($function)), $module::$function)),*]
    };
}

pub(crate) use tests;

/// Runs those tests whose names contain one of the words on the command line, or all of them; in this order, so that the
/// longest are best named first.
pub fn run(tests: &[Test]) -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted =
        |name: &str| words.is_empty() || words.iter().any(|word| name.contains(&**word));
    let wanted: Vec<&Test> = tests.iter().filter(|(name, _)| is_wanted(name)).collect();
    println!("running {} tests, {AT_ONCE} at a time", wanted.len());
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, test)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            let is_ok = thread::scope(|scope| {
                // So that what a panic says begins with the name.
                let named = thread::Builder::new().name(name.to_string());
                let test = named.spawn_scoped(scope, || catch_unwind(test).is_ok());
                let ended = test.expect("a thread more can be had").join();
                ended.expect("its panic was caught")
            });
            let word = if is_ok { "ok" } else { "FAILED" };
            println!("test {name} ... {word} ({:.1?})", begun.elapsed());
            if !is_ok {
                failed.lock().expect("nobody panics with it").push(*name);
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("nobody panicked with it");
    println!(
        "\ntest result: {} passed; {} failed {}",
        wanted.len() - failed.len(),
        failed.len(),
        failed.join(" ")
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Their clusters keep two processors half busy.
const AT_ONCE: usize = 4;
