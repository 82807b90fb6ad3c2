//! What a process asks of its monitor.

use crate::{
    bytes::{Malformed, Reader, Writer},
    fields::{read_pid, read_resources, write_pid, write_resources},
    pid::Pid,
    resources::Resources,
    wait::Waits,
};

/// Asked by a process of its monitor.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// Start a process. Beside it: the argument's file, if the argument is [`Argument::File`].
    Spawn(Box<SpawnRequest>),
    /// Connect me to this process, now or once it can be; answered by `Connected` or `Ended`, once for each peer.
    Connect {
        /// Whom to connect to.
        peer: Pid,
    },
    /// Tell me when this process has ended.
    Wait {
        /// Repeated in the answer.
        id: u64,
        /// Whose end.
        pid: Pid,
    },
    /// End this process, by SIGKILL.
    Kill {
        /// Repeated in the answer.
        id: u64,
        /// Whom to end.
        pid: Pid,
    },
    /// I am the initial process, and need more or less than I was started with; answered by `Granted`. Where there is
    /// no room for it, another takes my place, or the job ends.
    Need {
        /// Repeated in the answer.
        id: u64,
        /// What I need.
        resources: Resources,
    },
    /// My connection to this process has ended and I was not told why; answered by `Lives`, if it does, and it is told of this
    /// (`Broken`). If it has ended, `Ended` comes as always.
    Doubt {
        /// Whose life.
        peer: Pid,
    },
    /// I wait no more: start nothing for this request, if nothing was started yet, or do not tell me of an end. It is
    /// not answered, nor is the request, unless its answer is on the way.
    Withdraw {
        /// The request's.
        id: u64,
        /// Whose end was waited for; nothing, if the request is a `Spawn`.
        of: Option<Pid>,
    },
    /// This is what I have waited for, for longer than a moment, from now on until I say otherwise.
    Waits(Waits),
}

/// A process to start.
#[derive(Clone, PartialEq, Debug)]
pub struct SpawnRequest {
    /// Repeated in the answer.
    pub id: u64,
    /// What it runs.
    pub function: Function,
    /// What it runs it with.
    pub argument: Argument,
    /// A name for people; the function's, if none.
    pub name: Option<String>,
    /// What it needs.
    pub resources: Resources,
    /// The only node it may be placed on.
    pub node: Option<String>,
    /// Queue until it fits rather than refuse.
    pub wait: bool,
    /// End it when its parent ends.
    pub link: bool,
}

/// A function of the program, found again in another process of the same image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Where its entry lies, in bytes from where the executable was loaded.
    pub offset: i64,
    /// What people call it.
    pub name: String,
}

/// The encoded argument of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// In the message.
    Inline(Vec<u8>),
    /// In a file beside the message, this many bytes.
    File {
        /// The file's length.
        len: u64,
    },
}

/// The longest argument that travels inside a message: a packet must fit the kernel's default socket buffer
/// (208 KiB) with room to spare.
pub const ARGUMENT_INLINE_BYTES_MAX: usize = 64 << 10;

impl Request {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Request::Spawn(spawn) => {
                w.u8(1).u64(spawn.id);
                spawn.function.write(&mut w);
                spawn.argument.write(&mut w);
                w.option(spawn.name.as_deref(), |w, name| {
                    w.name(name);
                });
                write_resources(&mut w, spawn.resources);
                w.option(spawn.node.as_deref(), |w, node| {
                    w.name(node);
                });
                w.bool(spawn.wait).bool(spawn.link);
            }
            Request::Connect { peer } => write_pid(w.u8(2), *peer),
            Request::Wait { id, pid } => write_pid(w.u8(3).u64(*id), *pid),
            Request::Kill { id, pid } => write_pid(w.u8(4).u64(*id), *pid),
            Request::Withdraw { id, of } => {
                w.u8(7).u64(*id).option(*of, write_pid);
            }
            Request::Doubt { peer } => write_pid(w.u8(6), *peer),
            Request::Need { id, resources } => write_resources(w.u8(8).u64(*id), *resources),
            Request::Waits(waits) => waits.write(w.u8(5)),
        }
        w.finish()
    }

    /// The request in these bytes.
    pub fn decode(message: &[u8]) -> Result<Request, Malformed> {
        let r = &mut Reader::new(message);
        Ok(match r.u8()? {
            1 => Request::Spawn(Box::new(SpawnRequest {
                id: r.u64()?,
                function: Function::read(r)?,
                argument: Argument::read(r)?,
                name: r.option(|r| r.name().map(str::to_string))?,
                resources: read_resources(r)?,
                node: r.option(|r| r.name().map(str::to_string))?,
                wait: r.bool()?,
                link: r.bool()?,
            })),
            2 => Request::Connect { peer: read_pid(r)? },
            3 => Request::Wait {
                id: r.u64()?,
                pid: read_pid(r)?,
            },
            4 => Request::Kill {
                id: r.u64()?,
                pid: read_pid(r)?,
            },
            8 => Request::Need {
                id: r.u64()?,
                resources: read_resources(r)?,
            },
            7 => Request::Withdraw {
                id: r.u64()?,
                of: r.option(read_pid)?,
            },
            6 => Request::Doubt { peer: read_pid(r)? },
            5 => Request::Waits(Waits::read(r)?),
            _ => return Err(Malformed("an unknown request")),
        })
    }
}

impl Function {
    pub(crate) fn write(&self, w: &mut Writer) {
        w.i64(self.offset).name(&self.name);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Function, Malformed> {
        Ok(Function {
            offset: r.i64()?,
            name: r.name()?.to_string(),
        })
    }
}

impl Argument {
    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Argument::Inline(bytes) => {
                assert!(
                    bytes.len() <= ARGUMENT_INLINE_BYTES_MAX,
                    "longer arguments travel as files"
                );
                w.u8(0).bytes(bytes)
            }
            Argument::File { len } => w.u8(1).u64(*len),
        };
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Argument, Malformed> {
        Ok(match r.u8()? {
            0 => match r.bytes()? {
                bytes if bytes.len() <= ARGUMENT_INLINE_BYTES_MAX => {
                    Argument::Inline(bytes.to_vec())
                }
                _ => return Err(Malformed("an argument is too long to travel inside")),
            },
            1 => Argument::File { len: r.u64()? },
            _ => return Err(Malformed("an unknown kind of argument")),
        })
    }
}
