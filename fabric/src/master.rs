//! The master: it knows the nodes, places processes, and speaks to people's clients.

pub mod admission;
pub mod again;
mod brief;
pub mod clerk;
pub mod cluster;
pub mod desk;
mod gate;
pub mod happening;
pub mod job;
pub mod journal;
pub mod librarian;
pub mod lives;
pub mod membership;
pub mod nodes_file;
mod party;
pub mod place;
pub mod record;
pub mod rights;
pub mod scribe;
pub mod serve;
mod sum;
mod uploads;
