//! What a machine has to give: processors, memory, accelerators.
//!
//! Deliberately absent: what is in use. A node gives what it has, and whoever else lives there is not its business.
//!
//! # What counts
//! - **Processors**: those that this process may run on, and no more than the quota of its control group and of each group
//!   above it. A quota need not be whole cores.
//! - **Memory**: what the kernel has in all, and no more than the limit of any of those groups. It is read from
//!   `/proc/meminfo`, which containers that pretend to be machines replace, and not asked of the kernel, whose answer
//!   they cannot. Swap does not count.
//! - **Accelerators**: the device files that are there, since a container has those that it was given, while `/sys` shows
//!   it all of the host's. NVIDIA's are `/dev/nvidia0` and so on. Every GPU has a `renderD` file, also one that only
//!   draws; those of the driver `amdgpu` count.

use deploy_sys::hierarchy::{Hierarchy, Membership, Position};
use deploy_sys::tell;
use deploy_wire::resources::{Cpu, Mem, Resources};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// What this machine has for this process.
pub fn measure() -> Resources {
    measure_for(Pid::this(), Path::new("/"))
}

/// What a node is said to give; measured, if nothing was said, and what nobody says. Warns on standard error of what is odd
/// about it.
pub fn given(said: Option<(Mem, Cpu)>) -> Resources {
    let measured = measure();
    let Some((mem, cpu)) = said else {
        return measured;
    };
    let given = Resources {
        mem,
        cpu,
        gpu: measured.gpu,
    };
    for warning in warnings(given, measured) {
        tell!("warning: {warning}");
    }
    given
}

fn warnings(given: Resources, measured: Resources) -> Vec<String> {
    let mut warnings = Vec::new();
    if given.mem > measured.mem || given.cpu > measured.cpu {
        warnings.push(format!(
            "this machine gives {given}, as was said, but it only has {measured}: when that is used up, \
             processes are killed or wait for each other"
        ));
    }
    let usual = Resources::DEFAULT.mem;
    if given.mem < usual {
        warnings.push(format!(
            "this machine gives {} of memory, and a process has {usual} if it asks for nothing else: \
             say a unit, as in 400GiB, if one is missing",
            given.mem
        ));
    }
    warnings
}

/// What that process could use, on a machine whose files are below `root`.
fn measure_for(process: Pid, root: &Path) -> Resources {
    let membership = Membership::read(&root.join(format!("proc/{process}"))).ok();
    let limits = |what: &dyn Fn(&Path, Hierarchy) -> Option<u64>, controller| {
        let hierarchies = [Hierarchy::Unified, Hierarchy::First(controller)];
        let of_hierarchy = |hierarchy| {
            let position = below(root, membership.as_ref()?.position(hierarchy)?);
            position
                .groups()
                .filter_map(|group| what(group, hierarchy))
                .min()
        };
        hierarchies.into_iter().filter_map(of_hierarchy).min()
    };
    let mem = limits(&memory_limit, "memory").unwrap_or(u64::MAX);
    let cpu = limits(&quota, "cpu").unwrap_or(u64::MAX);
    Resources {
        // Whole MiB, which people can read.
        mem: Mem::MIB * (mem.min(memory_in_all(root).unwrap_or(0)) / Mem::MIB.bytes()),
        cpu: Cpu::from_millionths(cpu.min(processors(process) * Cpu::CORE.millionths())),
        gpu: accelerators(root),
    }
}

/// Those that are at work and that the process may run on.
fn processors(process: Pid) -> u64 {
    let Ok(set) = sched_getaffinity(process) else {
        // More of them than the set can hold: then std knows a way.
        return std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    };
    let is_set = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    (0..CpuSet::count()).filter(is_set).count() as u64
}

