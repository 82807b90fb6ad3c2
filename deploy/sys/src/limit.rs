//! Which limit an error of the kernel names, and what can be done about it.
//!
//! Nothing is raised here, and nothing measured.

use nix::sys::resource::{Resource, getrlimit};
use std::io;

/// The error, and what to do where that is known.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(24);
/// assert!(deploy_sys::limit::explain(&error).ends_with("raise the limit on open files (ulimit -n)"));
/// ```
pub fn explain(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        // A thread whose stack finds no memory is told so too.
        Some(libc::EAGAIN) => {
            let memory = on_memory().map(|limit| format!(", or that on memory ({limit})"));
            let memory = memory.unwrap_or_default();
            format!(
                "raise the limit on processes and threads (ulimit -u, or pids.max of the control group){memory}"
            )
        }
        Some(libc::ENOMEM) => {
            let limit = on_memory().map(|limit| format!(" ({limit})"));
            format!(
                "free some memory, or raise the limit on it{}",
                limit.unwrap_or_default()
            )
        }
        number => match number.and_then(advice) {
            Some(advice) => advice.to_string(),
            None => return error.to_string(),
        },
    };
    format!("{error}; {advice}")
}

/// Where how this process is limited has nothing to do with it.
fn advice(number: i32) -> Option<&'static str> {
    Some(match number {
        libc::EMFILE => "raise the limit on open files (ulimit -n)",
        libc::ENFILE => "raise the system's limit on open files (sysctl fs.file-max)",
        libc::ENOSPC => "free some space, or raise the limit on it",
        libc::EFBIG => "raise the limit on the size of files, also of those in memory (ulimit -f)",
        libc::E2BIG => "shorten the arguments or the environment",
        libc::ENOENT => "put the program, or the command in DEPLOY_WRAP, where it can be found",
        libc::ENOSYS => "use Linux 5.4 or newer; valgrind and the like go into DEPLOY_WRAP",
        libc::EPERM => {
            "what runs this program forbids a system call, as an old Docker does: use a newer one, or let it (--security-opt \
             seccomp=unconfined)"
        }
        libc::EACCES => "make the program's file executable",
        _ => return None,
    })
}

/// What limits the memory of this process, as a shell says it.
fn on_memory() -> Option<String> {
    let kinds = [(Resource::RLIMIT_AS, "-v"), (Resource::RLIMIT_DATA, "-d")];
    kinds.iter().find_map(|(kind, flag)| {
        let limit = soft(*kind)?;
        Some(format!("ulimit {flag}, which is {}", limit >> 10))
    })
}

/// How much address space this process may have, in bytes, if that is limited.
pub fn address_space() -> Option<u64> {
    soft(Resource::RLIMIT_AS)
}

/// Whether a file may be as long as this. To try it would end the process (SIGXFSZ), where nobody said otherwise.
///
/// # Errors
/// If not.
pub fn check_file(bytes: u64) -> io::Result<()> {
    match soft(Resource::RLIMIT_FSIZE) {
        Some(limit) if bytes > limit => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(()),
    }
}

fn soft(kind: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(kind).ok()?;
    (soft != libc::RLIM_INFINITY).then_some(soft)
}

/// What the kernel says where there is no memory left.
pub fn no_memory() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOMEM)
}

/// What the kernel says where a process has no number left for one more open file.
pub fn no_descriptor() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}
