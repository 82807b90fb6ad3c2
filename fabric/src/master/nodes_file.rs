//! Where it is written down which nodes there are.
//!
//! Deliberately absent: what is said of each, which the cluster knows.

use super::sum;
use std::{fs, io, path::PathBuf};

/// The file.
#[derive(Debug)]
pub struct NodesFile(PathBuf);

impl NodesFile {
    /// The file of this name.
    pub fn new(path: PathBuf) -> NodesFile {
        NodesFile(path)
    }

    /// Replaces what is there.
    ///
    /// # Errors
    /// If the disk takes nothing.
    pub fn write(&self, nodes: &[u8]) -> io::Result<()> {
        let next = self.0.with_extension("next");
        fs::write(&next, [&sum::of(nodes), nodes].concat())?;
        fs::rename(&next, &self.0)
    }

    /// What is there; nothing, where no master was before.
    ///
    /// # Errors
    /// If it cannot be read, or is not what was written.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let bytes = match fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let nodes = sum::check(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some(nodes.to_vec()))
    }
}
