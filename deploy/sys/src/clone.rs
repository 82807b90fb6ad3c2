//! Starts a program right inside a control group, by `clone3`, where kernel and processor allow it.
//!
//! Everywhere else this fails before anything has happened, and [`crate::launch`] has the plain way.
//!
//! # Why
//! To move a running process into a group, the kernel waits until no process anywhere is just being started or
//! ended: usually for microseconds, at times for 7 ms, during which nothing on the machine can be started. A process
//! born in its group costs nothing of the kind.
//!
//! # How
//! As `posix_spawn` does it: the child shares our memory, on a stack of its own, while the calling thread is stopped
//! until it has executed its program. All signals are blocked meanwhile, and the child has no handlers of ours, so it
//! makes system calls and nothing else.

use crate::pidfd::Process;
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// What the child does, in this order, with pointers that live until it has executed its program.
pub(crate) struct Plan {
    /// It has no descriptor from this number on; all that we have, if none.
    pub(crate) without_from: Option<libc::c_uint>,
    /// Each first descriptor is duplicated onto the second number. The two differ.
    pub(crate) duplicates: [Option<(RawFd, RawFd)>; 3],
    /// The first is not closed by the exec, under the second number, which may be the same.
    pub(crate) kept: (RawFd, RawFd),
    /// Blocked when the program begins.
    pub(crate) blocked: libc::sigset_t,
    /// The program's file.
    pub(crate) program: *const libc::c_char,
    /// Its arguments, ended by a null.
    pub(crate) arguments: *const *const libc::c_char,
    /// Its environment, ended by a null.
    pub(crate) environment: *const *const libc::c_char,
    /// Whether its descriptors are its own.
    pub(crate) has_own_table: bool,
    /// What went wrong, if something did.
    pub(crate) error: libc::c_int,
}

/// Why nothing was started.
pub(crate) enum Failure {
    /// There is no such way here; nothing was tried.
    Unavailable,
    /// The program could not be executed.
    Failed(io::Error),
}

/// Starts a program inside the group with this directory.
///
/// # Safety
/// The plan's pointers are valid: a string, and two lists of strings that end in a null.
pub(crate) unsafe fn start(plan: &mut Plan, group: BorrowedFd<'_>) -> Result<Process, Failure> {
    let mut stack = Vec::<u128>::with_capacity(STACK_BYTES / size_of::<u128>());
    let mut pidfd: RawFd = -1;
    let sharing = match plan.without_from {
        Some(_) => libc::CLONE_FILES as i64,
        None => 0,
    };
    let request = libc::clone_args {
        flags: (FLAGS | sharing) as u64,
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK_BYTES as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: group.as_raw_fd() as u64,
    };
    let before = block_all_signals();
    // SAFETY: the request is whole; the stack is ours, aligned, and alive until the child has left it, which is when
    // this returns; `live` keeps to what a child with our memory may do, and the caller vouches for the plan.
    let id = unsafe { clone(&request, live, plan) };
    // SAFETY: the set is the one that was in force, and a null old one says that we want none.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    if id < 0 {
        return Err(Failure::Unavailable);
    }
    // SAFETY: with CLONE_PIDFD the kernel has put a new descriptor there, closed on exec, owned by nobody else.
    let process = Process::from_parts(id as u32, unsafe { OwnedFd::from_raw_fd(pidfd) });
    if plan.error != 0 {
        let error = io::Error::from_raw_os_error(plan.error);
        process.wait().map_err(Failure::Failed)?;
        return Err(match plan.has_own_table {
            true => Failure::Failed(error),
            false => Failure::Unavailable,
        });
    }
    Ok(process)
}

fn block_all_signals() -> libc::sigset_t {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let all = crate::process::signal_set(u64::MAX);
    // SAFETY: the new set is initialised, and the old one is written whole.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, before.as_mut_ptr());
        before.assume_init()
    }
}

/// The child's life until its program begins.
extern "C" fn live(plan: *mut Plan) -> ! {
    // SAFETY: the plan is alive, and nobody else looks at it while the parent is stopped. Every call is a system call
    // that copes with whatever numbers it gets.
    unsafe {
        let plan = &mut *plan;
        plan.has_own_table = leave_shared_table(plan.without_from);
        let (kept, number) = plan.kept;
        // A program that knows nothing of us does not ask for it, and is to end with who started it like any other.
        let done = plan.has_own_table
            && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
            && plan
                .duplicates
                .iter()
                .flatten()
                .all(|(source, target)| libc::dup2(*source, *target) >= 0)
            && libc::dup2(kept, number) >= 0
            && libc::fcntl(number, libc::F_SETFD, 0) == 0
            && libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR
            && libc::sigprocmask(libc::SIG_SETMASK, &plan.blocked, ptr::null_mut()) == 0;
        if done {
            libc::execve(plan.program, plan.arguments, plan.environment);
        }
        plan.error = *libc::__errno_location();
        libc::_exit(127)
    }
}

/// Copies what the child needs of the table of descriptors that it shares with us, and nothing else: where thousands are
/// open, to copy them all and close them again at the exec takes longer than all the rest. Linux 5.9 can do it. Says whether
/// the child has a table of its own now.
///
/// # Safety
/// Only for such a child.
unsafe fn leave_shared_table(without_from: Option<libc::c_uint>) -> bool {
    let Some(first) = without_from else {
        return true; // It was born with one.
    };
    let flags = libc::CLOSE_RANGE_UNSHARE;
    // SAFETY: the call takes numbers only, and with this flag leaves our own table as it is.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) == 0 }
}

/// The system call, and in the child a call of `live` on the new stack. Negative if there is no child.
///
/// # Safety
/// As for the call itself: `request` describes a stack that nobody else uses, and `live` never returns.
#[cfg(target_arch = "x86_64")]
unsafe fn clone(
    request: &libc::clone_args,
    live: extern "C" fn(*mut Plan) -> !,
    plan: &mut Plan,
) -> i64 {
    let result: i64;
    // SAFETY: the child, which sees 0, leaves this code for good with an aligned stack of its own; the parent sees a
    // plain system call with its clobbers.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") request,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") plan,
            in("r13") live,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// The same for ARM.
///
/// # Safety
/// The same.
#[cfg(target_arch = "aarch64")]
unsafe fn clone(
    request: &libc::clone_args,
    live: extern "C" fn(*mut Plan) -> !,
    plan: &mut Plan,
) -> i64 {
    let result: i64;
    // SAFETY: the same.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x21",
            "blr x22",
            "brk 1",
            "2:",
            inlateout("x0") request => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x8") libc::SYS_clone3,
            in("x21") plan,
            in("x22") live,
        );
    }
    result
}

/// Other processors go the plain way.
///
/// # Safety
/// None is asked for.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone(_: &libc::clone_args, _: extern "C" fn(*mut Plan) -> !, _: &mut Plan) -> i64 {
    -1
}

/// The child shares our memory, and this thread stops until it has executed its program; the kernel takes our
/// handlers from it, puts it into the group, and gives us a descriptor for it.
const FLAGS: i64 = libc::CLONE_VM as i64
    | libc::CLONE_VFORK as i64
    | libc::CLONE_PIDFD as i64
    | CLONE_CLEAR_SIGHAND
    | CLONE_INTO_CGROUP;
/// From `linux/sched.h`; beyond the 32 bits of the C library's types on some systems.
const CLONE_CLEAR_SIGHAND: i64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: i64 = 0x2_0000_0000;
/// A few system calls need a few hundred bytes; with room for a dynamic linker that resolves them on first use.
const STACK_BYTES: usize = 32 << 10;
