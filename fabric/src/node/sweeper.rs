//! What jobs leave on the disk goes on a thread: one may have made a million files, or the disk may stand still, and the node
//! may wait for neither, which is to answer its master and to kill in time.
//!
//! Deliberately absent: whatever lives there, which has ended before anything comes here.

use super::dwelling::User;
use deploy_sys::tell;
use std::{
    fs, io,
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

/// What is left of one job.
#[derive(Debug)]
pub(super) struct Leavings {
    /// Its directory.
    pub path: PathBuf,
    /// By what other name its program was open.
    pub program: Option<PathBuf>,
    /// Who owns it all. It is nobody else's before all is gone.
    pub user: Option<User>,
}

/// The thread. Dropping this waits for it, but not for long: the next daemon removes what is still there.
#[derive(Debug)]
pub(super) struct Sweeper {
    /// As many wait there as jobs have ended whose directories still are: those are far larger.
    left: Option<Sender<Leavings>>,
    /// Ends when the thread does.
    end: Receiver<()>,
}

impl Sweeper {
    /// One that does this with each, in turn.
    pub(super) fn hire(mut sweep: impl FnMut(Leavings) + Send + 'static) -> io::Result<Sweeper> {
        let (left, waiting) = channel();
        let (until_the_end, end) = channel();
        let thread = thread::Builder::new().name("sweeper".to_string());
        thread.spawn(move || {
            let _until_the_end: Sender<()> = until_the_end;
            waiting.into_iter().for_each(&mut sweep);
        })?;
        Ok(Sweeper {
            left: Some(left),
            end,
        })
    }

    /// Where to put what is left.
    pub(super) fn bin(&self) -> Sender<Leavings> {
        self.left
            .clone()
            .expect("it is there until this is dropped")
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.left = None;
        let _ = self.end.recv_timeout(PATIENCE); // Nothing ever comes: it ends, or is left behind.
    }
}

impl Leavings {
    /// Removes it.
    pub(super) fn remove(self) {
        let Leavings {
            path,
            program,
            user,
        } = self;
        if let Err(error) = fs::remove_dir_all(&path) {
            tell!("{} could not be removed: {error}", path.display());
        }
        if let Some(program) = program {
            let _ = fs::remove_file(program); // It may have got none.
        }
        drop(user);
    }
}

/// Who stops a daemon waits for it, and a directory of a usual job is gone in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
