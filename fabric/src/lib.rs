//! The daemon of a cluster: a node on each machine, and the master on the head.
//!
//! Deliberately absent: the library that users write against, whose programs it hosts.

#![forbid(unsafe_code)]

pub mod audit;
pub mod capacity;
pub mod cli;
pub mod commands;
pub mod confine;
pub mod head;
pub mod images;
pub mod master;
pub mod node;
pub mod numbered;
pub mod own_node;
pub mod scheduler;
pub mod warden;
