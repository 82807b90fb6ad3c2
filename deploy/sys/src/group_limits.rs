//! What the processes of a control group may use together: memory as a limit, processors as a share, and how many of them
//! there may be.
//!
//! Deliberately absent: which group is whose. Both versions of control groups have files of other names for the same, and
//! what a kernel or a machine does not have is left out.
//!
//! # Memory
//! Who needs more than the limit is killed at once, not slowed down and not swapped out; in the second version together
//! with the whole group. The kernel counts such kills, and that is how an end for want of memory is told from any other.
//!
//! # The second version
//! There a group that hands controllers on to groups within it may hold no processes itself. So before ours does that,
//! this process moves into a group beside them, with those that are of its company.

use crate::{
    group_files::{MEMBERS, write},
    hierarchy::{Hierarchy, Membership, Position},
    process::numbers,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a group may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Memory, in bytes. Every group may have 16 MiB, without which no program starts.
    pub memory_bytes: u64,
    /// Processor time, in millionths of a processor: a share where others compete, and no limit where they do not.
    pub cpu_millionths: u64,
    /// Processes and threads.
    pub tasks: u32,
}

impl Limits {
    /// Sets them for a group, in whichever of its directories the files are.
    pub(crate) fn set(&self, directories: &[&Path]) -> io::Result<()> {
        let memory = self.memory_bytes.max(MEMORY_BYTES_MIN);
        let with_swap = "memory.memsw.limit_in_bytes";
        for directory in directories {
            // The limit with swap may never be less than that without. So it is set first where they are raised, and this
            // fails where they are not.
            let _ = write(&directory.join(with_swap), &memory.to_string());
        }
        let settings = [
            ("memory.max", memory),
            ("memory.swap.max", 0),
            ("memory.oom.group", 1),
            ("memory.limit_in_bytes", memory),
            (with_swap, memory),
            ("pids.max", u64::from(self.tasks)),
        ];
        write_all(directories, &settings)?;
        set_share(directories, self.cpu_millionths)
    }
}

/// Sets which share of the processors a group has where it competes with others beside it, in millionths of a processor.
pub(crate) fn set_share(directories: &[&Path], cpu_millionths: u64) -> io::Result<()> {
    let share = |whole: u64, least: u64, most: u64| {
        let share = u128::from(cpu_millionths) * u128::from(whole) / 1_000_000;
        u64::try_from(share).unwrap_or(most).clamp(least, most)
    };
    let settings = [
        ("cpu.weight", share(100, 1, 10_000)),
        ("cpu.shares", share(1_024, 2, 262_144)),
    ];
    write_all(directories, &settings)
}

/// Writes each value to the file of that name, wherever there is one.
fn write_all(directories: &[&Path], settings: &[(&str, u64)]) -> io::Result<()> {
    for (file, value) in settings {
        for directory in directories {
            match write(&directory.join(file), &value.to_string()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                set => set?,
            }
        }
    }
    Ok(())
}

/// What a group had of memory when the kernel killed in it for want of more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// The most that it may use, in bytes.
    pub limit_bytes: u64,
    /// The most that it did use. An old kernel does not tell, and then it is the limit, which was met.
    pub peak_bytes: u64,
}

/// That, if the kernel has.
pub(crate) fn shortage(directories: &[&Path]) -> Option<Shortage> {
    let number = |file: &str| {
        let texts = directories
            .iter()
            .filter_map(|directory| fs::read_to_string(directory.join(file)).ok());
        texts.filter_map(|text| text.trim().parse().ok()).next()
    };
    if memory_kills(directories) == 0 {
        return None;
    }
    let limit_bytes = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let peak_bytes = number("memory.peak").or_else(|| number("memory.max_usage_in_bytes"));
    Some(Shortage {
        limit_bytes,
        peak_bytes: peak_bytes.unwrap_or(limit_bytes),
    })
}

/// Whether the kernel has refused a process or thread in this group because there were as many as there may be.
pub(crate) fn has_met_tasks(directories: &[&Path]) -> bool {
    let met = |directory: &&Path| {
        let text = fs::read_to_string(directory.join("pids.events")).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("max "));
        count.is_some_and(|count| count.trim() != "0")
    };
    directories.iter().any(met)
}

