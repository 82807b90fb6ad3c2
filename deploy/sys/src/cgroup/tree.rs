//! A group of ours for groups, and whose it is.
//!
//! Deliberately absent: what is done with the groups in it (`leaf.rs`).

use super::{Kind, Leaf, wait_until};
use crate::{
    group_files::{MEMBERS, for_each_below, groups_in, try_remove},
    group_limits,
    hierarchy::Membership,
};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs},
};
use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// A group of ours, whose members are groups: one for each process.
///
/// It is locked as long as its owner lives, however that ends: so an heir can wait for that, and whoever makes the next
/// one can tell an abandoned one; both clear it away.
#[derive(Debug)]
pub struct Tree {
    pub(super) directory: PathBuf,
    pub(super) kind: Kind,
    /// Groups of the same name in the first version's hierarchies, in which the limits are set.
    pub(super) sides: Vec<PathBuf>,
    pub(super) _lock: Flock<fs::File>,
}

impl Tree {
    /// A group below our own, or none where that is not allowed. Its name is `family` and `name`.
    ///
    /// Abandoned groups of the same family beside it are removed, with all that is in them.
    pub fn create(family: &str, name: &str) -> Option<Tree> {
        let membership = Membership::read(Path::new("/proc/self")).ok()?;
        [Kind::Unified, Kind::Freezer].into_iter().find_map(|kind| {
            let own = membership.position(kind.hierarchy())?.group;
            groups_in(&own).for_each(|group| clear_if_abandoned(group, family, kind, &membership));
            // Whoever clears just then may take a new one, not locked yet, for an abandoned one.
            let attempt = |_| Tree::below(&own, &format!("{family}{name}"), kind);
            (0..ATTEMPTS_MAX).find_map(attempt)
        })
    }

    /// The same, with groups that can be [limited](Leaf::limit) as far as the machine and our rights allow. This process
    /// may be moved into another group for that, and so may those of its company, where they are in the same.
    pub fn create_limiting(family: &str, name: &str, company: &[u32]) -> Option<Tree> {
        let membership = Membership::read(Path::new("/proc/self")).ok()?;
        let mut tree = Tree::create(family, name)?;
        let sides = group_limits::sides(&membership, Path::new(&format!("{family}{name}")));
        let made = |side: &PathBuf| fs::create_dir(side).is_ok();
        tree.sides = sides.into_iter().filter(made).collect();
        if let (Kind::Unified, Some(own)) = (tree.kind, tree.directory.parent()) {
            group_limits::hand_on(own, &tree.directory, company);
        }
        Some(tree)
    }

    pub(super) fn below(own: &Path, name: &str, kind: Kind) -> Option<Tree> {
        // Moving a process asks for the right to write here too, not only in the new group.
        fs::File::options()
            .write(true)
            .open(own.join(MEMBERS))
            .ok()?;
        let directory = own.join(name);
        fs::create_dir(&directory).ok()?;
        let tree = Tree::lock(directory, kind, Vec::new())?;
        let works = tree.directory.join(kind.switch()).exists();
        works.then_some(tree)
    }

    /// The group in that directory, unless somebody owns it.
    fn lock(directory: PathBuf, kind: Kind, sides: Vec<PathBuf>) -> Option<Tree> {
        let file = fs::File::open(&directory).ok()?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        Some(Tree {
            directory,
            kind,
            sides,
            _lock: lock,
        })
    }

    /// Its directory, opened for another process that is to [inherit](Tree::inherit) it.
    pub fn directory(&self) -> io::Result<OwnedFd> {
        Ok(fs::File::open(&self.directory)?.into())
    }

    /// Waits until the owner of a tree has ended, in whatever way, and becomes its owner. What its owner has removed
    /// before is an empty one.
    pub fn inherit(directory: OwnedFd) -> io::Result<Tree> {
        let kind = match fstatfs(&directory)?.filesystem_type() {
            CGROUP2_SUPER_MAGIC => Kind::Unified,
            _ => Kind::Freezer,
        };
        let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let path = fs::read_link(link)?;
        let lock = Flock::lock(fs::File::from(directory), FlockArg::LockExclusive)
            .map_err(|(_, error)| error)?;
        Ok(Tree {
            sides: sides_of(&path, &Membership::read(Path::new("/proc/self"))?),
            directory: path,
            kind,
            _lock: lock,
        })
    }

    /// A new group for one process.
    pub fn leaf(&self, name: &str) -> io::Result<Leaf> {
        let leaf = self.leaf_in(&self.directory.join(name));
        let mut directories = leaf.directories().into_iter();
        directories.try_for_each(fs::create_dir)?;
        Ok(leaf)
    }

    /// Whether the memory of its groups can be limited.
    pub fn limits_memory(&self) -> bool {
        let Ok(leaf) = self.leaf("limits") else {
            return false;
        };
        let is_limited = group_limits::has_memory(&leaf.directories());
        wait_until(|| leaf.try_remove());
        is_limited
    }

    fn leaf_in(&self, directory: &Path) -> Leaf {
        let name = directory.file_name().unwrap_or_default();
        let sides = self.sides.iter().map(|side| side.join(name)).collect();
        Leaf::at(directory.into(), self.kind, sides)
    }
}

/// Kills what is left in its groups and removes them, within a bounded time.
impl Drop for Tree {
    fn drop(&mut self) {
        for directory in groups_in(&self.directory) {
            let mut leaf = self.leaf_in(&directory);
            let _ = leaf.kill();
            wait_until(|| leaf.try_remove());
        }
        // What cannot be removed yet is found by its own directory some day; so that goes last.
        let removed = |left: usize, side: &PathBuf| left + usize::from(!try_remove(side));
        wait_until(|| self.sides.iter().fold(0, removed) == 0 && try_remove(&self.directory));
    }
}

/// Removes the groups of a family that nobody owns any more, wherever on this machine they are. Where there are thousands
/// of groups this takes some milliseconds.
pub fn clear_abandoned(family: &str) {
    let Ok(membership) = Membership::read(Path::new("/proc/self")) else {
        return;
    };
    for kind in [Kind::Unified, Kind::Freezer] {
        if let Some(position) = membership.position(kind.hierarchy()) {
            let clear = &mut |group| clear_if_abandoned(group, family, kind, &membership);
            for_each_below(&position.top, clear);
        }
    }
}

/// Removes a group of a family if nobody owns it any more.
fn clear_if_abandoned(group: PathBuf, family: &str, kind: Kind, membership: &Membership) {
    let name = group.file_name().unwrap_or_default();
    if name.to_string_lossy().starts_with(family)
        && let Some(mut tree) = Tree::lock(group, kind, Vec::new())
    {
        tree.sides = sides_of(&tree.directory, membership);
    }
}

/// Those of a tree that somebody else has made, who may have been elsewhere in those hierarchies: its name is like no
/// other.
fn sides_of(tree: &Path, membership: &Membership) -> Vec<PathBuf> {
    let name = tree.file_name().unwrap_or_default();
    let mut sides = Vec::new();
    for top in group_limits::tops(membership) {
        let keep =
            |group: PathBuf| sides.extend((group.file_name() == Some(name)).then_some(group));
        for_each_below(&top, &mut { keep });
    }
    sides
}

const ATTEMPTS_MAX: usize = 3;
