//! Starts a program as a child, by `posix_spawn` or, inside a control group, by `clone`: no code of ours runs on after a
//! bare fork.
//!
//! Deliberately absent: what the program is told (its certificate), and everything that happens to it afterwards.
//!
//! # Stopped while it is started
//! The starting thread waits until the child has executed its program. A child stopped before that, by Ctrl-Z at the
//! wrong moment, would stop its parent with no way to go on. So the signals that stop are blocked in the child, which
//! is to set its signal mask once it runs.
//!
//! # Ended with its parent
//! A child that is born in a group gets SIGKILL when the thread that started it ends. `posix_spawn` cannot be told that: there
//! the program has to ask for it itself.

use crate::{
    cgroup::Leaf,
    clone::{self, Failure, Plan},
    pidfd::Process,
    process::signal_set,
};
use std::{
    ffi::{CStr, CString},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    ptr,
};

/// A program to start, and what it gets.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Its file; a name without a slash is looked for in `PATH`.
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub arguments: &'a Texts,
    /// Its environment, `NAME=value` each.
    pub environment: &'a Texts,
    /// Standard input; the caller's own, if none.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
    /// The one descriptor that it gets beside these.
    pub kept: BorrowedFd<'a>,
    /// Under which number it gets that; the same as here, if none.
    pub kept_as: Option<RawFd>,
    /// Whether it has too what is open here and not closed on exec.
    pub inherits: bool,
    /// The descriptor by which the program's file is named, if it is.
    pub by: Option<RawFd>,
    /// The signals that it blocks from the start, beside those that stop; see [`crate::process::blocked_signals`].
    pub signals_blocked: u64,
}

/// Arguments or an environment, as the kernel takes them: put together once, for many starts.
#[derive(Debug)]
pub struct Texts {
    pointers: Vec<*const libc::c_char>,
    /// What these point at, but for the null at their end.
    texts: Vec<CString>,
}

impl Texts {
    /// In this order.
    pub fn new(texts: Vec<CString>) -> Texts {
        let pointers = texts.iter().map(|text| text.as_ptr());
        Texts {
            pointers: pointers.chain([ptr::null()]).collect(),
            texts,
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.texts.iter().map(CString::as_c_str)
    }
}

impl Launch<'_> {
    /// Starts it inside a group, or outside where that cannot be.
    pub fn start_in(&self, group: &Leaf) -> io::Result<Process> {
        let started = match group.birthplace() {
            Some(directory) => self.start_cloned(directory.as_fd()),
            None => Err(Failure::Unavailable),
        };
        match started {
            Ok(process) => {
                let process = process.raised()?;
                // Fails where the group was removed under us, or the process has ended already.
                let _ = group.enter_sides(process.id());
                Ok(process)
            }
            Err(Failure::Failed(error)) => Err(error),
            Err(Failure::Unavailable) => {
                let process = self.start()?;
                // Fails where the group was removed under us, or the process has ended already.
                let _ = group.enter(process.id());
                Ok(process)
            }
        }
    }

    fn start_cloned(&self, group: BorrowedFd<'_>) -> Result<Process, Failure> {
        if !self.program.to_bytes().contains(&b'/') {
            return Err(Failure::Unavailable);
        }
        let duplicates = self.duplicates();
        let kept = self.kept.as_raw_fd();
        let needed = duplicates.iter().flatten().map(|(source, _)| *source);
        let least = kept.max(self.by.unwrap_or(libc::STDERR_FILENO));
        let last = needed.fold(least, RawFd::max);
        let mut plan = Plan {
            without_from: (!self.inherits).then_some(last as libc::c_uint + 1),
            duplicates,
            kept: (kept, self.kept_number()),
            blocked: signal_set(self.signals_blocked | mask_of(&STOPPING)),
            program: self.program.as_ptr(),
            arguments: self.arguments.pointers.as_ptr(),
            environment: self.environment.pointers.as_ptr(),
            has_own_table: false,
            error: 0,
        };
        // SAFETY: the pointers are to live values of `self`: a string that ends in a zero, and two lists of such strings
        // that end in a null.
        unsafe { clone::start(&mut plan, group) }
    }

