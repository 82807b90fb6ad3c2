//! Members, strangers and liars, over real sockets on the loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod certificates;
mod crowd;
mod hostile;
mod join;
mod master;
mod rogue;
mod tokens;
mod versions;
