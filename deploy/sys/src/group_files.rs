//! A control group as the directory that it is: its members, the groups within it, its files.
//!
//! Deliberately absent: what groups are for (`cgroup.rs`, `group_limits.rs`).

use crate::process::numbers;
use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The processes in a group and in those below it, which its processes may have made.
pub(crate) fn members(directory: &Path) -> Vec<u32> {
    let text = fs::read_to_string(directory.join(MEMBERS)).unwrap_or_default();
    let below = groups_in(directory).flat_map(|group| members(&group));
    numbers(&text).chain(below).collect()
}

/// Removes a group and those below it, unless something in them is alive or dying.
pub(crate) fn try_remove(directory: &Path) -> bool {
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(_) => {
            let below = groups_in(directory)
                .filter(|group| try_remove(group))
                .count();
            below > 0 && fs::remove_dir(directory).is_ok()
        }
    }
}

pub(crate) fn groups_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path())
}

/// Tells all groups within one, each before those within it.
pub(crate) fn for_each_below(directory: &Path, tell: &mut impl FnMut(PathBuf)) {
    for group in groups_in(directory) {
        tell(group.clone());
        for_each_below(&group, tell);
    }
}

pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    fs::File::options()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(file)?
        .write_all(text.as_bytes())
}

/// The file that lists the processes in a group, and moves those into it that are written there.
pub(crate) const MEMBERS: &str = "cgroup.procs";
