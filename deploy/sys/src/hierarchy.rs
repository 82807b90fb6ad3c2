//! Where the kernel's control groups are mounted, and where among them a process is.
//!
//! Deliberately absent: what groups are for, and making any.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One of the trees in which control groups are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hierarchy {
    /// That of the second version.
    Unified,
    /// That of the first version with this controller.
    First(&'static str),
}

/// Where a process is in a hierarchy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    /// The topmost group that can be seen.
    pub top: PathBuf,
    /// The group of the process.
    pub group: PathBuf,
}

/// What the kernel says of a process's groups: the texts of `mountinfo` and `cgroup` in its directory of `/proc`.
#[derive(Clone, Debug)]
pub struct Membership {
    mounts: String,
    groups: String,
}

impl Membership {
    /// Of the process with this directory, such as `/proc/self`.
    pub fn read(process: &Path) -> io::Result<Membership> {
        Ok(Membership {
            mounts: fs::read_to_string(process.join("mountinfo"))?,
            groups: fs::read_to_string(process.join("cgroup"))?,
        })
    }

    /// Where it is in that hierarchy, if that is mounted so that the group can be seen.
    pub fn position(&self, hierarchy: Hierarchy) -> Option<Position> {
        let path = self.groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            hierarchy.is_named(fields.next()?).then_some(fields.next()?)
        })?;
        self.mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut place = before.split(' ').skip(3);
            let (root, mounted_at) = (place.next()?, place.next()?);
            let mut about = after.split(' ');
            let (file_system, options) = (about.next()?, about.nth(1)?);
            // In a container the kernel may name the group as the host does, and the mount begins within.
            let below_root = Path::new(path).strip_prefix(root).ok()?;
            hierarchy
                .is_mounted_as(file_system, options)
                .then(|| Position {
                    top: mounted_at.into(),
                    group: Path::new(mounted_at).join(below_root),
                })
        })
    }
}

impl Position {
    /// The group, the one above it, and so on to the topmost.
    pub fn groups(&self) -> impl Iterator<Item = &Path> {
        let groups = self.group.ancestors();
        groups.take_while(|group| group.starts_with(&self.top))
    }
}

impl Hierarchy {
    /// Whether it is mounted so, by the file system and options as `mountinfo` has them.
    fn is_mounted_as(self, file_system: &str, options: &str) -> bool {
        match self {
            Hierarchy::Unified => file_system == "cgroup2",
            Hierarchy::First(controller) => {
                file_system == "cgroup" && options.split(',').any(|word| word == controller)
            }
        }
    }

    /// Whether a line of `cgroup` with these controllers is about it.
    fn is_named(self, controllers: &str) -> bool {
        match self {
            Hierarchy::Unified => controllers.is_empty(),
            Hierarchy::First(controller) => controllers.split(',').any(|word| word == controller),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_where_it_is_mounted() {
        let check = |hierarchy, mounts: &str, groups: &str, expect: Option<[&str; 2]>| {
            let (mounts, groups) = (mounts.to_string(), groups.to_string());
            let position = Membership { mounts, groups }.position(hierarchy);
            let expect = expect.map(|[top, group]| Position {
                top: top.into(),
                group: group.into(),
            });
            assert_eq!(position, expect);
        };
        let freezer = Hierarchy::First("freezer");
        let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n";
        let own = "6:freezer:/a\n1:name=systemd:/x\n0::/b/c:d\n";
        let unified = "/sys/fs/cgroup/unified";
        let expect = Some([unified, "/sys/fs/cgroup/unified/b/c:d"]);
        check(Hierarchy::Unified, hybrid, own, expect);
        let expect = Some(["/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer/a"]);
        check(freezer, hybrid, own, expect);
        let container =
            "30 25 0:26 /job/7 /sys/fs/cgroup ro shared:9 - cgroup2 cgroup rw,nsdelegate\n";
        let expect = Some(["/sys/fs/cgroup", "/sys/fs/cgroup/x"]);
        check(Hierarchy::Unified, container, "0::/job/7/x\n", expect);
        check(Hierarchy::Unified, container, "0::/other\n", None);
        check(freezer, container, "0::/job/7\n", None);
    }

    #[test]
    fn the_groups_above_are_seen_to_the_top() {
        let position = Position {
            top: "/cgroup/memory".into(),
            group: "/cgroup/memory/a/b".into(),
        };
        let groups: Vec<_> = position.groups().collect();
        let expect = ["/cgroup/memory/a/b", "/cgroup/memory/a", "/cgroup/memory"];
        assert_eq!(groups, expect.map(Path::new));
    }
}
