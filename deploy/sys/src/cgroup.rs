//! A control group for each process below our own, so that all it ever started can be ended together.
//!
//! Deliberately absent: what limits are set to ([`crate::group_limits`]). Where the kernel or our rights allow no group there is none, and nobody is told: the
//! caller has another way. Two kinds will do: cgroup2 with its `cgroup.kill`, needing no controller, or the freezer of
//! the first version (freeze, kill each, thaw).

use crate::{
    group_limits::{self, Limits, Shortage},
    hierarchy::{Hierarchy, Membership},
    pidfd::Process,
    process::numbers,
};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs},
};
use std::{
    fs,
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A group of ours, whose members are groups: one for each process.
///
/// It is locked as long as its owner lives, however that ends: so an heir can wait for that, and whoever makes the next
/// one can tell an abandoned one; both clear it away.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    kind: Kind,
    /// Groups of the same name in the first version's hierarchies, in which the limits are set.
    sides: Vec<PathBuf>,
    _lock: Flock<fs::File>,
}

/// The group of one process and what it started.
#[derive(Debug)]
pub struct Leaf {
    directory: PathBuf,
    kind: Kind,
    sides: Vec<PathBuf>,
    /// Whether the kernel was asked to kill what is in it. Linux 6.18 kills whatever is born there ever after.
    was_killed: bool,
}

