//! What a run left behind, which must be nothing: processes, zombies, control groups, files.
//!
//! Each run carries a variable of its own in its environment ([`Mark`]), which all its processes inherit, however
//! far they wander from their group and session. Sockets and descriptors go with the processes that hold them.

use crate::job_groups;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What tells the things of one run from all others, and what there was before it.
pub struct Mark {
    value: String,
    /// The run's own directory for temporary files.
    pub temporary: PathBuf,
    groups_before: BTreeSet<PathBuf>,
}

impl Mark {
    /// Takes note of what is there before a run.
    pub fn new() -> io::Result<Mark> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let own = format!("{}-{run}", process::id());
        let temporary = std::env::temp_dir().join(format!("deploy-tests-{own}"));
        // A run within another is part of that.
        let value = match std::env::var(VARIABLE) {
            Ok(outer) => format!("{outer}.{own}"),
            Err(_) => own,
        };
        if run == 0 {
            clear_after_killed("deploy-tests-");
        }
        fs::create_dir(&temporary)?;
        Ok(Mark {
            value,
            temporary,
            groups_before: control_groups(),
        })
    }

    /// The variables that the run must have in its environment.
    pub fn variables(&self) -> [(&'static str, std::ffi::OsString); 2] {
        [
            (VARIABLE, self.value.clone().into()),
            ("TMPDIR", self.temporary.clone().into()),
        ]
    }

    /// The run's processes that live, and those of runs within it.
    pub fn processes(&self) -> Vec<u32> {
        let entry = format!("{VARIABLE}={}", self.value).into_bytes();
        let is_ours = |variable: &[u8]| {
            let rest = variable.strip_prefix(&*entry);
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
        };
        let marked = |pid: &u32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(is_ours))
        };
        every_process().filter(marked).collect()
    }

    /// Waits until nothing is left of a run whose first process `first`, the leader of its process group, has been
    /// waited for; says what it is, if something stays.
    pub fn check(self, first: u32) -> Result<(), String> {
        // What clears up after a killed monitor comes a moment later, and nothing announces that it has done.
        let deadline = Instant::now() + LEFT_MAX;
        let mut left = self.left(first);
        while !left.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            left = self.left(first);
        }
        if let Err(error) = fs::remove_dir_all(&self.temporary) {
            left.push(format!("{}: {error}", self.temporary.display()));
        }
        if left.is_empty() {
            return Ok(());
        }
        self.kill();
        Err(format!("left behind:\n  {}", left.join("\n  ")))
    }

    /// Ends all processes of the run, those that they start meanwhile too.
    pub fn kill(&self) {
        let deadline = Instant::now() + LEFT_MAX;
        loop {
            let processes = self.processes();
            for pid in &processes {
                // One that has ended meanwhile needs no signal.
                let _ = kill(Pid::from_raw(*pid as i32), Signal::SIGKILL);
            }
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5)); // Nothing announces the end of what is not our child.
        }
    }

    fn left(&self, first: u32) -> Vec<String> {
        let mut left: Vec<String> = self.processes().into_iter().map(describe).collect();
        let zombies = every_process().filter(|pid| group_of(*pid) == Some(first));
        left.extend(zombies.map(|pid| format!("of the group: {}", describe(pid))));
        // Other runs of this moment have groups too, which mostly have owners: what stays is somebody's mistake.
        let groups = job_groups::without_owner(&control_groups());
        let ours = groups.difference(&self.groups_before);
        left.extend(ours.map(|path| format!("control group {}", path.display())));
        let files = fs::read_dir(&self.temporary)
            .into_iter()
            .flatten()
            .flatten();
        left.extend(files.map(|file| format!("file {}", file.path().display())));
        left
    }
}

/// Removes temporary directories of this name, with the number of a process behind it, of processes that are gone: who is killed
/// removes nothing.
pub(crate) fn clear_after_killed(name: &str) {
    let all = fs::read_dir(std::env::temp_dir());
    for entry in all.into_iter().flatten().flatten() {
        let called = entry.file_name();
        let rest = called.to_str().and_then(|called| called.strip_prefix(name));
        let process = rest.and_then(|rest| rest.split('-').next());
        let process = process.and_then(|process| process.parse::<u32>().ok());
        if process.is_some_and(|process| !PathBuf::from(format!("/proc/{process}")).exists()) {
            let _ = fs::remove_dir_all(entry.path()); // Somebody else's, or somebody else is faster.
        }
    }
}

