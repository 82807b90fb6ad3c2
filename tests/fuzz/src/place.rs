//! Where the files of a target are: in memory if possible, since a disk takes a hundred times as long to make and remove them.
//!
//! Deliberately absent: who removes them.

use std::{
    env,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

/// A path where nothing is, of nobody else.
pub(crate) fn new(name: &str) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("deploy-fuzz-{name}-{}-{number}", process::id());
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => memory.join(name),
        false => env::temp_dir().join(name),
    }
}
