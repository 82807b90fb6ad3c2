//! A process as users hold it: its identity, and what can be asked of it.

use crate::{error::WaitError, park, process};
use deploy_wire::{exit::ExitStatus, pid};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    panic::Location,
    pin::pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// A process of the job, wherever it runs.
///
/// It stays equal to itself wherever it is sent, is never given to another process, and prints as seven hexadecimal
/// digits that are unique within the job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub(crate) pid::Pid);

impl Pid {
    /// Blocks until the process has ended and all that it printed was taken, and says how it ended. The process need not be
    /// a child of this one, and may have ended long ago.
    ///
    /// ```no_run
    /// # use deploy::*;
    /// # fn sort(_parent: Pid, (): ()) {}
    /// # init(Resources::default());
    /// let pid = spawn(sort, (), Resources::default()).expect("Out of resources!");
    /// let status = pid.wait().expect("it is of this job");
    /// if status.is_failure() {
    ///     eprintln!("{pid} exited: {status}"); // `101`, `SIGSEGV`, `SIGKILL (out of memory: ..)`
    /// }
    /// ```
    ///
    /// # Errors
    /// [`WaitError::Unknown`] if it never was a process of this job.
    ///
    /// # Panics
    /// If `init` was not called.
    #[track_caller]
    pub fn wait(self) -> Result<ExitStatus, WaitError> {
        let at = Location::caller();
        let process = process::current();
        process.links.hub.flush();
        process.control.wait(self.0, at).ok_or(WaitError::Unknown)
    }

    /// The same, but for no longer than `timeout`: nothing, if no word of its end has come by then. The answer takes a fraction
    /// of a millisecond, on a cluster more: with no time at all, one that has ended is found now and then.
    ///
    /// # Errors
    /// As for [`Pid::wait`].
    ///
    /// ```no_run
    /// # use deploy::*; use std::time::Duration;
    /// fn stop(pid: Pid) -> Result<ExitStatus, WaitError> {
    ///     if let Some(status) = pid.wait_timeout(Duration::from_secs(10))? {
    ///         return Ok(status);
    ///     }
    ///     pid.kill()?;
    ///     pid.wait()
    /// }
    /// ```
    #[track_caller]
    pub fn wait_timeout(self, timeout: Duration) -> Result<Option<ExitStatus>, WaitError> {
        // A time too long to be told ends never.
        let deadline = Instant::now().checked_add(timeout);
        let mut wait = pin!(self.wait_async());
        let ended = park::until(deadline, |waker| {
            match wait.as_mut().poll(&mut Context::from_waker(waker)) {
                Poll::Ready(status) => Some(status),
                Poll::Pending => None,
            }
        });
        ended.transpose()
    }

    /// [`Pid::wait`] for tasks: completes when the process has ended, and blocks no thread. It can be dropped at any time.
    ///
    /// # Errors
    /// As for [`Pid::wait`].
    ///
    /// ```no_run
    /// # use deploy::*;
    /// async fn all_well(pids: &[Pid]) -> bool {
    ///     for pid in pids {
    ///         if !pid.wait_async().await.is_ok_and(|status| status.success()) {
    ///             return false;
    ///         }
    ///     }
    ///     true
    /// }
    /// ```
    #[track_caller]
    pub fn wait_async(
        self,
    ) -> impl Future<Output = Result<ExitStatus, WaitError>> + Send + 'static {
        let at = Location::caller();
        let process = process::current();
        async move {
            process.links.hub.flush();
            let status = process.control.wait_async(self.0, at).await;
            status.ok_or(WaitError::Unknown)
        }
    }

    /// Ends the process and everything it left running, by SIGKILL. Returns as soon as the signal is on its way; a
    /// process that has ended already stays as it is. What it had sent may be lost.
    ///
    /// # Errors
    /// [`WaitError::Unknown`] if it never was a process of this job.
    ///
    /// # Panics
    /// If `init` was not called.
    pub fn kill(self) -> Result<(), WaitError> {
        if process::current().control.kill(self.0) {
            Ok(())
        } else {
            Err(WaitError::Unknown)
        }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
