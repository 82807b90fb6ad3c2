//! Why a node is lost to its cluster, in words: for whoever looks after the master, and for whoever asks how a process ended.
//!
//! Deliberately absent: when that is so (`nodes.rs`).

/// One reason for each way that there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Loss {
    /// It has not answered for so long that it has killed its jobs by itself.
    Silence,
    /// It was stopped, and has said so.
    Stopped,
    /// It is no member any more, and has said goodbye.
    Removed,
    /// It has come back without the jobs that it had.
    Anew,
    /// It has said what cannot be, and this is what.
    Nonsense(String),
    /// The master was started again and knows nothing of it.
    Unknown,
    /// It is a person's own machine, which is away.
    Away,
}

impl Loss {
    /// What brought it about, in words that follow "by".
    pub fn by(&self) -> String {
        let words = match self {
            Loss::Silence => "12 s of silence",
            Loss::Stopped => "the end of its daemon, which was stopped",
            Loss::Removed => "its removal from the cluster",
            Loss::Anew => {
                "a new beginning of its daemon, which was started again or cut off for more than 10 s"
            }
            Loss::Nonsense(what) => {
                return format!(
                    "a report that makes no sense, which is an error in Deploy: {what}"
                );
            }
            Loss::Unknown => "the end of the master that knew it",
            Loss::Away => "the end of its person's connection",
        };
        words.to_string()
    }

    /// What whoever looks after the master is told of a node of this name.
    pub fn note(&self, name: &str) -> String {
        match self {
            Loss::Stopped | Loss::Removed => format!("node {name} has stopped"),
            Loss::Anew => format!("what ran on node {name} is lost, by {}", self.by()),
            _ => format!("node {name} is lost, by {}", self.by()),
        }
    }
}