/// Whether a process is stopped, as by Ctrl-Z.
pub fn is_stopped(pid: u32) -> bool {
    stat_fields(pid).is_some_and(|fields| fields[0] == "T")
}

/// A process as a person would name it: number, state and command line.
pub fn describe(pid: u32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let state = stat_fields(pid).map_or("gone".into(), |fields| fields[0].clone());
    format!("process {pid} ({state}) {command}")
}

pub(crate) fn every_process() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn group_of(pid: u32) -> Option<u32> {
    stat_fields(pid)?.get(2)?.parse().ok()
}

/// The fields of `/proc/PID/stat` after the command's name: state, parent, group, ..
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_string).collect())
}

/// Every control group that this process can see.
fn control_groups() -> BTreeSet<PathBuf> {
    groups_below(vec![PathBuf::from("/sys/fs/cgroup")])
}

/// New control groups of this name below our own, one in each hierarchy that processes are held together or limited by
/// and that lets us; maybe none.
pub(crate) fn own_groups(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let make = |kind: &&str| {
        // ID PARENT DEVICE ROOT MOUNTED OPTIONS.. - TYPE SOURCE SUPER_OPTIONS
        let mount = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let (fs_type, options) = after.split_once(' ')?;
            let is_it = match *kind {
                "" => fs_type == "cgroup2",
                kind => fs_type == "cgroup" && options.split([',', ' ']).any(|word| word == kind),
            };
            before.split(" ").nth(4).filter(|_| is_it)
        })?;
        let path = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let is_it = fields.next()?.split(',').any(|word| word == *kind);
            is_it.then_some(fields.next()?)
        })?;
        let group = PathBuf::from(mount)
            .join(path.trim_start_matches('/'))
            .join(name);
        fs::create_dir(&group).ok().map(|()| group)
    };
    // The named one is systemd's own.
    let kinds = ["", "freezer", "memory", "cpu", "pids", "name=systemd"];
    kinds.iter().filter_map(make).collect()
}

/// Every group below these.
pub(crate) fn groups_below(roots: Vec<PathBuf>) -> BTreeSet<PathBuf> {
    let (mut roots, mut groups) = (roots, BTreeSet::new());
    while let Some(directory) = roots.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                roots.push(entry.path());
                groups.insert(entry.path());
            }
        }
    }
    groups
}

/// Removes the directory also where a test panics.
impl Drop for Mark {
    fn drop(&mut self) {
        if self.temporary.exists() {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// In the environment of every process of a run.
const VARIABLE: &str = "DEPLOY_TEST_RUN";
/// How long what is left may take to go.
const LEFT_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_marked_process_in_another_session_is_found() {
        let mark = Mark::new().unwrap();
        let mut child = Command::new("setsid")
            .args(["cat"])
            .stdin(Stdio::piped())
            .envs(mark.variables())
            .spawn()
            .unwrap();
        assert!(
            mark.left(child.id())
                .iter()
                .any(|what| what.contains("process"))
        );
        drop(child.stdin.take());
        child.wait().unwrap();
        mark.check(child.id()).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_cleared_and_nothing_else() {
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let directory = |process| std::env::temp_dir().join(format!("deploy-left-{process}-0"));
        let [of_dead, of_living] = [ended.id(), process::id()].map(directory);
        for directory in [&of_dead, &of_living] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("file"), "left").unwrap();
        }
        clear_after_killed("deploy-left-");
        assert!(!of_dead.exists() && of_living.exists());
        fs::remove_dir_all(of_living).unwrap();
    }

    #[test]
    fn a_file_that_stays_is_found() {
        let mark = Mark::new().unwrap();
        fs::write(mark.temporary.join("forgotten"), "").unwrap();
        assert!(mark.left(u32::MAX)[0].contains("forgotten"));
    }
}
