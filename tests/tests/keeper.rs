//! What becomes of a job whose first process is killed, and of its keeper.
//!
//! Each job runs in a control group of its own, so that no other job, which would clear up too, is begun beside it.
//! Where such a group cannot be made there are no keepers either.

use deploy_tests::leftovers::Mark;
use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
    unistd::Pid,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{self, Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

const TALK: &str = env!("CARGO_BIN_EXE_talk");

/// Where a shell can put a descriptor.
const INHERITED: u32 = 9;

#[test]
fn what_a_killed_monitor_leaves_is_cleared_at_once() {
    let Some(mut job) = Job::start(&["litter"]) else {
        return;
    };
    assert_eq!(job.line(), "waiting\n");
    job.keeper();
    wait_until(|| job.names().contains(&"sleep".to_string()));
    job.signal(job.first.id(), Signal::SIGKILL);
    assert_eq!(job.end().signal(), Some(9));
    job.expect_nothing_within(Duration::from_secs(5));
}

#[test]
fn a_killed_monitor_leaves_no_spare() {
    let Some(mut job) = Job::start(&["wait"]) else {
        return;
    };
    assert_eq!(job.line(), "waiting\n");
    job.keeper();
    // The monitor, three processes, the keeper, and at least one that waits to become the next process.
    wait_until(|| job.names().len() >= 6);
    job.signal(job.first.id(), Signal::SIGKILL);
    assert_eq!(job.end().signal(), Some(9));
    job.expect_nothing_within(Duration::from_secs(5));
}

#[test]
fn who_loses_its_monitor_before_it_knows_who_it_is_ends_quietly() {
    let (ours, theirs) = packets();
    drop(ours);
    let output = born(theirs).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b""[..], &b""[..])
    );
}

/// A program that must not run on its own: it would do all the work of its job, in one place, where nobody expects that.
#[test]
fn who_cannot_read_what_its_monitor_wrote_says_so_and_does_not_begin() {
    let (ours, theirs) = packets();
    const OF_ANOTHER_VERSION: [u8; 64] = [0xff; 64];
    nix::unistd::write(&ours, &OF_ANOTHER_VERSION).unwrap();
    let output = born(theirs).output().unwrap();
    assert_eq!(output.status.code(), Some(71));
    assert_eq!(output.stdout, b"");
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(
        err.contains("a monitor of another version wrote it; build this program"),
        "{err}"
    );
}

/// As between a monitor and its process.
fn packets() -> (OwnedFd, OwnedFd) {
    let packets = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    );
    packets.unwrap()
}

/// A program that is told of this process as its monitor, and of its end of a socket.
fn born(socket: OwnedFd) -> Command {
    // Only in the child is it to stay open.
    let script = format!("exec \"$0\" \"$@\" {INHERITED}<&0 </dev/null");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, TALK, "say", "hello"])
        .env("DEPLOY_BIRTH", format!("{INHERITED},{}", process::id()))
        .stdin(socket);
    command
}