/// How often the kernel has killed in this group for want of memory.
fn memory_kills(directories: &[&Path]) -> u64 {
    let files = ["memory.events", "memory.oom_control"];
    let kills = |(directory, file): (&&Path, &str)| {
        let text = fs::read_to_string(directory.join(file)).ok()?;
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "))?;
        count.trim().parse::<u64>().ok()
    };
    let all = directories
        .iter()
        .flat_map(|directory| files.map(|file| (directory, file)));
    all.filter_map(kills).sum()
}

/// Whether memory can be limited in one of these.
pub(crate) fn has_memory(directories: &[&Path]) -> bool {
    let files = ["memory.max", "memory.limit_in_bytes"];
    let mut directories = directories.iter();
    directories.any(|directory| files.iter().any(|file| directory.join(file).exists()))
}

/// The directories of that name beside our own groups in the hierarchies of the first version.
pub(crate) fn sides(membership: &Membership, name: &Path) -> Vec<PathBuf> {
    let own = positions(membership).map(|position| position.group.join(name));
    let mut sides: Vec<PathBuf> = own.collect();
    sides.dedup(); // Two controllers may share a hierarchy.
    sides
}

/// The topmost groups of those hierarchies.
pub(crate) fn tops(membership: &Membership) -> Vec<PathBuf> {
    let mut tops: Vec<PathBuf> = positions(membership).map(|position| position.top).collect();
    tops.dedup();
    tops
}

fn positions(membership: &Membership) -> impl Iterator<Item = Position> {
    let hierarchies = CONTROLLERS.into_iter().map(Hierarchy::First);
    hierarchies.filter_map(|hierarchy| membership.position(hierarchy))
}

/// Has groups within `tree`, which lies within `own`, be limited by the second version. Whatever is refused is left out.
pub(crate) fn hand_on(own: &Path, tree: &Path, company: &[u32]) {
    let text = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
    let ours = |controller: &&str| text.split_whitespace().any(|word| word == *controller);
    for controller in CONTROLLERS
        .into_iter()
        .filter(|controller| ours(controller))
    {
        let word = format!("+{controller}");
        let on = |directory: &Path| write(&directory.join(SWITCH), &word);
        let handed = on(own).or_else(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => step_aside(own, company).and_then(|()| on(own)),
            _ => Err(error),
        });
        // Fails where the group is not ours to change: then there is no such limit, as `has_memory` tells.
        let _ = handed.and_then(|()| on(tree));
    }
}

fn step_aside(own: &Path, company: &[u32]) -> io::Result<()> {
    let aside = own.join(ASIDE);
    match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let members = aside.join(MEMBERS);
    let here = fs::read_to_string(own.join(MEMBERS)).unwrap_or_default();
    let is_here = |process: &u32| numbers(&here).any(|number| number == *process);
    let company = company.iter().copied().filter(is_here);
    for process in company.chain([std::process::id()]) {
        write(&members, &process.to_string())?;
    }
    Ok(())
}

