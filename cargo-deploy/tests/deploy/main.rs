//! `cargo deploy` as a person calls it, against a bridge that follows a script: real processes, TLS on loopback.
//!
//! Deliberately absent: a cluster. What the bridge says here a test has written down.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod away;
mod bridge;
mod builds;
mod cluster;
mod frame;
mod jobs;
mod listings;
mod logins;
mod many;
mod ordinary;
mod outlive;
mod person;
mod runners;
mod settings;
mod terminals;
