//! Which life is this? The first process of a program, one of its processes, or what a debugger made of one.
//!
//! 1. The person starts the program. `init` finds no certificate: this process stays as the *monitor* (`alone.rs`), and
//!    starts the program once more, as its initial process.
//! 2. There `init` finds the number of a descriptor in its environment, and on that descriptor its birth certificate.
//!    The initial process goes on with its `main`.
//! 3. Every other process runs its function, on a thread of its own, and ends. That thread is mostly there before the
//!    certificate is (`init/ahead.rs`).
//!
//! One more, the *keeper*, never gets past `init`: it waits there for the end of a monitor that is killed, and clears up.

mod ahead;
mod born;
mod cradle;

use crate::{alone, process};
use cradle::Cradle;
use deploy_sys::{process as os, tell};
use deploy_wire::{code::OwnCode, resources::Resources};

/// Makes this program one of many processes. The first statement of `main`: what stands before it runs in every
/// process, and what stands behind it only in the initial one.
///
/// `resources` is what the initial process needs. Threads may exist already, as under `#[tokio::main]`. In the process that
/// the person started it never returns: that one watches over the others, and exits when all have ended.
///
/// ```no_run
/// use deploy::*;
///
/// fn main() {
///     init(Resources { mem: 2 * Mem::GIB, cpu: Cpu::CORE, ..Resources::default() });
///     println!("I am {}, with {}", pid(), resources());
/// }
/// ```
///
/// # Panics
/// If it is called twice, or on another thread than `main`'s, as in a `#[test]`; if the machine cannot start another
/// process.
#[track_caller]
pub fn init(resources: Resources) {
    assert!(
        process::find().is_none(),
        "deploy: init was called before; call it once, at the beginning of main"
    );
    // On a thread of the test harness it would begin a job for each test, in each of whose processes all tests run.
    assert!(
        os::is_main_thread(),
        "deploy: init is called at the beginning of main, on its thread; a test that needs it sets `harness = false` and \
         has a main of its own"
    );
    if let Err(why) = deploy_monitor::keep_if_asked() {
        tell!("deploy: {why}");
        std::process::exit(OwnCode::Setting.number())
    }
    let papers = Cradle::find().and_then(|mut cradle| match cradle.expected.take() {
        Some(expected) if cradle.is_to_wait() => ahead::wait(cradle, expected),
        _ => cradle.receive(),
    });
    match papers {
        Some(papers) => {
            born::begin(papers, resources).unwrap_or_else(|error| born::cannot_begin(&error))
        }
        None => alone::run(resources),
    }
}
