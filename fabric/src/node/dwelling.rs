//! Where a job lives on a node: a directory, a control group and, where the daemon may give it one, a user of its own.
//! They are there when it begins and gone when it has ended.
//!
//! Deliberately absent: what runs there.

use super::sweeper::{Leavings, Sweeper};
use crate::confine::{USERS, USERS_FIRST};
use deploy_sys::{
    cgroup::{self, Leaf, Tree},
    claim::Claim,
    landlock, random, tell,
};
use deploy_wire::pid::Job;
use nix::unistd::geteuid;
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::Sender,
};

/// All that a node has for jobs to live in.
#[derive(Debug)]
pub struct Estate {
    directory: PathBuf,
    groups: Option<Tree>,
    keeper: Keeper,
    sweeper: Sweeper,
}

/// What keeps jobs from the daemon's secrets and from each other's files.
#[derive(Debug)]
enum Keeper {
    /// Each has a user of its own.
    Users(Users),
    /// Each is kept out of this directory, the daemon's state.
    Landlock(PathBuf),
    /// Nothing.
    Nobody,
}

/// Where one job lives. Dropping this ends what is left of the job, and leaves its directory to be removed.
#[derive(Debug)]
pub(super) struct Dwelling {
    path: PathBuf,
    group: Option<Leaf>,
    user: Option<User>,
    /// What it is kept out of.
    hidden: Option<PathBuf>,
    /// Where its directory goes when nothing lives there.
    bin: Sender<Leavings>,
}

/// The file by which all daemons of this machine agree on whose job has which user.
#[derive(Debug)]
struct Users(PathBuf);

/// A user that no other job on this machine has, of whichever daemon.
#[derive(Debug)]
pub(super) struct User {
    id: u32,
    _claim: Claim,
}

/// A variable of an environment.
type Variable = (Vec<u8>, Vec<u8>);

impl Estate {
    /// Below this directory. What an earlier daemon has left there is removed. This process, and those of its company that
    /// are in the same control group, may be moved into another.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(directory: &Path, company: &[u32]) -> io::Result<Estate> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Others may pass through, to what is theirs, and see nothing.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(directory)?;
        if geteuid().is_root() {
            check_passable(directory)?;
        }
        let name = format!("{:032x}", random::bits()?);
        cgroup::clear_abandoned(GROUPS);
        Ok(Estate {
            directory: directory.into(),
            groups: Tree::create_limiting(GROUPS, &name, company),
            keeper: match directory.parent() {
                _ if geteuid().is_root() => Keeper::Users(Users(USERS_FILE.into())),
                Some(state) if landlock::is_there() => Keeper::Landlock(state.canonicalize()?),
                _ => Keeper::Nobody,
            },
            sweeper: Sweeper::hire(Leavings::remove)?,
        })
    }

    /// What keeps jobs apart from each other and from the daemon, in words.
    pub fn isolation(&self) -> String {
        let user = match self.keeper {
            Keeper::Users(_) => "a user of its own",
            Keeper::Landlock(_) => {
                "the daemon's own user, kept from its state and other jobs by Landlock"
            }
            Keeper::Nobody => "trusts its users: jobs run as the daemon's own",
        };
        let group = match &self.groups {
            Some(groups) if groups.limits_memory() => "a control group that limits memory",
            Some(_) => "a control group without limits, memory that is watched",
            None => "no control group, memory that is watched",
        };
        format!("{user}, {group} and a directory for each job; no new privileges")
    }

    /// A place for this job.
    pub(super) fn make(&self, job: Job) -> io::Result<Dwelling> {
        let name = format!("{job}-{:08x}", random::bits()? as u32);
        let path = self.directory.join(&name);
        let (user, hidden) = match &self.keeper {
            Keeper::Users(users) => (Some(users.take()?), None),
            Keeper::Landlock(state) => (None, Some(state.clone())),
            Keeper::Nobody => (None, None),
        };
        DirBuilder::new().mode(0o700).create(&path)?;
        let mut dwelling = Dwelling {
            path,
            group: None,
            user,
            hidden,
            bin: self.sweeper.bin(),
        };
        if let Some(groups) = &self.groups {
            dwelling.group = Some(groups.leaf(&name)?);
        }
        if let Some(user) = &dwelling.user {
            chown(&dwelling.path, Some(user.id), Some(user.id))?;
            if let Some(group) = &dwelling.group {
                group.give_to(user.id)?;
            }
        }
        Ok(dwelling)
    }
}

impl Dwelling {
    /// By what name its program is to be open, where its user could not open it by that which it has on the node: a process
    /// finds in its own program the names of its functions.
    pub(super) fn program(&self) -> Option<PathBuf> {
        self.user
            .is_some()
            .then(|| self.path.with_extension(PROGRAM))
    }

    /// Has a warden live here.
    pub(super) fn settle(&self, command: &mut Command) {
        command.env_clear().current_dir(&self.path);
        command.args(&self.hidden);
        if let Some(user) = &self.user {
            command.uid(user.id).gid(user.id);
        }
    }

