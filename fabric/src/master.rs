//! The master: it knows the nodes, places processes, and speaks to people's clients.

pub mod cluster;
#[cfg(test)]
mod cluster_tests;
pub mod job;
mod party;
pub mod serve;
