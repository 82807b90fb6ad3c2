//! How a process ended: what the kernel says, and why it came to that where we know.

use crate::resources::Mem;
#[cfg(feature = "protocol")]
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
pub struct ExitStatus {
    end: End,
    reason: Option<Reason>,
}

/// What the kernel says of an end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
pub enum End {
    /// It returned, or called `exit`, with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// Why a process ended, where somebody other than itself brought it about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Reason {
    /// A process of the job called `kill` on it.
    Killed,
    /// It was linked to its parent, which ended first.
    Linked,
    /// A person sent the signal, from the terminal or from outside the job.
    Interrupted,
    /// It needed more memory than it was granted.
    OutOfMemory(Shortage),
    /// Its node was lost to the cluster, which kills what ran there before anybody is told.
    NodeLost,
    /// What watches over the job's processes on its node was killed, and they are killed with it.
    Orphaned,
}

/// What a process had of memory when the kernel killed it for want of more, with all that it had started.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "protocol", derive(Serialize, Deserialize))]
pub struct Shortage {
    /// The most that it may use.
    pub limit: Mem,
    /// The most that it did use: the kernel refuses what would have been more.
    pub peak: Mem,
}

impl ExitStatus {
    /// The end the kernel reported, brought about by the process itself or by a stranger.
    pub const fn new(end: End) -> ExitStatus {
        ExitStatus { end, reason: None }
    }

    /// The same end, with why it came about.
    pub const fn because(self, reason: Reason) -> ExitStatus {
        ExitStatus {
            end: self.end,
            reason: Some(reason),
        }
    }

    /// Whether it ended by itself with code 0.
    pub const fn success(self) -> bool {
        matches!(self.end, End::Code(0))
    }

    /// Whether it failed, and by itself: nobody wanted this end.
    pub const fn is_failure(self) -> bool {
        let is_wanted = match self.reason {
            Some(reason) => reason.is_wanted(),
            None => false,
        };
        !self.success() && !is_wanted
    }

    /// Its exit code, unless a signal killed it.
    pub const fn code(self) -> Option<i32> {
        match self.end {
            End::Code(code) => Some(code),
            End::Signal(_) => None,
        }
    }

    /// The number of the signal that killed it.
    pub const fn signal(self) -> Option<i32> {
        match self.end {
            End::Signal(signal) => Some(signal),
            End::Code(_) => None,
        }
    }

    /// The name of the signal that killed it, such as `SIGKILL`.
    pub fn signal_name(self) -> Option<String> {
        self.signal().map(signal_name)
    }

    /// What the kernel said.
    pub const fn end(self) -> End {
        self.end
    }

    /// Why it ended, where somebody other than itself brought it about.
    pub const fn reason(self) -> Option<Reason> {
        self.reason
    }

    /// The code a shell shows for it: the exit code, or 128 and the signal.
    pub const fn shell_code(self) -> u8 {
        match self.end {
            End::Code(code) => code as u8,
            End::Signal(signal) => 128u8.wrapping_add(signal as u8),
        }
    }
}

impl Reason {
    /// The word for it in JSON and in programs that read our output.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Killed => "killed",
            Reason::Linked => "linked",
            Reason::Interrupted => "interrupted",
            Reason::OutOfMemory(_) => "oom",
            Reason::NodeLost => "lost",
            Reason::Orphaned => "orphaned",
        }
    }

    /// Whether somebody wanted this end: then the job did not fail by it.
    pub const fn is_wanted(self) -> bool {
        match self {
            Reason::Killed | Reason::Linked | Reason::Interrupted => true,
            Reason::OutOfMemory(_) | Reason::NodeLost | Reason::Orphaned => false,
        }
    }
}

/// As the terminal shows it: `0`, `SIGKILL`, `SIGKILL (its parent ended)`.
impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            End::Code(code) => write!(f, "{code}")?,
            End::Signal(signal) => f.write_str(&signal_name(signal))?,
        }
        match self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Killed => "killed by a process of the job",
            Reason::Linked => "its parent ended",
            Reason::Interrupted => "interrupted",
            Reason::OutOfMemory(shortage) => return write!(f, "out of memory: {shortage}"),
            Reason::NodeLost => "lost with its node",
            Reason::Orphaned => "what watched over it on its node was killed",
        })
    }
}

/// `limit 64MiB, peak 63.9MiB`
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.peak.bytes().saturating_mul(10) / Mem::MIB.bytes();
        let (whole, part) = (tenths / 10, tenths % 10);
        write!(f, "limit {}, peak {whole}.{part}MiB", self.limit)
    }
}

fn signal_name(signal: i32) -> String {
    match SIGNAL_NAMES.get(signal as usize) {
        Some(name) if signal > 0 => format!("SIG{name}"),
        _ => format!("SIGRTMIN+{}", signal - RTMIN),
    }
}

/// Linux's numbers, the same on every architecture that Rust's std supports there but MIPS and SPARC.
const SIGNAL_NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// The first real-time signal that glibc leaves to programs.
const RTMIN: i32 = 34;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: ExitStatus, text: &str, shell_code: u8) {
        assert_eq!(status.to_string(), text);
        assert_eq!(status.shell_code(), shell_code);
    }

    #[test]
    fn ends_read_as_people_say_them() {
        check(ExitStatus::new(End::Code(0)), "0", 0);
        check(ExitStatus::new(End::Code(101)), "101", 101);
        check(ExitStatus::new(End::Signal(9)), "SIGKILL", 137);
        check(
            ExitStatus::new(End::Signal(9)).because(Reason::Linked),
            "SIGKILL (its parent ended)",
            137,
        );
        check(ExitStatus::new(End::Signal(34)), "SIGRTMIN+0", 162);
        let shortage = Shortage {
            limit: 64 * Mem::MIB,
            peak: Mem::B * 67_104_768,
        };
        check(
            ExitStatus::new(End::Signal(9)).because(Reason::OutOfMemory(shortage)),
            "SIGKILL (out of memory: limit 64MiB, peak 63.9MiB)",
            137,
        );
    }
}
