//! What becomes known of the processes of a job, in the order in which it became known.
//!
//! Every process has exactly one `Spawned` and one `Exited`, and all its output and notes lie between them.

use crate::{
    bytes::{Malformed, Reader, Writer},
    exit::ExitStatus,
    fields::{read_pid, read_resources, read_status, write_pid, write_resources, write_status},
    pid::Pid,
    resources::Resources,
};

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

/// What stands, instead of a function that people know, before one that is called on the pool whose worker it is.
pub const POOL_OF: &str = "pool of ";

/// The two streams a process writes text to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Stream {
    /// Standard output, descriptor 1.
    Stdout,
    /// Standard error, descriptor 2.
    Stderr,
}

impl Event {
    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Event::Spawned {
                pid,
                parent,
                node,
                worker,
                resources,
            } => {
                write_pid(w.u8(1), *pid);
                w.option(*parent, write_pid).text(node).text(worker);
                write_resources(w, *resources);
            }
            Event::Output { pid, stream, bytes } => {
                write_pid(w.u8(2), *pid);
                stream.write(w);
                w.bytes(bytes);
            }
            Event::Noted { pid, text } => {
                write_pid(w.u8(3), *pid);
                w.text(text);
            }
            Event::Exited { pid, status } => {
                write_pid(w.u8(4), *pid);
                write_status(w, *status);
            }
        }
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Event, Malformed> {
        let kind = r.u8()?;
        let pid = read_pid(r)?;
        Ok(match kind {
            1 => Event::Spawned {
                pid,
                parent: r.option(read_pid)?,
                node: r.text()?.to_string(),
                worker: r.text()?.to_string(),
                resources: read_resources(r)?,
            },
            2 => Event::Output {
                pid,
                stream: Stream::read(r)?,
                bytes: r.bytes()?.to_vec(),
            },
            3 => Event::Noted {
                pid,
                text: r.text()?.to_string(),
            },
            4 => Event::Exited {
                pid,
                status: read_status(r)?,
            },
            _ => return Err(Malformed("an unknown event")),
        })
    }
}

impl Stream {
    /// The number of the descriptor behind it.
    pub const fn descriptor(self) -> i32 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }

    /// As one byte of a message: its descriptor's number.
    pub fn write(self, w: &mut Writer) {
        w.u8(self.descriptor() as u8);
    }

    /// What [`Stream::write`] wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<Stream, Malformed> {
        match r.u8()? {
            1 => Ok(Stream::Stdout),
            2 => Ok(Stream::Stderr),
            _ => Err(Malformed("an unknown stream")),
        }
    }
}