/// Whether another process can be born in a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occupancy {
    /// Something in it lives or is dying.
    Populated,
    /// Nothing lives in it, nothing was killed in it, and nobody made groups below it or froze it: it is as it was made.
    AsNew,
    /// It may be in use, or be otherwise than it was made.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Unified,
    Freezer,
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

    fn below(own: &Path, name: &str, kind: Kind) -> Option<Tree> {
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
        fs::create_dir(&leaf.directory)?;
        leaf.sides.iter().try_for_each(fs::create_dir)?;
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
        Leaf {
            directory: directory.into(),
            kind: self.kind,
            sides: self.sides.iter().map(|side| side.join(name)).collect(),
            was_killed: false,
        }
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

impl Leaf {
    /// Moves a process into it. What that process starts from now on is in it too.
    pub fn enter(&self, process: u32) -> io::Result<()> {
        write(&self.directory.join(MEMBERS), &process.to_string())?;
        self.enter_sides(process)
    }

    /// The same for a process that was born in it.
    pub(crate) fn enter_sides(&self, process: u32) -> io::Result<()> {
        let mut sides = self.sides.iter();
        sides.try_for_each(|side| write(&side.join(MEMBERS), &process.to_string()))
    }

    /// Limits what all in it may use together. Does nothing unless its tree was made [for that](Tree::create_limiting).
    pub fn limit(&self, limits: &Limits) -> io::Result<()> {
        limits.set(&self.directories())
    }

    /// Gives all in it together this share of the processors, in millionths of one, where others beside it compete for
    /// them. Does nothing unless its tree was made [for that](Tree::create_limiting).
    pub fn share(&self, cpu_millionths: u64) -> io::Result<()> {
        group_limits::set_share(&self.directories(), cpu_millionths)
    }

    /// What it had of memory, if something in it was killed for want of more.
    pub fn shortage(&self) -> Option<Shortage> {
        group_limits::shortage(&self.directories())
    }

    /// Whether more processes and threads were asked for in it than there may be.
    pub fn has_met_tasks(&self) -> bool {
        group_limits::has_met_tasks(&self.directories())
    }

    pub(crate) fn directories(&self) -> Vec<&Path> {
        let sides = self.sides.iter().map(PathBuf::as_path);
        [&*self.directory].into_iter().chain(sides).collect()
    }

    /// Lets a user's processes in it make groups of their own below it, and move between those.
    pub fn give_to(&self, user: u32) -> io::Result<()> {
        use std::os::unix::fs::chown;
        let optional = ["cgroup.threads", "cgroup.subtree_control"];
        for directory in self.directories() {
            chown(directory, Some(user), Some(user))?;
            chown(directory.join(MEMBERS), Some(user), Some(user))?;
            for file in optional.map(|name| directory.join(name)) {
                if file.exists() {
                    chown(file, Some(user), Some(user))?;
                }
            }
        }
        Ok(())
    }

    /// Its directory, opened so that a process can be born in it; nothing where the kernel cannot do that.
    pub(crate) fn birthplace(&self) -> Option<fs::File> {
        let mut options = fs::File::options();
        let directory = options
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let opened = || directory.open(&self.directory).ok();
        (self.kind == Kind::Unified).then(opened).flatten()
    }

    /// What became of it; only for one without limits.
    pub fn occupancy(&self) -> Occupancy {
        if self.kind != Kind::Unified {
            return Occupancy::Unknown;
        }
        let events = self.read_briefly("cgroup.events").unwrap_or_default();
        let says = |line| events.lines().any(|other| other == line);
        if says("populated 1") {
            return Occupancy::Populated;
        }
        let is_plain = says("populated 0") && !says("frozen 1") && !self.has_groups();
        match is_plain && !self.was_killed {
            true => Occupancy::AsNew,
            false => Occupancy::Unknown,
        }
    }

    /// Whether nothing lives in it or ever will, told without asking about what is dying.
    fn is_deserted(&self) -> bool {
        let members = self.read_briefly(MEMBERS);
        members.is_ok_and(|members| members.is_empty()) && !self.has_groups()
    }

    fn has_groups(&self) -> bool {
        fs::metadata(&self.directory).map_or(true, |file| file.nlink() > 2)
    }

    /// The beginning of a file, in three system calls.
    fn read_briefly(&self, name: &str) -> io::Result<String> {
        let mut text = [0; BRIEF_BYTES];
        let count = fs::File::open(self.directory.join(name))?.read(&mut text)?;
        Ok(String::from_utf8_lossy(&text[..count]).into_owned())
    }

    /// Whether nothing in it is alive.
    pub fn is_empty(&self) -> bool {
        members(&self.directory).is_empty()
    }

    /// Kills everything in it, also what tries to escape by starting other processes.
    pub fn kill(&mut self) -> io::Result<()> {
        match self.kind {
            Kind::Unified if self.is_deserted() => Ok(()),
            Kind::Unified => {
                self.was_killed = true;
                write(&self.directory.join("cgroup.kill"), "1")
            }
            Kind::Freezer => self.kill_frozen(),
        }
    }

    /// Nothing starts another process while it is frozen; a signal acts when it is thawed.
    fn kill_frozen(&self) -> io::Result<()> {
        let state = self.directory.join("freezer.state");
        write(&state, "FROZEN")?;
        let frozen = || fs::read_to_string(&state).is_ok_and(|text| text.trim() == "FROZEN");
        wait_until(frozen);
        for member in members(&self.directory) {
            if let Ok(process) = Process::open(member) {
                process.signal(libc::SIGKILL)?;
            }
        }
        write(&state, "THAWED")
    }

    /// Removes it, unless something in it is still dying: then again later.
    pub fn try_remove(&self) -> bool {
        // All of them, though one may take longer.
        let removed = |left: usize, directory: &Path| left + usize::from(!try_remove(directory));
        self.directories().into_iter().fold(0, removed) == 0
    }

    /// Kills everything in it and removes it, within a bounded time. Says whether it is gone.
    pub fn clear(&mut self) -> bool {
        // Fails where somebody has removed it under us.
        let _ = self.kill();
        wait_until(|| self.try_remove());
        self.directories()
            .iter()
            .all(|directory| !directory.exists())
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

/// Tells all groups within one, each before those within it.
fn for_each_below(directory: &Path, tell: &mut impl FnMut(PathBuf)) {
    for group in groups_in(directory) {
        tell(group.clone());
        for_each_below(&group, tell);
    }
}

impl Kind {
    /// The file without which a group of this kind is of no use to us.
    fn switch(self) -> &'static str {
        match self {
            Kind::Unified => "cgroup.kill",
            Kind::Freezer => "freezer.state",
        }
    }

    fn hierarchy(self) -> Hierarchy {
        match self {
            Kind::Unified => Hierarchy::Unified,
            Kind::Freezer => Hierarchy::First("freezer"),
        }
    }
}

/// The processes in a group and in those below it, which its processes may have made.
fn members(directory: &Path) -> Vec<u32> {
    let text = fs::read_to_string(directory.join(MEMBERS)).unwrap_or_default();
    let below = groups_in(directory).flat_map(|group| members(&group));
    numbers(&text).chain(below).collect()
}

/// Removes a group and those below it, unless something in them is alive or dying.
fn try_remove(directory: &Path) -> bool {
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

fn groups_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path())
}

fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() && start.elapsed() < WAIT_MAX {
        thread::sleep(Duration::from_micros(200));
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

/// More than the two lines of its events.
const BRIEF_BYTES: usize = 64;
const ATTEMPTS_MAX: usize = 3;
pub(crate) const MEMBERS: &str = "cgroup.procs";
/// Freezing takes some 7 ms among processes that fork without pause, dying about as long.
const WAIT_MAX: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        mem,
        process::{Child, Command, Stdio},
        sync::mpsc,
    };

    fn trees(name: &str) -> Vec<Tree> {
        let membership = Membership::read(Path::new("/proc/self")).unwrap();
        let name = format!("{name}-{}", std::process::id());
        [Kind::Unified, Kind::Freezer]
            .into_iter()
            .filter_map(|kind| {
                let own = membership.position(kind.hierarchy());
                let tree = own.and_then(|own| Tree::below(&own.group, &name, kind));
                if tree.is_none() {
                    eprintln!("skipped: no {kind:?} group may be made here");
                }
                tree
            })
            .collect()
    }

    fn shell(script: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped());
        shell.spawn().unwrap()
    }

    #[test]
    fn all_that_a_process_started_is_killed_with_its_group() {
        for tree in trees("deploy-test-kill") {
            let mut leaf = tree.leaf("1").unwrap();
            assert!(leaf.is_empty());
            let mut child = shell("read go; setsid sleep 1000 & sleep 1000");
            leaf.enter(child.id()).unwrap();
            drop(child.stdin.take());
            wait_until(|| members(&leaf.directory).len() == 3);
            assert_eq!(members(&leaf.directory).len(), 3);
            leaf.kill().unwrap();
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
            wait_until(|| leaf.is_empty());
            assert!(leaf.is_empty());
            let (leaf_directory, directory) = (leaf.directory.clone(), tree.directory.clone());
            wait_until(|| leaf.try_remove());
            assert!(!leaf_directory.exists());
            drop(tree);
            assert!(!directory.exists());
        }
    }

    #[test]
    fn a_group_is_as_new_unless_something_was_killed_or_made_in_it() {
        let unified = |tree: &Tree| tree.kind == Kind::Unified;
        for tree in trees("deploy-test-vacant").into_iter().filter(unified) {
            let mut leaf = tree.leaf("1").unwrap();
            let run = |leaf: &mut Leaf, kill: bool| {
                let mut child = shell("read go; exit 0");
                leaf.enter(child.id()).unwrap();
                assert_eq!(leaf.occupancy(), Occupancy::Populated);
                match kill {
                    true => leaf.kill().unwrap(),
                    false => drop(child.stdin.take()),
                }
                child.wait().unwrap();
                wait_until(|| leaf.occupancy() != Occupancy::Populated);
                leaf.occupancy()
            };
            for _ in 0..2 {
                assert_eq!(run(&mut leaf, false), Occupancy::AsNew);
                leaf.kill().unwrap(); // Nothing was there.
            }
            fs::create_dir(leaf.directory.join("below")).unwrap();
            assert_eq!(leaf.occupancy(), Occupancy::Unknown);
            fs::remove_dir(leaf.directory.join("below")).unwrap();
            assert_eq!(run(&mut leaf, true), Occupancy::Unknown);
        }
    }

    #[test]
    fn a_dropped_tree_leaves_nothing() {
        for tree in trees("deploy-test-drop") {
            let leaf = tree.leaf("1").unwrap();
            let mut child = shell("exec sleep 1000");
            leaf.enter(child.id()).unwrap();
            let directory = tree.directory.clone();
            let reaper = thread::spawn(move || child.wait().unwrap());
            drop(tree);
            assert!(!reaper.join().unwrap().success());
            assert!(!directory.exists());
        }
    }

    #[test]
    fn an_abandoned_tree_is_cleared_by_the_next_and_an_owned_one_is_not() {
        let family = format!("deploy-test-abandon-{}-", std::process::id());
        let Some(owned) = Tree::create(&family, "owned") else {
            eprintln!("skipped: no group may be made here");
            return;
        };
        let abandoned = owned.directory.with_file_name(format!("{family}abandoned"));
        let inner = abandoned.join("1").join("of a job within");
        fs::create_dir_all(&inner).unwrap();
        let mut child = shell("exec sleep 1000");
        write(&inner.join(MEMBERS), &child.id().to_string()).unwrap();
        let reaper = thread::spawn(move || child.wait().unwrap());
        let next = Tree::create(&family, "next").unwrap();
        assert!(!reaper.join().unwrap().success());
        assert!(!abandoned.exists());
        assert!(owned.directory.exists() && next.directory.exists());
    }

    /// As if a daemon that was started in another group, also one of the first version's, had been killed.
    #[test]
    fn abandoned_groups_are_found_wherever_they_are() {
        let family = format!("deploy-test-elsewhere-{}-", std::process::id());
        let Some(owned) = Tree::create_limiting(&family, "owned", &[]) else {
            eprintln!("skipped: no group may be made here");
            return;
        };
        let elsewhere = |directory: &PathBuf| directory.with_file_name(format!("outer-{family}"));
        let all: Vec<PathBuf> = [&owned.directory]
            .into_iter()
            .chain(&owned.sides)
            .cloned()
            .collect();
        for directory in &all {
            fs::create_dir_all(elsewhere(directory).join(format!("{family}abandoned/1"))).unwrap();
        }
        clear_abandoned(&family);
        for directory in &all {
            assert!(directory.exists());
            let left: Vec<_> = groups_in(&elsewhere(directory)).collect();
            fs::remove_dir(elsewhere(directory)).unwrap_or_else(|_| panic!("{left:?}"));
        }
    }

    #[test]
    fn an_heir_waits_for_the_owners_end_and_clears_what_is_left() {
        for tree in trees("deploy-test-inherit") {
            let leaf = tree.leaf("1").unwrap();
            let mut child = shell("exec sleep 1000");
            leaf.enter(child.id()).unwrap();
            let (path, directory) = (tree.directory.clone(), tree.directory().unwrap());
            let (told, inherited) = mpsc::channel();
            let heir = thread::spawn(move || {
                let tree = Tree::inherit(directory).unwrap();
                told.send(()).unwrap();
                drop(tree);
            });
            let early = inherited.recv_timeout(Duration::from_millis(50));
            assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
            assert!(child.try_wait().unwrap().is_none());
            // As if it were killed: the lock goes, and nothing is cleared.
            let abandoned = mem::ManuallyDrop::new(tree);
            nix::unistd::close(abandoned._lock.as_raw_fd()).unwrap();
            let reaper = thread::spawn(move || child.wait().unwrap());
            heir.join().unwrap();
            assert!(!reaper.join().unwrap().success());
            assert!(!path.exists());
        }
    }

    #[test]
    fn an_heir_of_what_was_removed_does_nothing() {
        for tree in trees("deploy-test-removed") {
            let directory = tree.directory().unwrap();
            drop(tree);
            drop(Tree::inherit(directory).unwrap());
        }
    }
}
