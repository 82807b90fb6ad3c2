//! The master: it knows the nodes, places processes, and speaks to people's clients.

pub mod cluster;
pub mod job;
mod party;
pub mod serve;
