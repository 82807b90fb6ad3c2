//! The master: it knows the nodes, places processes, and speaks to people's clients.

pub mod admission;
pub mod again;
pub mod clerk;
pub mod cluster;
#[cfg(test)]
mod cluster_tests;
pub mod desk;
mod gate;
mod happening;
pub mod job;
mod journal;
mod lives;
pub mod membership;
mod party;
mod record;
pub mod rights;
pub mod scribe;
pub mod serve;
mod uploads;
