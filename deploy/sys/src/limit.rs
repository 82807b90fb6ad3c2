//! Which limit an error of the kernel names, and what can be done about it.
//!
//! Nothing is raised here, and nothing measured.

use std::io;

/// The error, and what to do where that is known.
///
/// ```
/// let error = std::io::Error::from_raw_os_error(24);
/// assert!(deploy_sys::limit::explain(&error).ends_with("raise the limit on open files (ulimit -n)"));
/// ```
pub fn explain(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            "raise the limit on processes and threads (ulimit -u, or pids.max of the control group)"
        }
        Some(libc::EMFILE) => "raise the limit on open files (ulimit -n)",
        Some(libc::ENFILE) => "raise the system's limit on open files (sysctl fs.file-max)",
        Some(libc::ENOMEM) => "free some memory, or raise the limit on it",
        Some(libc::ENOSPC) => "free some space, or raise the limit on it",
        Some(libc::E2BIG) => "shorten the arguments or the environment",
        Some(libc::ENOENT) => {
            "put the program, or the command in DEPLOY_WRAP, where it can be found"
        }
        Some(libc::ENOSYS) => "use Linux 5.4 or newer; valgrind and the like go into DEPLOY_WRAP",
        Some(libc::EPERM) => {
            "what runs this program forbids a system call, as an old Docker does: use a newer one, or let it (--security-opt \
             seccomp=unconfined)"
        }
        Some(libc::EACCES) => "make the program's file executable",
        _ => return error.to_string(),
    };
    format!("{error}; {advice}")
}

/// What the kernel says where a process has no number left for one more open file.
pub fn no_descriptor() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}
