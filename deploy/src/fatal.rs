//! What no process of ours survives.
//!
//! Deliberately absent: what can be helped, which is an error (`error.rs`).

use deploy_sys::tell;
use std::sync::Once;

/// Ends this process, whose program closed descriptors of ours: there is nobody left to ask or to hear from.
#[cold]
pub(crate) fn closed_ours() -> ! {
    // Several threads may find it out: the first one says it.
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tell!("deploy: {CLOSED_OURS}");
        std::process::abort()
    });
    unreachable!("whoever said it has ended this process")
}

const CLOSED_OURS: &str = "this process closed descriptors that it did not open, and with them its connection \
    to the first process: a program may close what it opened itself, and nothing from number 512 on that it did not";
