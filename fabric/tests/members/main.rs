//! Who belongs to a cluster and may do what there: real daemons on the loopback, each test with a cluster of its own.
//!
//! Deliberately absent: hosts of their own, and what becomes of jobs.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod confined;
mod daemons;
mod hostile;
mod insecure;
mod joining;
mod leaving;
mod matrix;
mod misunderstood;
mod own_node;
mod renewal;
mod slow;
mod talkative;
mod unheard;
mod uploads;
