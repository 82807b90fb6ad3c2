//! The kernel's words for Deploy, each in its own file, and every `unsafe` line of the project.
//!
//! Deliberately absent: what any of it is for. Nothing here knows of jobs, messages or the other crates.

#![allow(unsafe_code)]

pub mod cgroup;
pub mod claim;
mod clone;
pub mod code;
pub mod exit;
pub mod fd;
pub mod fork;
pub mod glibc;
mod group_files;
pub mod group_limits;
pub mod hierarchy;
pub mod landlock;
pub mod launch;
pub mod limit;
pub mod memfd;
pub mod newborn;
pub mod packet;
pub mod pidfd;
pub mod pipe;
pub mod poller;
pub mod process;
pub mod random;
pub mod ring;
pub mod same;
pub mod signal;
pub mod stream;
pub mod tell;
pub mod threads;
