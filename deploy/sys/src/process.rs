//! What a process can say of itself: its parent and ancestors, its children, its signal mask, its limits.
//!
//! Starting processes is `launch`, signalling them is `pidfd`.

use nix::{
    sys::{
        prctl,
        resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
        signal::Signal,
        stat::fstat,
    },
    unistd,
};
use std::{
    ffi::CStr,
    fs, io,
    mem::MaybeUninit,
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
};

/// Asks the kernel to kill this process when the thread that started it ends.
///
/// To be followed by a look at [`parent`]: it may have ended before.
pub fn die_with_parent() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// The kernel's id of the process that started this one, or of whoever adopted it.
pub fn parent() -> u32 {
    unistd::getppid().as_raw() as u32
}

/// Names the calling thread, and with it, if that is the main one, the process: what `ps` shows.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(prctl::set_name(name)?)
}

/// Whether the calling thread is the one that `main` runs on.
pub fn is_main_thread() -> bool {
    unistd::gettid() == unistd::getpid()
}

/// Makes this process adopt the orphans among its descendants.
pub fn become_subreaper() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Takes this process out of the session that it was started in: no terminal's keys reach it, or what it starts.
///
/// # Errors
/// If it leads a group of processes, which the first of a pipeline or job of a shell does.
pub fn begin_session() -> io::Result<()> {
    unistd::setsid()?;
    Ok(())
}

/// Whether that process is the parent of this one, or its parent's parent, and so on.
pub fn is_ancestor(process: u32) -> bool {
    let mut at = parent();
    while at > 1 && at != process {
        let Some(next) = parent_of(at) else {
            return false;
        };
        at = next;
    }
    at == process
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it is in parentheses and may itself hold any character.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// The kernel's ids of this process's children, dead ones that were not reaped included.
///
/// Nothing where the kernel does not tell.
pub fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| numbers(&list).collect::<Vec<_>>())
        .collect()
}

/// How much memory that process has to itself, in bytes: what it has written to, without the files that it executes and
/// reads. Nothing if it has ended, or we may not look.
pub fn private_memory_bytes(process: u32) -> Option<u64> {
    let sizes = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let mut pages = sizes
        .split_whitespace()
        .map(|word| word.parse::<u64>().ok());
    let (_, resident, shared) = (pages.next()??, pages.next()??, pages.next()??);
    // SAFETY: `sysconf` takes no pointer and changes nothing.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(resident.saturating_sub(shared) * u64::try_from(page_bytes).ok()?)
}

/// Whether that process has this file open, or the other end of this pipe. False where we may not look.
pub fn holds(process: u32, file: BorrowedFd<'_>) -> bool {
    let Ok(file) = fstat(file) else {
        return false;
    };
    let open = fs::read_dir(format!("/proc/{process}/fd"));
    let mut open = open.into_iter().flatten().flatten();
    open.any(|entry| {
        // To look through the link does not open the file again.
        fs::metadata(entry.path())
            .is_ok_and(|other| (other.dev(), other.ino()) == (file.st_dev, file.st_ino))
    })
}

/// The numbers in a text of the kernel's, with white space between them.
pub(crate) fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok())
}

/// Reaps every dead child that is not one of ours as `is_ours` says: those adopted from descendants that ended.
pub fn reap_adopted(is_ours: impl Fn(u32) -> bool) {
    for child in children().into_iter().filter(|child| !is_ours(*child)) {
        reap(child);
    }
}

/// Reaps this child, if it has ended.
pub fn reap(child: u32) {
    let flags = libc::WEXITED | libc::WNOHANG;
    // SAFETY: a null `siginfo` is allowed and says that we want none.
    unsafe { libc::waitid(libc::P_PID, child, std::ptr::null_mut(), flags) };
}

/// The kernel's id of a child that has ended and is not reaped, if there is one: the eldest.
pub fn dead_child() -> Option<u32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes a whole `siginfo`, or leaves the zeros, which are one as well; `si_pid` is valid to
    // read in both cases.
    let dead = unsafe {
        let done = libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) == 0;
        if done { info.assume_init().si_pid() } else { 0 }
    };
    (dead != 0).then_some(dead as u32)
}

/// Whether this process may hear of the ends of its children: what runs it may forbid that.
///
/// # Errors
/// What the kernel says, if it may not.
pub fn can_reap() -> io::Result<()> {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a null `siginfo` is allowed and says that we want none.
    match unsafe { libc::waitid(libc::P_ALL, 0, std::ptr::null_mut(), flags) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            none if none.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            error => Err(error),
        },
    }
}

/// The signals that the calling thread blocks; bit `n - 1` is signal `n`.
pub fn blocked_signals() -> u64 {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a null new mask changes nothing; the old one is written whole.
    let set = unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: `set` is initialised, and 1 to 64 are signal numbers.
    let is_blocked = |signal| unsafe { libc::sigismember(&set, signal) == 1 };
    SIGNALS
        .filter(|signal| is_blocked(*signal))
        .fold(0, |mask, signal| mask | 1 << (signal - 1))
}

/// Makes the calling thread, and every thread that it starts from now on, block exactly these signals.
pub fn set_blocked_signals(mask: u64) {
    let set = signal_set(mask);
    // SAFETY: the set is initialised, and a null old mask says that we want none.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) };
}

