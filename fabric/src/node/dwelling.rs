//! Where a job lives on a node: a directory of its own, which is there when it begins and gone when it has ended.

use deploy_sys::random;
use deploy_wire::pid::Job;
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
};

/// A job's directory. Dropping this removes it, with all that is in it.
#[derive(Debug)]
pub(super) struct Dwelling {
    path: PathBuf,
}

/// A variable of an environment.
type Variable = (Vec<u8>, Vec<u8>);

impl Dwelling {
    /// Makes one for this job, below that directory.
    pub(super) fn make(below: &Path, job: Job) -> io::Result<Dwelling> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(below)?;
        let path = below.join(format!("{job}-{:08x}", random::bits()? as u32));
        builder.recursive(false).create(&path)?;
        Ok(Dwelling { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What of an environment only the node knows, where the person has said nothing else.
    pub(super) fn furnish(&self, environment: &mut Vec<Variable>) {
        for name in [&b"HOME"[..], b"TMPDIR"] {
            if !environment.iter().any(|(other, _)| other == name) {
                let value = self.path.as_os_str().as_bytes();
                environment.push((name.to_vec(), value.to_vec()));
            }
        }
    }
}

impl Drop for Dwelling {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}
