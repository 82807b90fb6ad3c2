//! One host: what runs there, what it keeps, and what its kernel says.

use super::{LEFT_MAX, run, spaces::Spaces};
use crate::leftovers;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File},
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// One of the hosts.
#[derive(Debug)]
pub struct Host {
    /// What it calls itself.
    pub name: String,
    /// Where the others reach it.
    pub address: IpAddr,
    /// The switch's end of its cable.
    pub(super) port: String,
    pub(super) disk: PathBuf,
    /// What is started here is in these.
    pub(super) groups: Vec<PathBuf>,
    pub(super) spaces: Spaces,
}

impl Host {
    /// Does something on this host: what is started within runs there, and so do connections made within.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.spaces.within(act)
    }

    /// A program that is to run here, with these arguments.
    pub fn command(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = "n=$1; shift; while [ $n -gt 0 ]; do echo $$ >\"$1/cgroup.procs\"; shift; n=$((n-1)); done; exec \"$@\"";
        command.args(["-c", script, "host", &self.groups.len().to_string()]);
        command.args(&self.groups).arg(program).args(args);
        command
    }

    /// What the host has in `/var/lib`.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// How many bytes have left it by its cable.
    ///
    /// # Panics
    /// If its kernel does not say.
    pub fn sent(&self) -> u64 {
        let all = self.within(|| fs::read_to_string("/proc/thread-self/net/dev"));
        let all = all.expect("the kernel counts");
        let line = all
            .lines()
            .find_map(|line| line.trim().strip_prefix("eth0:"));
        let mut counts = line.expect("it has a cable").split_whitespace();
        let sent = counts.nth(8).and_then(|sent| sent.parse().ok());
        sent.expect("the ninth is what was sent")
    }

    /// Gives it another disk, which is empty and of this size, such as `5m`, until it is off.
    pub fn shrink(&self, size: &str) {
        let words = format!("-t tmpfs -o size={size},mode=755 none /var/lib");
        self.tool("mount", &words);
    }

    /// Gives it another disk, which is empty and can be [frozen](Host::freeze), until it is off. False, and a line that says so,
    /// where none can be made.
    ///
    /// # Panics
    /// Where it should be possible but is not.
    pub fn give_disk(&self, mib: u64) -> bool {
        for program in ["mkfs.ext4", "fsfreeze"] {
            if let Err(error) = Command::new(program).arg("-V").output() {
                eprintln!("skipped: no disk can be made here: {program}: {error}");
                return false;
            }
        }
        let image = self.disk.with_extension("image");
        let file = File::create(&image).expect("the directory is ours");
        file.set_len(mib << 20).expect("it takes no room yet");
        let image = image.display();
        self.tool("mkfs.ext4", &format!("-q {image}"));
        self.tool("mount", &format!("-o loop {image} /var/lib"));
        true
    }

    /// Whoever writes to its disk waits from now on, until this is dropped.
    pub fn freeze(&self) -> Frozen<'_> {
        self.tool("fsfreeze", "-f /var/lib");
        Frozen(self)
    }

    /// Has this host's kernel reset all TCP connections that it has with these addresses, and tell their other ends so by a packet:
    /// as who is between two hosts does to both. False, and a line that says so, where it cannot.
    ///
    /// # Panics
    /// If there is nothing to reset.
    pub fn reset(&self, peers: &str) -> bool {
        let show = format!("-Htn state established dst {peers}");
        let listed = || self.within(|| run("ss", &show));
        let before = listed();
        assert!(!before.is_empty(), "no connection with {peers}");
        self.tool("ss", &format!("-K {show}"));
        let after = listed();
        let left: HashSet<_> = after.lines().map(ends_of).collect();
        let is_done = !before.lines().any(|line| left.contains(&ends_of(line)));
        if !is_done {
            eprintln!("skipped: the kernel resets no connections (CONFIG_INET_DIAG_DESTROY)");
        }
        is_done
    }

    /// All that run here.
    pub fn processes(&self) -> Vec<u32> {
        let about = self.spaces.net.metadata().expect("it is open");
        let is_here = |pid: &u32| {
            fs::metadata(format!("/proc/{pid}/ns/net"))
                .is_ok_and(|net| (net.dev(), net.ino()) == (about.dev(), about.ino()))
        };
        leftovers::every_process().filter(is_here).collect()
    }

    /// How many control groups there are within its own.
    pub fn control_groups(&self) -> usize {
        leftovers::groups_below(self.groups.clone()).len()
    }

    /// All that is here and may not stay: processes and control groups, in words.
    pub fn left(&self) -> Vec<String> {
        let groups = leftovers::groups_below(self.groups.clone());
        let groups = groups.iter().map(|group| group.display().to_string());
        let processes = self.processes().into_iter().map(leftovers::describe);
        processes.chain(groups).collect()
    }

    /// Removes the control groups, whose processes are dead or dying.
    pub(super) fn remove_groups(&self) {
        let deadline = Instant::now() + LEFT_MAX;
        let all = leftovers::groups_below(self.groups.clone());
        // Those within others come later in their order.
        for group in self.groups.iter().chain(&all).rev() {
            while fs::remove_dir(group).is_err() && group.exists() {
                if Instant::now() > deadline {
                    return eprintln!("{} is left", group.display());
                }
                thread::sleep(Duration::from_millis(2)); // Dying announces itself only in cgroup2.
            }
        }
    }

    /// Ends all that run here.
    pub(super) fn kill(&self) {
        for pid in self.processes() {
            // One that has ended meanwhile needs no signal.
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
    }

    /// Runs a tool of the network's here.
    pub(crate) fn tool(&self, program: &str, words: &str) {
        self.within(|| run(program, words));
    }
}

/// A disk that stands still.
#[derive(Debug)]
pub struct Frozen<'a>(&'a Host);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.tool("fsfreeze", "-u /var/lib");
    }
}

/// Which connection is on this line: both its addresses, behind two queues whose lengths change.
fn ends_of(line: &str) -> Vec<&str> {
    line.split_whitespace().skip(2).take(2).collect()
}
