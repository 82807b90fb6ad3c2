//! What no process of ours survives.
//!
//! Deliberately absent: what can be helped, which is an error (`error.rs`).

/// Ends this process, whose program closed descriptors of ours: there is nobody left to ask or to hear from.
#[cold]
pub(crate) fn closed_ours() -> ! {
    eprintln!("deploy: {CLOSED_OURS}");
    std::process::abort()
}

const CLOSED_OURS: &str = "this process closed descriptors that it did not open, and with them its connection \
    to the first process: a program may close what it opened itself, and nothing from number 512 on that it did not";