    /// What becomes which of the first three descriptors. Ours stay as they are where source and target are one.
    fn duplicates(&self) -> [Option<(RawFd, RawFd)>; 3] {
        let (stdin, stdout, stderr) = (self.stdin, Some(self.stdout), Some(self.stderr));
        let mut target = libc::STDIN_FILENO..;
        [stdin, stdout, stderr].map(|source| {
            target
                .next()
                .and_then(|target| Some((source?.as_raw_fd(), target)))
        })
    }

    fn kept_number(&self) -> RawFd {
        self.kept_as.unwrap_or(self.kept.as_raw_fd())
    }

    /// Starts it. The child runs its program when this returns.
    pub fn start(&self) -> io::Result<Process> {
        self.start_with(0)
    }

    /// The same in a session of its own, which no terminal's keys and no signal to our group reach.
    pub fn start_apart(&self) -> io::Result<Process> {
        self.start_with(libc::POSIX_SPAWN_SETSID as libc::c_int)
    }

    fn start_with(&self, flags: libc::c_int) -> io::Result<Process> {
        let mut actions = FileActions::new()?;
        for (source, target) in self.duplicates().into_iter().flatten() {
            actions.duplicate(source, target)?;
        }
        // Even onto itself: that is how it loses its close-on-exec mark, in the child only.
        actions.duplicate(self.kept.as_raw_fd(), self.kept_number())?;
        let attributes = Attributes::new(self.signals_blocked | mask_of(&STOPPING), flags)?;
        let mut id = 0;
        // SAFETY: every pointer is to a live value of this function or of `self`: a string that ends in a zero, two
        // lists of such strings that end in a null, and two objects that their makers initialised.
        check(unsafe {
            libc::posix_spawnp(
                &mut id,
                self.program.as_ptr(),
                &actions.0,
                &attributes.0,
                self.arguments.pointers.as_ptr().cast(),
                self.environment.pointers.as_ptr().cast(),
            )
        })?;
        Process::open(id as u32)
            .and_then(Process::raised)
            .inspect_err(|_| abandon(id))
    }
}

/// Ends a child that cannot be watched.
fn abandon(id: libc::pid_t) {
    // SAFETY: it is our child and not reaped, so the id is still its own; a null status says that we want none.
    unsafe {
        libc::kill(id, libc::SIGKILL);
        libc::waitpid(id, ptr::null_mut(), 0);
    }
}