/// The group of a process that limits others.
const ASIDE: &str = "monitor";
const SWITCH: &str = "cgroup.subtree_control";
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
const MEMORY_BYTES_MIN: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Leaf, Tree};
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Command, ExitStatus, Stdio},
    };

    /// Directories with these files, such as the kernel would make.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str, files: &[(&str, &str)]) -> Files {
            let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir(&directory).unwrap();
            for (file, text) in files {
                fs::write(directory.join(file), text).unwrap();
            }
            Files(directory)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const LIMITS: Limits = Limits {
        memory_bytes: 64 << 20,
        cpu_millionths: 1_500_000,
        tasks: 7,
    };

    #[test]
    fn each_version_is_told_in_its_own_words() {
        let names = [
            "memory.max",
            "memory.swap.max",
            "memory.oom.group",
            "cpu.weight",
            "pids.max",
        ];
        let second = Files::new("limits-second", &names.map(|name| (name, "")));
        LIMITS.set(&[&second.0]).unwrap();
        let told = names.map(|name| second.read(name));
        assert_eq!(told, ["67108864", "0", "1", "150", "7"]);

        let names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
        let memory = Files::new("limits-memory", &names.map(|name| (name, "")));
        let cpu = Files::new("limits-cpu", &[("cpu.shares", "")]);
        let little = Limits {
            memory_bytes: 1,
            cpu_millionths: 1,
            ..LIMITS
        };
        little.set(&[&memory.0, &cpu.0]).unwrap();
        let told = names.map(|name| memory.read(name));
        assert_eq!(told, ["16777216", "16777216"]);
        assert_eq!(cpu.read("cpu.shares"), "2");
    }

    #[test]
    fn kills_for_want_of_memory_are_counted() {
        let text = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n";
        let second = Files::new("kills-second", &[("memory.events", text)]);
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
        let first = Files::new("kills-first", &[("memory.oom_control", text)]);
        assert_eq!(memory_kills(&[&second.0]), 2);
        assert_eq!(memory_kills(&[&first.0]), 1);
        assert_eq!(memory_kills(&[Path::new("/nonexistent")]), 0);
    }

    #[test]
    fn controllers_are_handed_on_where_there_are_any() {
        let own = Files::new(
            "hand-on",
            &[("cgroup.controllers", "cpuset memory\n"), (SWITCH, "")],
        );
        let tree = own.0.join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join(SWITCH), "").unwrap();
        hand_on(&own.0, &tree, &[]);
        assert_eq!(own.read(SWITCH), "+memory");
        assert_eq!(own.read("tree/cgroup.subtree_control"), "+memory");
    }

    /// Runs a script in a group with these limits, if there is such a thing here.
    fn limited(name: &str, limits: Limits, script: &str) -> Option<(ExitStatus, Leaf, Tree)> {
        let family = format!("deploy-test-limits-{name}-");
        let tree = Tree::create_limiting(&family, &std::process::id().to_string(), &[]);
        let Some(tree) = tree.filter(Tree::limits_memory) else {
            eprintln!("skipped: no group here may be limited");
            return None;
        };
        let leaf = tree.leaf("1").unwrap();
        leaf.limit(&limits).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("read go; {script}")]);
        let mut child = shell.stdin(Stdio::piped()).spawn().unwrap();
        leaf.enter(child.id()).unwrap();
        drop(child.stdin.take());
        Some((child.wait().unwrap(), leaf, tree))
    }

    #[test]
    fn who_uses_too_much_memory_is_killed_and_that_is_known() {
        // It keeps a line until it ends.
        let hungry = "exec tail /dev/zero";
        let Some((status, leaf, tree)) = limited("hungry", LIMITS, hungry) else {
            return;
        };
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        let shortage = leaf.shortage().unwrap();
        assert_eq!(shortage.limit_bytes, LIMITS.memory_bytes);
        let nearly = LIMITS.memory_bytes * 9 / 10;
        assert!(shortage.peak_bytes > nearly, "{shortage:?}");
        let directories: Vec<PathBuf> = leaf.directories().into_iter().map(PathBuf::from).collect();
        drop(tree);
        assert!(directories.iter().all(|directory| !directory.exists()));
    }

    #[test]
    fn limits_can_be_changed_both_ways() {
        if let Some((_, leaf, _tree)) = limited("changed", LIMITS, "exit 0") {
            for memory_bytes in [256 << 20, 32 << 20] {
                leaf.limit(&Limits {
                    memory_bytes,
                    ..LIMITS
                })
                .unwrap();
            }
        }
    }

    #[test]
    fn who_is_killed_otherwise_had_memory_enough() {
        let killed = "kill -9 $$";
        if let Some((status, leaf, _tree)) = limited("killed", LIMITS, killed) {
            assert_eq!(status.signal(), Some(libc::SIGKILL));
            assert_eq!(leaf.shortage(), None);
        }
    }

    #[test]
    fn a_group_has_no_more_processes_than_it_may() {
        let forking = "exec 2>/dev/null; for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; exit 0";
        let Some((status, mut leaf, _tree)) = limited("forking", LIMITS, forking) else {
            return;
        };
        // The shell ends when it cannot start another.
        assert_ne!(status.code(), Some(0));
        leaf.kill().unwrap();
    }
}
