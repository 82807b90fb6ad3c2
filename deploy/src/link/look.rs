//! As whom one looks at a connection, and what a look brings.
//!
//! Deliberately absent: the connection.

/// As whom a thread that waits looks at its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// It looks again and again.
    Spinner,
    /// It is about to sleep, and does not read.
    Sleeper,
    /// It slept on the socket, and nobody else reads.
    Owner,
}

/// What one look at a connection brought.
#[derive(Debug)]
pub(crate) enum Look<R> {
    /// What was looked for.
    Found(R),
    /// Something else: look again.
    Something,
    /// Nothing yet: wait for the socket.
    Nothing,
    /// Nothing, and the socket is not what to wait for: it has ended, or is not there yet, or another thread is at
    /// work there. The bell will ring.
    Idle,
}

impl<R> Look<R> {
    /// What was found, or nothing yet.
    pub(crate) fn of(found: Option<R>) -> Look<R> {
        found.map_or(Look::Nothing, Look::Found)
    }

    /// What was found, if anything was.
    pub(crate) fn found(self) -> Option<R> {
        match self {
            Look::Found(found) => Some(found),
            _ => None,
        }
    }
}

impl<R> From<Read> for Look<R> {
    fn from(read: Read) -> Look<R> {
        match read {
            Read::Something => Look::Something,
            Read::Nothing => Look::Nothing,
            Read::Idle => Look::Idle,
        }
    }
}

/// What a try to read found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// Something: look again whether it is what you wait for.
    Something,
    /// Nothing yet.
    Nothing,
    /// Nothing ever again, or not yet connected: the socket is not what to wait for.
    Idle,
}
