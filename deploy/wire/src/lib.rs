//! The words of Deploy and their bytes, and nothing that carries them: no socket, no file, no clock.
//!
//! `PROTOCOL.md` beside this crate is the same in prose and tables.

#![forbid(unsafe_code)]

pub mod birth;
pub mod bytes;
pub mod client;
pub mod code;
pub mod control;
pub mod event;
pub mod exit;
pub mod frame;
pub mod handshake;
pub mod hello;
pub mod inbound;
pub mod job;
pub mod node;
mod order;
pub mod outbound;
pub mod pid;
pub mod record;
pub mod resources;
pub mod secret;
pub mod type_name;