    /// This process lives here now, and whatever it starts.
    pub(super) fn take_in(&self, process: u32) -> io::Result<()> {
        self.group
            .as_ref()
            .map_or(Ok(()), |group| group.enter(process))
    }

    /// Kills what lives here, and waits for none of it.
    pub(super) fn kill(&mut self) {
        if let Some(group) = &mut self.group {
            // Fails where somebody has removed it under us. Then nothing lives in it.
            let _ = group.kill();
        }
    }

    /// What lives here has this share of the processors, in millionths of one, where other jobs compete for them.
    pub(super) fn share(&self, cpu_millionths: u64) {
        if let Some(group) = &self.group {
            // Fails where somebody has removed it under us. Then nothing lives in it.
            let _ = group.share(cpu_millionths);
        }
    }

    /// What of an environment only the node knows, where the person has said nothing else.
    pub(super) fn furnish(&self, environment: &mut Vec<Variable>) {
        for name in [&b"HOME"[..], b"TMPDIR"] {
            if !environment.iter().any(|(other, _)| other == name) {
                let value = self.path.as_os_str().as_bytes();
                environment.push((name.to_vec(), value.to_vec()));
            }
        }
    }
}

impl Drop for Dwelling {
    fn drop(&mut self) {
        if let Some(group) = &mut self.group
            && !group.clear()
        {
            tell!(
                "something of a job in {} is still dying",
                self.path.display()
            );
        }
        let leavings = Leavings {
            program: self.program(),
            path: std::mem::take(&mut self.path),
            user: self.user.take(),
        };
        // The sweeper lives as long as the estate, and that longer than any job.
        let _ = self.bin.send(leavings);
    }
}

impl Users {
    /// Some user that is nobody's. It is drawn by lot, so that whatever a killed daemon has left behind for a moment is
    /// not another job's.
    fn take(&self) -> io::Result<User> {
        for _ in 0..DRAWS_MAX {
            let id = USERS_FIRST + random::bits()? as u32 % USERS;
            if let Some(user) = self.claim(id)? {
                return Ok(user);
            }
        }
        Err(io::Error::other("all users for jobs are taken"))
    }

    fn claim(&self, id: u32) -> io::Result<Option<User>> {
        let named = |error| {
            io::Error::new(
                io::Error::kind(&error),
                format!("{}: {error}", self.0.display()),
            )
        };
        let claim = Claim::take(&self.0, id - USERS_FIRST).map_err(named)?;
        Ok(claim.map(|claim| User { id, _claim: claim }))
    }
}

/// A job's user has to get to its directory.
fn check_passable(directory: &Path) -> io::Result<()> {
    for above in directory.canonicalize()?.ancestors() {
        if fs::metadata(above)?.permissions().mode() & 0o001 == 0 {
            return Err(io::Error::other(format!(
                "jobs run as users of their own, and {} lets none of them pass: give another --state, or chmod o+x it",
                above.display()
            )));
        }
    }
    Ok(())
}

/// How the groups of all daemons begin. A daemon clears up after any other that was killed.
const GROUPS: &str = "fabric-node-";
/// What stands behind a job's directory in the name that its program has beside it.
const PROGRAM: &str = "program";
/// Where there is one for the whole machine, and none outlives its boot.
const USERS_FILE: &str = "/run/fabric-users";
/// Of sixteen million users nearly all are free.
const DRAWS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// As two daemons of one machine, or two jobs of one daemon.
    #[test]
    fn a_user_is_one_jobs_until_that_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let users = || Users(dir.path().join("users"));
        let (one, other) = (users(), users());
        let taken = one.take().unwrap();
        assert!((USERS_FIRST..USERS_FIRST + USERS).contains(&taken.id));
        assert!(one.claim(taken.id).unwrap().is_none());
        assert!(other.claim(taken.id).unwrap().is_none());
        assert_ne!(other.take().unwrap().id, taken.id);
        let id = taken.id;
        drop(taken);
        assert!(other.claim(id).unwrap().is_some());
    }

    /// As where a job has made a million files, or the disk stands still.
    #[test]
    fn a_directory_that_goes_slowly_holds_up_nobody_and_keeps_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let users = Users(dir.path().join("users"));
        let (go_on, held) = channel();
        let estate = Estate {
            directory: dir.path().into(),
            groups: None,
            keeper: Keeper::Nobody,
            sweeper: Sweeper::hire(move |leavings: Leavings| {
                held.recv().unwrap();
                leavings.remove();
            })
            .unwrap(),
        };
        let mut dwellings = [1, 2].map(|job| estate.make(Job::from_bits(job)).unwrap());
        let user = users.take().unwrap();
        let id = user.id;
        dwellings[0].user = Some(user);
        let paths = dwellings.each_ref().map(|dwelling| dwelling.path.clone());
        for path in &paths {
            fs::write(path.join("left"), "").unwrap();
        }
        drop(dwellings);
        assert!(paths.iter().all(|path| path.exists()));
        assert!(users.claim(id).unwrap().is_none());
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        // Whoever ends in an orderly way waits for it.
        drop(estate);
        assert!(paths.iter().all(|path| !path.exists()));
        assert!(users.claim(id).unwrap().is_some());
    }
}
