//! The ways in which processes end here, and how each end reads.
//!
//! Deliberately absent: how they are brought about.

use nix::sys::signal::Signal;

/// What brings a process to its end.
#[derive(PartialEq)]
pub enum Blow {
    /// It does it itself, or its parent does.
    Own,
    /// Somebody outside the job, when it runs.
    Stranger(Signal),
    /// `cargo deploy kill JOB/PID`.
    Person,
    /// `cargo deploy kill JOB`.
    PersonAll,
    /// Nobody comes back to a job whose client was killed.
    Nobody,
    Warden,
    Daemon,
    /// Somebody stops the daemon, as one should.
    Stop,
    /// Its node leaves the cluster.
    Leave,
}

/// One of them.
pub struct Way {
    pub name: &'static str,
    pub blow: Blow,
    /// What `recv`, `wait` and the terminal say, or how that begins.
    pub shown: &'static str,
    /// Why, in JSON.
    pub reason: &'static str,
    /// What `why` says, or a part of that.
    pub sentence: &'static str,
    /// What a person is told beside.
    pub note: Option<&'static str>,
}

impl Way {
    /// What becomes of the process alone: a code or a signal, and no reason.
    const fn plain(name: &'static str, shown: &'static str, sentence: &'static str) -> Way {
        Way::because(name, Blow::Own, "-", shown, sentence)
    }

    const fn because(
        name: &'static str,
        blow: Blow,
        reason: &'static str,
        shown: &'static str,
        sentence: &'static str,
    ) -> Way {
        Way {
            name,
            blow,
            shown,
            reason,
            sentence,
            note: None,
        }
    }

    const fn noted(self, note: &'static str) -> Way {
        Way {
            note: Some(note),
            ..self
        }
    }

    /// How it ended, in JSON: a code or a signal.
    pub fn how(&self) -> &'static str {
        self.shown.split(' ').next().unwrap_or_default()
    }

    /// Whether all of its job ends with it, also who observes.
    pub fn ends_all(&self) -> bool {
        matches!(self.blow, Blow::PersonAll | Blow::Nobody)
    }
}

pub const WAYS: [Way; 25] = [
    Way::plain("return", "0", "ended well"),
    Way::plain("exit 3", "3", "exited with code 3"),
    Way::plain("exit 255", "255", "exited with code 255"),
    Way::plain("panic", "101", "exited with code 101, as a panic does"),
    Way::plain("abort", "SIGABRT", "was ended by SIGABRT"),
    Way::plain("SIGSEGV", "SIGSEGV", "was ended by SIGSEGV"),
    Way::plain("SIGILL", "SIGILL", "was ended by SIGILL"),
    Way::plain("SIGFPE", "SIGFPE", "was ended by SIGFPE"),
    Way::plain("SIGBUS", "SIGBUS", "was ended by SIGBUS"),
    Way::plain("SIGTRAP", "SIGTRAP", "was ended by SIGTRAP"),
    Way::plain("SIGSYS", "SIGSYS", "was ended by SIGSYS"),
    Way::plain(
        "SIGKILL",
        "SIGKILL",
        "was ended by SIGKILL, which it raised itself or something",
    ),
    Way::because(
        "memory",
        Blow::Own,
        "oom",
        "SIGKILL (out of memory: limit 32MiB, peak 3",
        "needed more than the 32MiB of memory that it was granted (limit 32MiB, peak 3",
    ),
    Way::plain("threads", "101", "exited with code 101, as a panic does")
        .noted("it and what it started were 1024 processes and threads at once"),
    Way::plain("nonsense", "SIGKILL", "was ended by SIGKILL")
        .noted("what came on the descriptor that connects it to the first process makes no sense"),
    Way::because(
        "kill",
        Blow::Own,
        "killed",
        "SIGKILL (killed by a process of the job)",
        "was ended with SIGKILL by process ",
    ),
    Way::because(
        "link",
        Blow::Own,
        "linked",
        "SIGKILL (its parent ended)",
        "was ended by the end of process ",
    ),
    Way::because(
        "stranger",
        Blow::Stranger(Signal::SIGTERM),
        "-",
        "SIGTERM",
        "was ended by SIGTERM, which it raised itself or something",
    ),
    Way::because(
        "person",
        Blow::Person,
        "interrupted",
        "SIGKILL (interrupted)",
        "was ended with SIGKILL by ",
    ),
    Way::because(
        "person, all",
        Blow::PersonAll,
        "interrupted",
        "SIGKILL (interrupted)",
        "was ended with SIGKILL by ",
    ),
    Way::because(
        "nobody",
        Blow::Nobody,
        "interrupted",
        "SIGKILL (interrupted)",
        "was ended with SIGKILL by the master, because its person was gone for 60 s",
    ),
    Way::because(
        "warden",
        Blow::Warden,
        "orphaned",
        "SIGKILL (what watched over it on its node was killed)",
        "was killed, because what watches over the job's processes on n1 was",
    ),
    Way::because(
        "daemon",
        Blow::Daemon,
        "lost",
        "SIGKILL (lost with its node)",
        "was lost with its node n1, by a new beginning of its daemon",
    ),
    Way::because(
        "stop",
        Blow::Stop,
        "lost",
        "SIGKILL (lost with its node)",
        "was lost with its node n1, by the end of its daemon, which was stopped",
    ),
    Way::because(
        "leave",
        Blow::Leave,
        "lost",
        "SIGKILL (lost with its node)",
        "was lost with its node n1, by its removal from the cluster",
    ),
];

/// Why what nobody can begin cannot be begun.
pub const NOWHERE: &str = "no node is called \"nowhere\" or has that label";
