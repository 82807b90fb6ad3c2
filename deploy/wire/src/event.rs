//! What becomes known of the processes of a job, in the order in which it became known.
//!
//! Every process has exactly one `Spawned` and one `Exited`, and all its output and notes lie between them.

use crate::{exit::ExitStatus, pid::Pid, resources::Resources};

/// One thing that happened to one process.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A process began.
    Spawned {
        /// Who it is.
        pid: Pid,
        /// Who asked for it; nobody, for the initial process.
        parent: Option<Pid>,
        /// The name of the machine it runs on: `local` when the program runs alone.
        node: String,
        /// The function it runs.
        worker: String,
        /// What it asked for.
        resources: Resources,
    },
    /// A process wrote.
    Output {
        /// Who wrote.
        pid: Pid,
        /// On which of its two streams.
        stream: Stream,
        /// What, exactly; not empty.
        bytes: Vec<u8>,
    },
    /// Something that a person may want to know of a process.
    Noted {
        /// Of whom.
        pid: Pid,
        /// One line.
        text: String,
    },
    /// A process ended; nothing more comes from it.
    Exited {
        /// Who ended.
        pid: Pid,
        /// How.
        status: ExitStatus,
    },
}

/// The two streams a process writes text to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// Standard output, descriptor 1.
    Stdout,
    /// Standard error, descriptor 2.
    Stderr,
}

impl Stream {
    /// The number of the descriptor behind it.
    pub const fn descriptor(self) -> i32 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }
}
