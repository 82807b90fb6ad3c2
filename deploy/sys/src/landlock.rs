//! A directory that this process and all that it starts cannot use any more, though its files are the same user's: by the
//! kernel's Landlock, which needs no rights.
//!
//! Deliberately absent: which directory, and any other limit of what Landlock can bound.
//!
//! # Forbidding by allowing
//! Landlock forbids everything and allows what lies beneath what is named. So all is named that lies beside the way from
//! the root to the directory. What somebody makes later in a directory on the way is not allowed with it; nor may be
//! anything made there. Names can be listed everywhere, and nothing open is taken away.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

/// Whether this kernel can do it.
pub fn is_there() -> bool {
    version() >= VERSION_MIN
}

/// Keeps this thread, and all that it starts from now on, out of a directory, but for what of it is named, and from
/// sending signals to processes that are not kept out of it too, where the kernel can do that.
///
/// # Errors
/// If the kernel refuses, or new privileges were not given up before.
pub fn keep_out(directory: &Path, but_for: &[BorrowedFd]) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let rules = Rules::new(version())?;
    for above in directory.ancestors().skip(1) {
        let way = directory
            .ancestors()
            .find(|way| way.parent() == Some(above));
        for beside in fs::read_dir(above).into_iter().flatten().flatten() {
            if Some(&*beside.path()) != way {
                rules.allow_named(&beside.path());
            }
        }
    }
    for file in but_for {
        rules.allow(*file)?;
    }
    rules.obey()
}

struct Rules {
    set: OwnedFd,
    handled: u64,
}

impl Rules {
    fn new(version: u32) -> io::Result<Rules> {
        let handled = match version {
            0..3 => CHANGE | READ_FILE | WRITE_FILE,
            _ => CHANGE | READ_FILE | WRITE_FILE | TRUNCATE,
        };
        let about = RulesetAbout {
            handled_fs: handled,
            handled_net: 0,
            scoped: SCOPE_SIGNAL,
        };
        let size = match version {
            0..6 => size_of::<u64>(),
            _ => size_of::<RulesetAbout>(),
        };
        // SAFETY: the kernel reads `size` bytes, which lie within `about`, and keeps no reference.
        let set = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &about, size, 0) };
        let set = checked(set)?;
        // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
        let set = unsafe { OwnedFd::from_raw_fd(set as i32) };
        Ok(Rules { set, handled })
    }

    /// What is gone by now, or of no kind that rules are about, needs no rule.
    fn allow_named(&self, path: &Path) {
        let mut options = fs::File::options();
        let name = options
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW);
        if let Ok(file) = name.open(path) {
            let _ = self.allow(file.as_fd());
        }
    }

    fn allow(&self, file: BorrowedFd) -> io::Result<()> {
        let is_directory = fs::metadata(format!("/proc/self/fd/{}", file.as_raw_fd()))?.is_dir();
        let rule = Beneath {
            allowed: match is_directory {
                true => self.handled,
                false => self.handled & (READ_FILE | WRITE_FILE | TRUNCATE),
            },
            parent: file.as_raw_fd(),
        };
        // SAFETY: the kernel reads a `Beneath`, which `rule` is, and keeps no reference; both descriptors are open.
        let added = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.set.as_raw_fd(),
                RULE_PATH_BENEATH,
                &rule,
                0,
            )
        };
        match checked(added) {
            // A file that has no path is never forbidden.
            Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(()),
            added => added.map(|_| ()),
        }
    }

    fn obey(&self) -> io::Result<()> {
        let set = self.set.as_raw_fd();
        // SAFETY: the call takes two numbers, and the descriptor is open.
        checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, set, 0) }).map(|_| ())
    }
}

/// Which version of it the kernel has; 0 is none.
fn version() -> u32 {
    let nothing = std::ptr::null::<RulesetAbout>();
    // SAFETY: asked for its version the kernel reads nothing.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, ASK_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

fn checked(returned: libc::c_long) -> io::Result<libc::c_long> {
    match returned {
        0.. => Ok(returned),
        _ => Err(io::Error::last_os_error()),
    }
}

#[repr(C)]
struct RulesetAbout {
    handled_fs: u64,
    handled_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: i32,
}

/// Before it files could be moved from no directory to another.
const VERSION_MIN: u32 = 2;
const ASK_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
/// To remove and to make entries of whatever kind, and to move them elsewhere: bits 4 to 13.
const CHANGE: u64 = 0x3ff0;
/// From the third version on.
const TRUNCATE: u64 = 1 << 14;
/// From the sixth version on.
const SCOPE_SIGNAL: u64 = 1 << 1;

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::{prctl, signal::kill};
    use std::{
        fs::File,
        process::{Child, Command},
        thread,
    };

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn what_is_kept_out_uses_nothing_there_but_what_is_named_and_all_elsewhere() {
        if !is_there() {
            eprintln!("skipped: this kernel has no Landlock");
            return;
        }
        let root =
            std::env::temp_dir().join(format!("deploy-test-landlock-{}", std::process::id()));
        let (hidden, own) = (root.join("a/hidden"), root.join("a/hidden/own"));
        fs::create_dir_all(&own).unwrap();
        fs::create_dir_all(root.join("beside")).unwrap();
        for file in [
            "a/hidden/secret",
            "a/hidden/program",
            "a/near",
            "beside/far",
        ] {
            fs::write(root.join(file), file).unwrap();
        }
        let other = Sleeper(Command::new("sleep").arg("1000").spawn().unwrap());
        let other_pid = nix::unistd::Pid::from_raw(other.0.id() as i32);
        let held = File::open(hidden.join("secret")).unwrap();
        // It is a thread that is kept out.
        let kept = || {
            prctl::set_no_new_privs().unwrap();
            let named = [
                File::open(&own).unwrap(),
                File::open(hidden.join("program")).unwrap(),
            ];
            keep_out(&hidden, &[named[0].as_fd(), named[1].as_fd()]).unwrap();
            let denied = |result: io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            };
            denied(fs::read(hidden.join("secret")).map(drop));
            denied(fs::write(hidden.join("secret"), "x"));
            denied(fs::remove_file(hidden.join("secret")));
            denied(fs::write(hidden.join("new"), "x"));
            fs::write(own.join("x"), "x").unwrap();
            assert!(fs::rename(own.join("x"), hidden.join("secret")).is_err());
            assert_eq!(
                fs::read(hidden.join("program")).unwrap(),
                b"a/hidden/program"
            );
            for place in [&own, &root.join("beside")] {
                fs::create_dir(place.join("dir")).unwrap();
                fs::write(place.join("one"), "1").unwrap();
                fs::rename(place.join("one"), place.join("dir/two")).unwrap();
                assert_eq!(fs::read(place.join("dir/two")).unwrap(), b"1");
            }
            fs::rename(own.join("dir/two"), root.join("beside/moved")).unwrap();
            assert_eq!(fs::read(root.join("a/near")).unwrap(), b"a/near");
            denied(fs::write(root.join("a/new"), "x"));
            let started = Command::new("cat")
                .arg(hidden.join("secret"))
                .output()
                .unwrap();
            assert!(!started.status.success());
            if version() >= 6 {
                assert_eq!(kill(other_pid, None), Err(nix::errno::Errno::EPERM));
            }
        };
        thread::scope(|scope| scope.spawn(kept).join()).unwrap();
        use io::Read;
        let mut text = String::new();
        (&held).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a/hidden/secret");
        kill(other_pid, None).unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