#[test]
fn a_keeper_has_nothing_that_is_not_its_own() {
    let Some(mut job) = Job::start(&["wait"]) else {
        return;
    };
    assert_eq!(job.line(), "waiting\n");
    let keeper = job.keeper();
    let stat = fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
    let (_, stat) = stat.rsplit_once(") ").unwrap();
    let ids: Vec<u32> = stat
        .split(' ')
        .skip(1)
        .take(5)
        .map_while(|id| id.parse().ok())
        .collect();
    // Parent, group, session, and the terminal: none.
    assert_eq!(ids, [job.first.id(), keeper, keeper, 0]);
    let mut open: Vec<PathBuf> = fs::read_dir(format!("/proc/{keeper}/fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    open.sort();
    assert_eq!(open[..3], ["/dev/null"; 3].map(PathBuf::from));
    assert_eq!(open.len(), 4, "{open:?}");
    assert!(open[3].starts_with(&job.group), "{open:?}");
    job.signal(keeper, Signal::SIGTERM);
    job.signal(keeper, Signal::SIGINT);
    job.signal(job.first.id(), Signal::SIGTERM);
    assert_eq!(job.end().signal(), Some(15));
    job.expect_nothing_within(Duration::ZERO);
}

#[test]
fn a_keeper_that_is_killed_harms_nobody() {
    let Some(mut job) = Job::start(&["cat"]) else {
        return;
    };
    let keeper = job.keeper();
    job.signal(keeper, Signal::SIGKILL);
    wait_until(|| !Path::new(&format!("/proc/{keeper}")).exists());
    use std::io::Write;
    let mut input = job.first.stdin.take().unwrap();
    input.write_all(b"words\n").unwrap();
    drop(input);
    assert_eq!(job.line(), "words\n");
    assert!(job.end().success());
    job.expect_nothing_within(Duration::ZERO);
}

#[test]
fn a_variable_that_is_not_from_a_monitor_is_refused() {
    for number in ["1", "999", "x"] {
        let mut command = Command::new(TALK);
        let command = command.args(["say", "hello"]).env("DEPLOY_KEEPER", number);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        assert_eq!(output.stdout, b"");
        let why = String::from_utf8(output.stderr).unwrap();
        assert!(why.contains("DEPLOY_KEEPER"), "{why}");
    }
}

/// A program in a control group that nobody else uses.
struct Job {
    first: Child,
    output: BufReader<ChildStdout>,
    group: PathBuf,
    mark: Mark,
}

impl Job {
    /// `talk` with these arguments; nothing where no group may be made.
    fn start(args: &[&str]) -> Option<Job> {
        let Some(group) = group() else {
            eprintln!("skipped: no control group may be made here");
            return None;
        };
        let mark = Mark::new().unwrap();
        let mut first = Command::new("sh")
            .args([
                "-c",
                "echo $$ >$GROUP/cgroup.procs && exec \"$0\" \"$@\"",
                TALK,
            ])
            .args(args)
            .env("GROUP", &group)
            .envs(mark.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(first.stdout.take().unwrap());
        Some(Job {
            first,
            output,
            group,
            mark,
        })
    }

    /// The next line of its output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// The process of its keeper, once that keeps.
    fn keeper(&self) -> u32 {
        let mut found = None;
        wait_until(|| {
            let mut processes = self.mark.processes().into_iter();
            found = processes.find(|pid| name(*pid) == "deploy-keeper");
            found.is_some()
        });
        found.unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.mark.processes().into_iter().map(name).collect()
    }

    fn signal(&self, process: u32, signal: Signal) {
        kill(Pid::from_raw(process as i32), signal).unwrap();
    }

    /// How the first process has ended.
    fn end(&mut self) -> ExitStatus {
        drop(self.first.stdin.take());
        self.first.wait().unwrap()
    }

    /// Fails if a process or a control group is left after that time.
    fn expect_nothing_within(mut self, time: Duration) {
        let start = Instant::now();
        let left = || (self.names(), groups_in(&self.group));
        while left() != Default::default() && start.elapsed() < time {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(left(), Default::default());
        // Nobody holds the pipe, so it has an end.
        self.output.read_to_end(&mut Vec::new()).unwrap();
    }
}

/// A test that fails leaves nothing either.
impl Drop for Job {
    fn drop(&mut self) {
        self.mark.kill();
        let _ = self.first.wait();
        let _ = fs::remove_dir(&self.group);
    }
}

/// A new control group below our own: of cgroup2, or else of the first version's freezer.
fn group() -> Option<PathBuf> {
    static GROUPS: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let number = GROUPS.fetch_add(1, Ordering::Relaxed);
    let name = format!("deploy-tests-{}-{number}", std::process::id());
    [("cgroup2", "::"), ("freezer", ":freezer:")]
        .into_iter()
        .find_map(|(kind, controllers)| {
            let mount = mounts.lines().find(|line| line.contains(kind))?;
            let root = mount.split(' ').nth(1)?;
            let path = own.lines().find_map(|line| line.split_once(controllers))?.1;
            let group = Path::new(root)
                .join(path.trim_start_matches('/'))
                .join(&name);
            fs::create_dir(&group).ok()?;
            Some(group)
        })
}

fn groups_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let groups = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    groups.map(|entry| entry.path()).collect()
}

fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_string()
}

/// What is polled here has no event to wait for.
fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
}
