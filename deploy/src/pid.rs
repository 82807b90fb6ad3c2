//! A process as users hold it: its identity, and what can be asked of it.

use crate::{error::WaitError, process};
use deploy_wire::{exit::ExitStatus, pid};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A process of the job, wherever it runs.
///
/// It stays equal to itself wherever it is sent, is never given to another process, and prints as seven hexadecimal
/// digits that are unique within the job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub(crate) pid::Pid);

impl Pid {
    /// Blocks until the process has ended, and says how. The process need not be a child of this one.
    pub fn wait(self) -> Result<ExitStatus, WaitError> {
        let process = process::current();
        process.links.hub.flush();
        process.control.wait(self.0).ok_or(WaitError::Unknown)
    }

    /// Ends the process and everything it left running, by SIGKILL. Returns as soon as the signal is on its way; a
    /// process that has ended already stays as it is. What it had sent may be lost.
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
