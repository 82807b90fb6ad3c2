//! The first message of either side of a session.
//!
//! Deliberately absent: what comes of two versions that differ.

use crate::limits::VERSION;
use deploy_wire::bytes::{Malformed, Reader, Writer};

/// What a peer speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greeting {
    /// The version of all that is said in a session.
    pub version: u32,
    /// Its release, as people are shown it: no control characters, no novels.
    pub release: String,
}

impl Greeting {
    /// What we speak.
    pub fn ours() -> Greeting {
        Greeting {
            version: VERSION,
            release: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(self.version).text(&self.release);
        w.finish()
    }

    /// What a peer said.
    ///
    /// # Errors
    /// If it is no greeting.
    pub fn read(bytes: &[u8]) -> Result<Greeting, Malformed> {
        let r = &mut Reader::new(bytes);
        let version = r.u32()?;
        let is_plain = |c: &char| c.is_ascii_graphic();
        let release = r.text()?.chars().filter(is_plain).take(RELEASE_MAX);
        let release = release.collect();
        Ok(Greeting { version, release })
    }
}

const RELEASE_MAX: usize = 40;
