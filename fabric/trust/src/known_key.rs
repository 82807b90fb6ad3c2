//! The key of clusters without authentication, which everybody knows because it is written here.
//!
//! Deliberately absent: such clusters themselves (`insecure.rs`).

use crate::keys::{KeyPair, Pin};

/// Which authority it is.
pub(crate) fn pin() -> Pin {
    Pin::of(&key().public().to_spki())
}

pub(crate) fn key() -> KeyPair {
    KeyPair::from_secret("fabric authority 1", b"--insecure-no-auth")
}
