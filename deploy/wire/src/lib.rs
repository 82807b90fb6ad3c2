//! The words of Deploy and their bytes, and nothing that carries them: no socket, no file, no clock.
//!
//! Without the feature `protocol` there are only those words that stand for themselves, and no dependency.
//!
//! `PROTOCOL.md` beside this crate is the same in prose and tables.

#![forbid(unsafe_code)]

pub mod amount;
#[cfg(feature = "protocol")]
pub mod birth;
#[cfg(feature = "protocol")]
pub mod bytes;
#[cfg(feature = "protocol")]
pub mod client;
#[cfg(feature = "protocol")]
pub mod code;
#[cfg(feature = "protocol")]
pub mod control;
#[cfg(feature = "protocol")]
pub mod event;
pub mod exit;
#[cfg(feature = "protocol")]
mod fields;
#[cfg(feature = "protocol")]
pub mod frame;
#[cfg(feature = "protocol")]
pub mod handshake;
#[cfg(feature = "protocol")]
pub mod hello;
#[cfg(feature = "protocol")]
pub mod inbound;
#[cfg(feature = "protocol")]
pub mod job;
#[cfg(feature = "protocol")]
pub mod node;
#[cfg(feature = "protocol")]
mod order;
#[cfg(feature = "protocol")]
pub mod outbound;
#[cfg(feature = "protocol")]
pub mod packed;
#[cfg(feature = "protocol")]
pub mod pass;
#[cfg(feature = "protocol")]
pub mod pid;
#[cfg(feature = "protocol")]
pub mod record;
pub mod refusal;
#[cfg(feature = "protocol")]
pub mod relay;
pub mod resources;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
#[cfg(feature = "protocol")]
pub mod secret;
#[cfg(feature = "protocol")]
pub mod type_name;
#[cfg(feature = "protocol")]
pub mod wait;
