//! What a process and its monitor say to each other after birth.
//!
//! A process asks with a [`Request`], the monitor answers or tells with a [`Notice`], each one packet on the socket
//! that the process was born with. Requests carry an id and their answers repeat it. Descriptors travel beside the
//! packet: at most one each, named in the variant's sentence.

pub use crate::refusal::{NodeResources, Refusal};
use crate::{
    bytes::{Malformed, Reader, Writer},
    exit::ExitStatus,
    fields::{read_pid, read_resources, read_status, write_pid, write_resources, write_status},
    pid::Pid,
    resources::Resources,
    secret::Seal,
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
    /// My connection to this process has ended and I was not told why; answered by `Lives`, if it does. If it has
    /// ended, `Ended` comes as always.
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

/// Told by the monitor to a process.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// Answers `Spawn`. Beside it, on success: the connection to the new process.
    Spawned {
        /// The request's.
        id: u64,
        /// The process, or why there is none.
        result: Result<Pid, Refusal>,
        /// How the connection is made its own, where others might read or write it.
        seal: Option<Seal>,
    },
    /// You are connected to this process. Beside it: the connection. Comes unasked when the peer asked first.
    Connected {
        /// The process at the other end.
        peer: Pid,
        /// How the connection is made its own, where others might read or write it.
        seal: Option<Seal>,
    },
    /// A process that you asked to be connected to, or are connected to, has ended.
    Ended {
        /// Who ended.
        peer: Pid,
        /// How; nothing, if there never was such a process.
        status: Option<ExitStatus>,
    },
    /// Answers `Wait`, when the process has ended.
    Waited {
        /// The request's.
        id: u64,
        /// How it ended; nothing, if there never was such a process.
        status: Option<ExitStatus>,
    },
    /// Answers `Kill`, when the signal is on its way or the process has ended already.
    KillSent {
        /// The request's.
        id: u64,
        /// Whether there ever was such a process.
        known: bool,
    },
    /// Answers `Need`: this is what you have from now on.
    Granted {
        /// The request's.
        id: u64,
        /// What there is for it.
        resources: Resources,
    },
    /// Answers `Doubt`: this process lives, and so it has let go of the connection.
    Lives {
        /// Who lives.
        peer: Pid,
    },
}

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

