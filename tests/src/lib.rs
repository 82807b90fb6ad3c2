//! Runs programs that open with the family they expect, and says where the family that came differs.
//!
//! A program's header tells its runs ([`header`]); a run is watched through its JSON lines and once more piped, as a
//! person would see it ([`run`]); the processes that came are compared with those expected, siblings in any order
//! ([`family`]); and afterwards nothing may be left ([`leftovers`]). [`pty`] stands in for a person at a terminal, and
//! [`cargo`] for one who writes a crate.
//!
//! Deliberately absent: any knowledge of how Deploy works. It sees what users see.

pub mod cargo;
pub mod cluster;
pub mod commands;
pub mod daemon;
pub mod family;
pub mod harness;
pub mod header;
pub mod hosts;
mod job_groups;
pub mod leftovers;
pub mod memory;
pub mod pattern;
pub mod pty;
pub mod run;
pub mod say;
pub mod soak;
pub mod story;
pub mod threads;
