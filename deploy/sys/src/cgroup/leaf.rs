//! The group of one process.
//!
//! Deliberately absent: where it is made and when it goes (`tree.rs`).

use super::{Kind, wait_until};
use crate::{
    group_files::{self, MEMBERS, members, write},
    group_limits::{self, Limits, Shortage},
    pidfd::Process,
};
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The group of one process and what it started.
#[derive(Debug)]
pub struct Leaf {
    pub(super) directory: PathBuf,
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

impl Leaf {
    /// The one in this directory, which may not be there yet.
    pub(super) fn at(directory: PathBuf, kind: Kind, sides: Vec<PathBuf>) -> Leaf {
        Leaf {
            directory,
            kind,
            sides,
            was_killed: false,
        }
    }

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

    /// Limits what all in it may use together. Does nothing unless its tree was made [for that](super::Tree::create_limiting).
    pub fn limit(&self, limits: &Limits) -> io::Result<()> {
        limits.set(&self.directories())
    }

    /// Gives all in it together this share of the processors, in millionths of one, where others beside it compete for
    /// them. Does nothing unless its tree was made [for that](super::Tree::create_limiting).
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
        let removed =
            |left: usize, directory: &Path| left + usize::from(!group_files::try_remove(directory));
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

/// More than the two lines of its events.
const BRIEF_BYTES: usize = 64;
