//! Members, strangers and liars, over real sockets on the loopback.

#![allow(clippy::unwrap_used)]

mod certificates;
mod crowd;
mod hostile;
mod join;
mod master;
mod rogue;
mod tokens;
mod versions;