impl Notice {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Notice::Spawned { id, result, seal } => {
                w.u8(1).u64(*id).bool(result.is_ok());
                match result {
                    Ok(pid) => write_pid(&mut w, *pid),
                    Err(refusal) => refusal.write(&mut w),
                }
                w.option(seal.as_ref(), |w, seal| seal.write(w));
            }
            Notice::Connected { peer, seal } => {
                write_pid(w.u8(2), *peer);
                w.option(seal.as_ref(), |w, seal| seal.write(w));
            }
            Notice::Ended { peer, status } => {
                write_pid(w.u8(3), *peer);
                w.option(*status, write_status);
            }
            Notice::Waited { id, status } => {
                w.u8(4).u64(*id).option(*status, write_status);
            }
            Notice::KillSent { id, known } => {
                w.u8(5).u64(*id).bool(*known);
            }
            Notice::Lives { peer } => write_pid(w.u8(6), *peer),
            Notice::Granted { id, resources } => write_resources(w.u8(7).u64(*id), *resources),
        }
        w.finish()
    }

    /// The notice in these bytes.
    pub fn decode(message: &[u8]) -> Result<Notice, Malformed> {
        let r = &mut Reader::new(message);
        Ok(match r.u8()? {
            1 => Notice::Spawned {
                id: r.u64()?,
                result: if r.bool()? {
                    Ok(read_pid(r)?)
                } else {
                    Err(Refusal::read(r)?)
                },
                seal: r.option(Seal::read)?,
            },
            2 => Notice::Connected {
                peer: read_pid(r)?,
                seal: r.option(Seal::read)?,
            },
            3 => Notice::Ended {
                peer: read_pid(r)?,
                status: r.option(read_status)?,
            },
            4 => Notice::Waited {
                id: r.u64()?,
                status: r.option(read_status)?,
            },
            5 => Notice::KillSent {
                id: r.u64()?,
                known: r.bool()?,
            },
            6 => Notice::Lives { peer: read_pid(r)? },
            7 => Notice::Granted {
                id: r.u64()?,
                resources: read_resources(r)?,
            },
            _ => return Err(Malformed("an unknown notice")),
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

impl Refusal {
    fn write(&self, w: &mut Writer) {
        let (kind, asked, nodes, others) = match self {
            Refusal::OutOfResources {
                asked,
                nodes,
                others,
            } => (1, asked, nodes, others),
            Refusal::NeverFits {
                asked,
                nodes,
                others,
            } => (2, asked, nodes, others),
            Refusal::Launch { why } => {
                w.u8(3).text(why);
                return;
            }
        };
        write_resources(w.u8(kind), *asked);
        w.u32(nodes.len() as u32);
        for node in nodes {
            write_resources(w.text(&node.name), node.resources);
        }
        w.u32(*others);
    }

    fn read(r: &mut Reader<'_>) -> Result<Refusal, Malformed> {
        let kind = r.u8()?;
        if kind == 3 {
            return Ok(Refusal::Launch {
                why: r.text()?.to_string(),
            });
        }
        let asked = read_resources(r)?;
        let count = r.u32()?;
        let node = |_| {
            Ok(NodeResources {
                name: r.text()?.to_string(),
                resources: read_resources(r)?,
            })
        };
        let nodes = (0..count).map(node).collect::<Result<_, Malformed>>()?;
        let others = r.u32()?;
        match kind {
            1 => Ok(Refusal::OutOfResources {
                asked,
                nodes,
                others,
            }),
            2 => Ok(Refusal::NeverFits {
                asked,
                nodes,
                others,
            }),
            _ => Err(Malformed("an unknown kind of refusal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::process::{notices, requests};
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_whole_and_with_a_newer_tail() {
        for request in requests() {
            let mut bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Ok(request.clone()));
            bytes.extend_from_slice(b"a later field");
            assert_eq!(Request::decode(&bytes), Ok(request));
        }
        for notice in notices() {
            let mut bytes = notice.encode();
            assert_eq!(Notice::decode(&bytes), Ok(notice.clone()));
            bytes.extend_from_slice(b"a later field");
            assert_eq!(Notice::decode(&bytes), Ok(notice));
        }
    }

    #[test]
    fn messages_cut_anywhere_are_malformed() {
        for bytes in requests().iter().map(Request::encode) {
            assert!((0..bytes.len()).all(|cut| Request::decode(&bytes[..cut]).is_err()));
        }
        for bytes in notices().iter().map(Notice::encode) {
            assert!((0..bytes.len()).all(|cut| Notice::decode(&bytes[..cut]).is_err()));
        }
    }

    /// A monitor that passed it on made a certificate that it could not write, and the job ended with it.
    #[test]
    fn an_argument_longer_than_any_packet_should_be_is_refused() {
        let Request::Spawn(mut spawn) = requests().swap_remove(0) else {
            panic!("the first request is a spawn");
        };
        spawn.argument = Argument::Inline(vec![7; ARGUMENT_INLINE_BYTES_MAX]);
        let bytes = Request::Spawn(spawn).encode();
        assert!(Request::decode(&bytes).is_ok());
        let length = (ARGUMENT_INLINE_BYTES_MAX as u32).to_le_bytes();
        let at = bytes.windows(4).position(|four| four == length).unwrap();
        let mut longer = bytes[..at].to_vec();
        longer.extend((ARGUMENT_INLINE_BYTES_MAX as u32 + 1).to_le_bytes());
        longer.push(7);
        longer.extend_from_slice(&bytes[at + 4..]);
        let refused = Err(Malformed("an argument is too long to travel inside"));
        assert_eq!(Request::decode(&longer), refused);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&bytes);
            let _ = Notice::decode(&bytes);
        }
    }
}
