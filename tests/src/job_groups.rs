//! Control groups that jobs have left: whoever owns a job's group holds a lock on it for as long as it lives, so one without
//! is left, or about to be taken or removed.
//!
//! Deliberately absent: groups of other names, and those on hosts that were made for tests, of which others run at this moment:
//! whoever made the hosts looks when they are taken down (`hosts.rs`).

use nix::sys::stat::{major, minor, stat};
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

/// Those of these groups that are a job's and have no owner. Where limits are kept in hierarchies of their own, there are more
/// groups of the name, and the owner has locked one of them.
pub(crate) fn without_owner(groups: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let jobs = groups
        .iter()
        .filter(|path| name(path).is_some() && !is_on_a_host(path));
    let jobs: BTreeSet<PathBuf> = jobs.cloned().collect();
    let locked = locked();
    let is_locked = |path: &&PathBuf| {
        stat(*path).is_ok_and(|stat| {
            let device = format!("{:02x}:{:02x}", major(stat.st_dev), minor(stat.st_dev));
            locked.contains(&format!("{device}:{}", stat.st_ino))
        })
    };
    let owned: BTreeSet<OsString> = jobs
        .iter()
        .filter(is_locked)
        .filter_map(|path| name(path))
        .collect();
    let is_left =
        |path: &PathBuf| path.exists() && name(path).is_some_and(|name| !owned.contains(&name));
    jobs.into_iter().filter(is_left).collect()
}

fn is_on_a_host(group: &Path) -> bool {
    let is_hosts = |part: &OsStr| part.to_string_lossy().starts_with("deploy-hosts-");
    group.iter().any(is_hosts)
}

/// What tells the job, if it is a job's.
fn name(group: &Path) -> Option<OsString> {
    let name = group.file_name()?;
    let is_job = name.to_string_lossy().starts_with("deploy-job-");
    is_job.then(|| name.to_os_string())
}

/// The files that somebody has locked, as device and inode.
fn locked() -> BTreeSet<String> {
    let locks = fs::read_to_string("/proc/locks").expect("the kernel says what is locked");
    // NUMBER: FLOCK ADVISORY WRITE PROCESS DEVICE:INODE FROM TO, and an arrow before FLOCK where it is waited for.
    let fields = |line: &str| line.split_whitespace().nth(5).map(str::to_string);
    locks
        .lines()
        .filter(|line| !line.contains("->"))
        .filter_map(fields)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leftovers::own_groups;
    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn the_group_of_a_job_without_an_owner_is_left() {
        // One below the other: jobs clear up beside themselves.
        let outer = own_groups(&format!("deploy-tests-left-{}", std::process::id()));
        let Some(first) = outer.first() else {
            return eprintln!("skipped: no control group may be made here");
        };
        let names = [
            "deploy-job-x",
            "other",
            "deploy-hosts-1-0-n1",
            "deploy-hosts-1-0-n1/deploy-job-y",
        ];
        let [job, other, host, elsewhere] = names.map(|name| first.join(name));
        for group in [&job, &other, &host, &elsewhere] {
            fs::create_dir(group).unwrap();
        }
        let groups = BTreeSet::from([job.clone(), other.clone(), elsewhere.clone()]);
        assert_eq!(without_owner(&groups), BTreeSet::from([job.clone()]));
        let file = fs::File::open(&job).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        assert_eq!(without_owner(&groups), BTreeSet::new());
        drop(lock);
        assert_eq!(without_owner(&groups), BTreeSet::from([job.clone()]));
        for group in [&job, &other, &elsewhere, &host] {
            fs::remove_dir(group).unwrap();
        }
        assert_eq!(without_owner(&groups), BTreeSet::new());
        for group in &outer {
            fs::remove_dir(group).unwrap();
        }
    }
}
