//! The namespaces of a host, and of the switch.

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    unistd::sethostname,
};
use std::{fs::File, io, path::Path, thread};

/// Namespaces that exist for as long as these are open.
#[derive(Debug)]
pub(super) struct Spaces {
    pub(super) net: File,
    /// Of the host's name and of its mounts; the switch has none.
    own: Option<(File, File)>,
}

impl Spaces {
    pub(super) fn of_switch() -> io::Result<Spaces> {
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(Spaces {
                net: File::open("/proc/thread-self/ns/net")?,
                own: None,
            })
        })
    }

    pub(super) fn of_host(name: &str, disk: &Path) -> io::Result<Spaces> {
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS)?;
            sethostname(name)?;
            let nothing: Option<&str> = None;
            let is_own = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(nothing, "/", nothing, is_own, nothing)?;
            mount(Some(disk), "/var/lib", nothing, MsFlags::MS_BIND, nothing)?;
            let open = |kind| File::open(format!("/proc/thread-self/ns/{kind}"));
            Ok(Spaces {
                net: open("net")?,
                own: Some((open("uts")?, open("mnt")?)),
            })
        })
    }

    pub(super) fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            self.enter().expect("the superuser may enter namespaces");
            act()
        })
    }

    fn enter(&self) -> nix::Result<()> {
        setns(&self.net, CloneFlags::CLONE_NEWNET)?;
        let Some((uts, mounts)) = &self.own else {
            return Ok(());
        };
        setns(uts, CloneFlags::CLONE_NEWUTS)?;
        // Threads that share a working directory cannot be in different mount namespaces.
        unshare(CloneFlags::CLONE_FS)?;
        let here = std::env::current_dir();
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
        here.map_or(Ok(()), |here| nix::unistd::chdir(&here))
    }
}

/// Namespaces belong to threads, and are inherited by those and the processes that a thread starts.
pub(super) fn on_a_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let ended = scope.spawn(act).join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