fn memory_in_all(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// In bytes. No limit is the word `max`, or in the first version a number larger than any memory.
fn memory_limit(group: &Path, hierarchy: Hierarchy) -> Option<u64> {
    let name = match hierarchy {
        Hierarchy::Unified => "memory.max",
        Hierarchy::First(_) => "memory.limit_in_bytes",
    };
    let text = fs::read_to_string(group.join(name)).ok()?;
    text.trim().parse().ok()
}

/// In millionths of a core. No quota is the word `max`, or in the first version a negative number.
fn quota(group: &Path, hierarchy: Hierarchy) -> Option<u64> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    let (quota, period) = match hierarchy {
        Hierarchy::Unified => {
            let text = read("cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.to_string(), period.to_string())
        }
        Hierarchy::First(_) => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    let quota: u128 = quota.trim().parse().ok()?;
    let period: u128 = period.trim().parse().ok()?;
    let millionths = (quota * u128::from(Cpu::CORE.millionths())).checked_div(period)?;
    u64::try_from(millionths).ok()
}

fn accelerators(root: &Path) -> u32 {
    let names = |directory: &str| {
        let entries = fs::read_dir(root.join(directory)).into_iter().flatten();
        entries.flatten().map(|entry| entry.file_name())
    };
    let is_nvidia = |name: &OsStr| numbered(name, "nvidia");
    let is_amd = |name: &OsStr| {
        let driver = root.join("sys/class/drm").join(name).join("device/driver");
        let driver = fs::read_link(driver).unwrap_or_default();
        numbered(name, "renderD") && driver.file_name() == Some(OsStr::new("amdgpu"))
    };
    let nvidia = names("dev").filter(|name| is_nvidia(name)).count();
    let amd = names("dev/dri").filter(|name| is_amd(name)).count();
    (nvidia + amd) as u32
}

/// Whether a name is that word and a number, as `nvidia0` is and `nvidia-uvm` and `nvidiactl` are not.
fn numbered(name: &OsStr, word: &str) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix(word));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The same position in a file system that is somewhere else.
fn below(root: &Path, position: Position) -> Position {
    let moved = |path: PathBuf| root.join(path.strip_prefix("/").unwrap_or(&path));
    Position {
        top: moved(position.top),
        group: moved(position.group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::sched_setaffinity;
    use std::{
        os::unix::fs::symlink,
        process::{Child, Command},
    };

    /// A machine made of files, whose one process is this one.
    fn machine(groups: &str, mounts: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let process = format!("proc/{}", Pid::this());
        let about = [
            (format!("{process}/cgroup"), groups),
            (format!("{process}/mountinfo"), mounts),
            (
                "proc/meminfo".to_string(),
                "MemTotal:       1048576 kB\nMemFree: 5 kB\n",
            ),
        ];
        let files = files.iter().map(|(name, text)| (name.to_string(), *text));
        for (name, text) in about.into_iter().chain(files) {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn check(root: &tempfile::TempDir, mem: Mem, cpu: Option<Cpu>) {
        let all = Cpu::CORE * processors(Pid::this());
        let found = measure_for(Pid::this(), root.path());
        assert_eq!((found.mem, found.cpu), (mem, cpu.unwrap_or(all).min(all)));
    }

    const UNIFIED: &str = "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
    const FIRST: &str = "31 25 0:27 /docker/7 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                         32 25 0:28 /docker/7 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let root = machine(
            "0::/a/b\n",
            UNIFIED,
            &[
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a/memory.max", "536870912\n"),
                ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/a/cpu.max", "25000 100000\n"),
            ],
        );
        check(&root, 512 * Mem::MIB, Some(Cpu::CORE / 4));
    }

    #[test]
    fn a_container_of_the_first_version_sees_its_own_groups_as_the_topmost() {
        let root = machine(
            "4:memory:/docker/7\n3:cpu,cpuacct:/docker/7/inner\n",
            FIRST,
            &[
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "-1\n"),
                (
                    "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us",
                    "100000\n",
                ),
            ],
        );
        check(&root, 256 * Mem::MIB, Some(Cpu::CORE / 2 * 3));
    }

    #[test]
    fn without_limits_the_machine_counts() {
        let no_limit = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        check(
            &machine("4:memory:/docker/7\n", FIRST, &[no_limit]),
            Mem::GIB,
            None,
        );
        check(&machine("0::/elsewhere\n", "", &[]), Mem::GIB, None);
    }

    #[test]
    fn accelerators_are_counted_by_their_device_files() {
        let names = [
            "nvidia0",
            "nvidia1",
            "nvidia10",
            "nvidiactl",
            "nvidia-uvm",
            "dri/card0",
        ];
        let names = names
            .into_iter()
            .chain(["dri/renderD128", "dri/renderD129", "dri/renderD130"]);
        let files: Vec<_> = names.map(|name| (format!("dev/{name}"), "")).collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (&name[..], *text))
            .collect();
        let root = machine("", "", &files);
        // What `/sys` shows and the container was not given does not count.
        for (render, driver) in [
            (128, "nvidia"),
            (129, "amdgpu"),
            (130, "i915"),
            (131, "amdgpu"),
        ] {
            let device = root
                .path()
                .join(format!("sys/class/drm/renderD{render}/device"));
            fs::create_dir_all(&device).unwrap();
            symlink(
                format!("../../bus/pci/drivers/{driver}"),
                device.join("driver"),
            )
            .unwrap();
        }
        assert_eq!(measure_for(Pid::this(), root.path()).gpu, 4);
    }

    #[test]
    fn who_promises_too_much_or_nothing_is_warned() {
        let has = |mem, cores| Resources {
            mem: Mem::GIB * mem,
            cpu: Cpu::CORE * cores,
            gpu: 0,
        };
        assert!(warnings(has(2, 2), has(2, 2)).is_empty());
        let warned = |given, measured, words: &str| {
            let found = warnings(given, measured);
            assert!(found.len() == 1 && found[0].contains(words), "{found:?}");
        };
        let words = "only has 2GiB of memory and 3 cores";
        warned(has(2, 4), has(2, 3), words);
        let no_unit = Resources {
            mem: Mem::B * 400,
            ..has(2, 2)
        };
        warned(no_unit, has(2, 2), "gives 400B of memory");
    }

    /// A process that waits to be killed.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Sleeper {
            Sleeper(Command::new("sleep").arg("1000").spawn().unwrap())
        }

        fn pid(&self) -> Pid {
            Pid::from_raw(self.0.id() as i32)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// A group of the kernel's, removed again with those below it.
    struct Group(PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::remove_dir(self.0.join("inner"));
            let _ = fs::remove_dir(&self.0);
        }
    }

    #[test]
    fn a_process_has_what_the_kernel_lets_it_run_on() {
        let sleeper = Sleeper::start();
        let mut one = CpuSet::new();
        let ours = sched_getaffinity(Pid::this()).unwrap();
        let first = (0..CpuSet::count())
            .find(|cpu| ours.is_set(*cpu).unwrap())
            .unwrap();
        one.set(first).unwrap();
        sched_setaffinity(sleeper.pid(), &one).unwrap();
        assert_eq!(
            measure_for(sleeper.pid(), Path::new("/")).cpu,
            Cpu::CORE.min(measure().cpu)
        );
        assert!(measure().mem > 64 * Mem::MIB);
    }

    /// The limit is one level above the process's own group.
    #[test]
    fn real_groups_limit_what_there_is() {
        let memory = (["memory.max", "memory.limit_in_bytes"], "134217728");
        let cpu = (["cpu.max", "cpu.cfs_quota_us"], "50000");
        for (controller, (files, limit)) in [("memory", memory), ("cpu", cpu)] {
            let sleeper = Sleeper::start();
            let Some(group) = limited(&sleeper, controller, files, limit) else {
                eprintln!("skipped: no group with {controller} may be made here");
                continue;
            };
            let found = measure_for(sleeper.pid(), Path::new("/"));
            match controller {
                "memory" => assert_eq!(found.mem, 128 * Mem::MIB),
                _ => assert_eq!(found.cpu, Cpu::CORE / 2),
            }
            drop(sleeper);
            let directory = group.0.clone();
            drop(group);
            assert!(!directory.exists());
        }
    }

    fn limited(
        sleeper: &Sleeper,
        controller: &'static str,
        [unified, first]: [&str; 2],
        limit: &str,
    ) -> Option<Group> {
        let membership = Membership::read(Path::new("/proc/self")).unwrap();
        let hierarchies = [
            (Hierarchy::First(controller), first),
            (Hierarchy::Unified, unified),
        ];
        hierarchies.into_iter().find_map(|(hierarchy, file)| {
            let own = membership.position(hierarchy)?.group;
            let name = format!("fabric-test-capacity-{}", std::process::id());
            let group = own.join(name);
            fs::create_dir(&group).ok()?;
            let group = Group(group);
            fs::create_dir(group.0.join("inner")).ok()?;
            fs::write(group.0.join(file), limit).ok()?;
            let id = sleeper.0.id().to_string();
            fs::write(group.0.join("inner/cgroup.procs"), id).ok()?;
            Some(group)
        })
    }
}
