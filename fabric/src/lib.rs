//! The daemon of a cluster: a node on each machine, and the master on the head.
//!
//! Deliberately absent: the library that users write against, whose programs it hosts.

#![forbid(unsafe_code)]