/// The C library's set for a mask of this module.
pub(crate) fn signal_set(mask: u64) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set, and `sigaddset` refuses the few numbers that the C library keeps.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in SIGNALS.filter(|signal| mask & 1 << (signal - 1) != 0) {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// How many descriptors a process may have open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DescriptorLimit {
    /// What the kernel enforces.
    pub soft: u64,
    /// What a process may raise the soft limit to.
    pub hard: u64,
}

/// This process's limit.
pub fn descriptor_limit() -> io::Result<DescriptorLimit> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(DescriptorLimit { soft, hard })
}

/// Raises the soft limit to the hard one; returns what it was.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let limit = descriptor_limit()?;
    if limit.soft < limit.hard {
        setrlimit(Resource::RLIMIT_NOFILE, limit.hard, limit.hard)?;
    }
    Ok(limit)
}

/// Gives a child of this process, not yet reaped, a limit of its own.
pub fn limit_descriptors_of(child: u32, limit: DescriptorLimit) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: limit.soft as libc::rlim_t,
        rlim_max: limit.hard as libc::rlim_t,
    };
    let (child, old) = (child as libc::pid_t, std::ptr::null_mut());
    // SAFETY: the limit is whole, and a null old one says that we want none.
    match unsafe { libc::prlimit(child, libc::RLIMIT_NOFILE, &limit, old) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How often this thread was made to give its processor to another, counted from its start.
pub fn times_preempted() -> u64 {
    match getrusage(UsageWho::RUSAGE_THREAD) {
        Ok(usage) => usage.involuntary_context_switches() as u64,
        Err(_) => 0,
    }
}

/// The signals of every Linux that Rust's std supports, but MIPS, which has more.
const SIGNALS: std::ops::RangeInclusive<libc::c_int> = 1..=64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        os::fd::AsFd,
        process::{Command, Stdio},
    };

    #[test]
    fn parents_and_ancestors_are_found() {
        assert!(is_ancestor(parent()));
        assert!(!is_ancestor(std::process::id()));
        let grandparent = parent_of(parent()).unwrap();
        assert!(grandparent == 0 || is_ancestor(grandparent));
    }

    #[test]
    fn what_a_sandbox_forbids_is_told_before_there_are_children() {
        can_reap().unwrap();
        let within = || {
            // It holds for this thread alone.
            forbid(libc::SYS_waitid);
            can_reap().unwrap_err()
        };
        let error = std::thread::spawn(within).join().unwrap();
        let said = crate::limit::explain(&error);
        assert!(said.contains("seccomp=unconfined"), "{said}");
    }

    /// Has the kernel refuse this call to this thread, as what runs containers does.
    fn forbid(call: libc::c_long) {
        let step = |code: u32, jt, jf, k| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        let refusal = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let mut steps = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                0,
                1,
                call as u32,
            ),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, refusal),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let filter = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        prctl::set_no_new_privs().unwrap();
        let mode = libc::SECCOMP_MODE_FILTER;
        // SAFETY: the filter and its steps are alive, and the kernel copies them.
        let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
    }

    #[test]
    fn children_are_listed_until_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let is_listed = |id| children().contains(&id);
        assert!(is_listed(child.id()));
        drop(child.stdin.take());
        reap_adopted(|_| true);
        assert!(child.wait().unwrap().success());
        assert!(!is_listed(child.id()));
    }

    #[test]
    fn an_adopted_zombie_is_reaped_and_our_own_child_is_not() {
        become_subreaper().unwrap();
        // The shell prints the id of a child that it leaves behind, and that child ends when its input does.
        let script = "cat <&3 >/dev/null & echo $!";
        let mut shell = Command::new("sh")
            .args(["-c", &format!("exec 3<&0; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let orphan: u32 = line.trim().parse().unwrap();
        let input = shell.stdin.take();
        assert!(shell.wait().unwrap().success());
        assert!(children().contains(&orphan));
        drop(input);
        let mine = Command::new("true").spawn().unwrap();
        let mine_id = mine.id();
        while children().contains(&orphan) {
            // Tests beside this one wait for children of their own: only the orphan is a stranger here.
            reap_adopted(|child| child != orphan);
            std::thread::yield_now();
        }
        assert!(children().contains(&mine_id));
        let mut mine = mine;
        assert!(mine.wait().unwrap().success());
    }

    #[test]
    fn a_pipe_is_held_by_whoever_can_write_to_it() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        assert!(holds(child.id(), output.as_fd()));
        let (other, _writer) = io::pipe().unwrap();
        assert!(!holds(child.id(), other.as_fd()));
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert!(!holds(child.id(), output.as_fd()));
    }

    #[test]
    fn masks_are_set_and_read_back() {
        let before = blocked_signals();
        let mask = before | 1 << (libc::SIGUSR2 - 1) | 1 << 63;
        set_blocked_signals(mask);
        assert_eq!(blocked_signals(), mask);
        let inherited = std::thread::spawn(blocked_signals).join().unwrap();
        assert_eq!(inherited, mask);
        set_blocked_signals(before);
        assert_eq!(blocked_signals(), before);
    }

    #[test]
    fn the_soft_limit_rises_to_the_hard_one() {
        let before = raise_descriptor_limit().unwrap();
        let now = descriptor_limit().unwrap();
        assert_eq!((now.soft, now.hard), (before.hard, before.hard));
    }
}