fn mask_of(signals: &[libc::c_int]) -> u64 {
    signals
        .iter()
        .fold(0, |mask, signal| mask | 1 << (signal - 1))
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<FileActions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: it initialises what it is given or fails.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it was initialised.
        Ok(FileActions(unsafe { actions.assume_init() }))
    }

    fn duplicate(&mut self, source: RawFd, target: RawFd) -> io::Result<()> {
        // SAFETY: the object is initialised, and the numbers are only noted.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, source, target) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: it is initialised and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// Blocks these signals, and gives SIGPIPE its default action, which Rust's start-up has taken away.
    fn new(signals_blocked: u64, flags: libc::c_int) -> io::Result<Attributes> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: it initialises what it is given or fails.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it was initialised.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        let flags = flags | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let (blocked, default) = (
            signal_set(signals_blocked),
            signal_set(mask_of(&[libc::SIGPIPE])),
        );
        // SAFETY: the object and both sets are initialised and live.
        unsafe {
            check(libc::posix_spawnattr_setflags(
                &mut attributes.0,
                flags as libc::c_short,
            ))?;
            check(libc::posix_spawnattr_setsigmask(
                &mut attributes.0,
                &blocked,
            ))?;
            check(libc::posix_spawnattr_setsigdefault(
                &mut attributes.0,
                &default,
            ))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it is initialised and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

/// These functions return their error.
fn check(error: libc::c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The signals that stop a process and that can be blocked.
const STOPPING: [libc::c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cgroup::Tree, packet, pidfd::Death, process};
    use std::{
        collections::BTreeSet,
        fs::File,
        io::{PipeReader, Read, pipe},
        os::fd::{AsFd, OwnedFd},
    };

    struct Started {
        process: Process,
        stdout: PipeReader,
        birth: OwnedFd,
    }

    fn start(program: &str, arguments: &[&str], signals_blocked: u64) -> io::Result<Started> {
        start_where(program, arguments, signals_blocked, None)
    }

    fn start_where(
        program: &str,
        arguments: &[&str],
        signals_blocked: u64,
        group: Option<&Leaf>,
    ) -> io::Result<Started> {
        start_as(program, arguments, signals_blocked, |launch| match group {
            Some(group) => launch.start_in(group),
            None => launch.start(),
        })
    }

    fn start_as(
        program: &str,
        arguments: &[&str],
        signals_blocked: u64,
        start: impl FnOnce(&Launch<'_>) -> io::Result<Process>,
    ) -> io::Result<Started> {
        let text = |text: &&str| CString::new(*text).unwrap();
        let arguments: Vec<_> = [&program].into_iter().chain(arguments).map(text).collect();
        let null = File::open("/dev/null").unwrap();
        let (stdout, output) = pipe().unwrap();
        let (birth, theirs) = packet::pair().unwrap();
        let number = CString::new(format!("BIRTH={KEPT}")).unwrap();
        let launch = Launch {
            program: &CString::new(program).unwrap(),
            arguments: &Texts::new(arguments),
            environment: &Texts::new(vec![number, c"PATH=/bin:/usr/bin".into()]),
            stdin: Some(null.as_fd()),
            stdout: output.as_fd(),
            stderr: output.as_fd(),
            kept: theirs.as_fd(),
            kept_as: Some(KEPT),
            inherits: true,
            by: None,
            signals_blocked,
        };
        Ok(Started {
            process: start(&launch)?,
            stdout,
            birth,
        })
    }

    fn output(mut started: Started) -> String {
        let mut text = String::new();
        started.stdout.read_to_string(&mut text).unwrap();
        assert_eq!(started.process.wait().unwrap(), Death::Code(0));
        text
    }

    /// What whoever runs the tests left open for their children; no test of this crate does so below 900.
    fn inherited() -> BTreeSet<String> {
        let marked = |number: &i32| {
            // SAFETY: the call copes with a number that is not open, and touches no memory of ours.
            let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
            flags == 0
        };
        (3..900).filter(marked).map(|n| n.to_string()).collect()
    }

    const KEPT: RawFd = 777;

    #[test]
    fn a_child_has_its_descriptors_and_no_other() {
        let mut expected = inherited();
        let script = "echo $BIRTH; cd /proc/$$/fd; for n in *; do [ $n -lt 900 -a -e $n ] && echo $n; done; :";
        let text = output(start("sh", &["-c", script], 0).unwrap());
        let (birth, open) = text.split_once('\n').unwrap();
        expected.extend(["0", "1", "2", birth].map(str::to_string));
        assert_eq!(
            open.lines().map(str::to_string).collect::<BTreeSet<_>>(),
            expected
        );
    }

    #[test]
    fn a_child_born_in_a_group_leaves_our_descriptors_as_they_are() {
        let Some(tree) = Tree::create("deploy-test-table-", &std::process::id().to_string()) else {
            eprintln!("skipped: no group may be made here");
            return;
        };
        let leaf = tree.leaf("1").unwrap();
        let kept_open = crate::fd::raise(File::open("/dev/null").unwrap().into()).unwrap();
        let arguments = ["-c", "cd /proc/$$/fd; echo *"];
        let shell = crate::fd::raise(File::open("/bin/sh").unwrap().into()).unwrap();
        let alone = |launch: &Launch<'_>| {
            let apart = Launch {
                inherits: false,
                by: Some(shell.as_raw_fd()),
                ..*launch
            };
            apart.start_in(&leaf)
        };
        let program = format!("/proc/self/fd/{}", shell.as_raw_fd());
        let text = output(start_as(&program, &arguments, 0, alone).unwrap());
        let open: BTreeSet<_> = text.split_whitespace().map(str::to_string).collect();
        let mut expected = inherited();
        expected.extend(["0", "1", "2", "777"].map(str::to_string));
        // The shell may have one more for the directory that it lists.
        assert!(
            open.contains("777") && open.difference(&expected).count() <= 1,
            "{text}"
        );
        assert!(crate::fd::same_file(
            kept_open.as_fd(),
            File::open("/dev/null").unwrap().as_fd()
        ));
    }

    #[test]
    fn a_child_born_in_a_group_ends_with_who_started_it() {
        let Some(tree) = Tree::create("deploy-test-orphan-", &std::process::id().to_string())
        else {
            eprintln!("skipped: no group may be made here");
            return;
        };
        let leaf = tree.leaf("1").unwrap();
        if leaf.birthplace().is_none() {
            eprintln!("skipped: no process may be born in a group here");
            return;
        }
        // For the kernel who started it is the thread.
        let started = std::thread::scope(|scope| {
            let start = || start_where("/bin/sleep", &["1000"], 0, Some(&leaf)).unwrap();
            scope.spawn(start).join().unwrap()
        });
        assert_eq!(
            started.process.wait().unwrap(),
            Death::Signal(libc::SIGKILL)
        );
    }

    #[test]
    fn a_child_blocks_what_it_is_told_and_what_stops() {
        let text = output(
            start(
                "grep",
                &["-E", "^Sig(Blk|Ign)", "/proc/self/status"],
                1 << 9,
            )
            .unwrap(),
        );
        let mask = |name| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(mask("SigBlk:"), 1 << 9 | mask_of(&STOPPING));
        assert_eq!(mask("SigIgn:") & mask_of(&[libc::SIGPIPE]), 0);
    }

    #[test]
    fn a_child_apart_leads_a_session() {
        let script = "read -r pid name state parent group session rest </proc/self/stat; echo $$ $group $session";
        let ids = |start: fn(&Launch<'_>) -> io::Result<Process>| -> Vec<u32> {
            let text = output(start_as("sh", &["-c", script], 0, start).unwrap());
            process::numbers(&text).collect()
        };
        let apart = ids(|launch| launch.start_apart());
        assert_eq!(apart[1..], [apart[0]; 2]);
        let plain = ids(|launch| launch.start());
        assert!(plain[1] != plain[0] && plain[2] != plain[0]);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_with_its_number() {
        let error = |program| start(program, &[], 0).err().unwrap().raw_os_error();
        assert_eq!(error("/no/such/file"), Some(libc::ENOENT));
        assert_eq!(error("no-such-program"), Some(libc::ENOENT));
        assert_eq!(error("/etc/passwd"), Some(libc::EACCES));
    }

    #[test]
    fn the_kept_descriptor_ends_with_the_child() {
        let started = start("true", &[], process::blocked_signals()).unwrap();
        assert!(
            packet::receive(started.birth.as_fd(), &mut Vec::new())
                .unwrap()
                .is_none()
        );
        assert_eq!(output(started), "");
    }

    #[test]
    fn a_child_born_in_a_group_is_like_any_other() {
        let Some(tree) = Tree::create("deploy-test-launch-", &std::process::id().to_string())
        else {
            eprintln!("skipped: no group may be made here");
            return;
        };
        let leaf = tree.leaf("1").unwrap();
        let text = |program, arguments: &[&str], group| {
            output(start_where(program, arguments, 1 << 9, group).unwrap())
        };
        let path = format!("/deploy-test-launch-{}/1", std::process::id());
        assert!(text("/bin/cat", &["/proc/self/cgroup"], Some(&leaf)).contains(&path));
        let check = |program, arguments: &[&str], what: fn(&str) -> BTreeSet<String>| {
            let (plain, born) = (
                text(program, arguments, None),
                text(program, arguments, Some(&leaf)),
            );
            assert_eq!(what(&plain), what(&born));
            assert!(!what(&born).is_empty());
        };
        check(
            "/bin/grep",
            &["-E", "^Sig(Blk|Cgt)", "/proc/self/status"],
            |text| text.lines().map(str::to_string).collect(),
        );
        let script = "cd /proc/$$/fd; for n in *; do [ $n != $BIRTH -a -e $n ] && echo $n; done; :";
        check("/bin/sh", &["-c", script], |text| {
            let below = text
                .lines()
                .filter(|number| number.parse::<u32>().unwrap() < 900);
            below.map(str::to_string).collect()
        });
        let pipe = text("/bin/grep", &["^SigIgn", "/proc/self/status"], Some(&leaf));
        let ignored = u64::from_str_radix(pipe.trim().rsplit('\t').next().unwrap(), 16).unwrap();
        assert_eq!(ignored & mask_of(&[libc::SIGPIPE]), 0);
        let error = |program| {
            start_where(program, &[], 0, Some(&leaf))
                .err()
                .unwrap()
                .raw_os_error()
        };
        assert_eq!(error("/no/such/file"), Some(libc::ENOENT));
        assert_eq!(error("/etc/passwd"), Some(libc::EACCES));
        assert!(leaf.is_empty());
    }
}
