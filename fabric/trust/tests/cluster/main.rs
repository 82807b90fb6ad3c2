//! Members, strangers and liars, over real sockets on the loopback.

#![allow(clippy::unwrap_used)]

mod join;
mod master;
