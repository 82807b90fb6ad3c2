//! What a warden is ordered.

use crate::{
    birth::Work,
    bytes::{Malformed, Reader, Writer},
    control::{Argument, Function, Notice},
    event::Stream,
    fields::{read_address, read_resources, write_resources},
    pid::Job,
    relay::{Piece, Relay},
    resources::Resources,
};
use std::net::SocketAddr;

/// Ordered by the master.
#[derive(Clone, PartialEq, Debug)]
pub enum JobOrder {
    /// The first: what all processes of the job have in common. Beside it, from the node: the program's file.
    Open(Box<OpenJob>),
    /// Begin a process; answered by `Begun` or `NotBegun`. Beside it: the argument's file, if it is one.
    Begin(Box<Begin>),
    /// Tell a process something that needs no descriptor.
    Tell {
        /// Whom.
        number: u32,
        /// What.
        notice: Notice,
    },
    /// Connect two processes and tell each that is here; `ConnectFailed` if that cannot be.
    Connect {
        /// It is here.
        one: u32,
        /// It is here too, or at the other end of the address.
        other: u32,
        /// The data port of the other's node; here, if none.
        at: Option<SocketAddr>,
    },
    /// A connection of this job came in at the node's data port. Beside it, from the node: the connection.
    Accept {
        /// What its dialer said first, as it came.
        hello: Vec<u8>,
    },
    /// Kill a process and all that it started.
    Kill {
        /// Which.
        number: u32,
    },
    /// Send a process a signal.
    Signal {
        /// Which.
        number: u32,
        /// Its number.
        signal: i32,
    },
    /// Bytes for the initial process's standard input, which is here.
    Input {
        /// None of them: its end.
        bytes: Vec<u8>,
    },
    /// So many more bytes of output may be reported.
    Credit {
        /// Bytes.
        bytes: u64,
    },
    /// Kill what is left, and end.
    Close,
    /// Nobody reads what the processes write there any more; who writes is told so by its kernel.
    Unread {
        /// Where.
        stream: Stream,
    },
    /// Give a process an end of a connection whose bytes go by way of the master; the other end is given out elsewhere.
    Relay(Box<Relay>),
    /// Something of such a connection came from its other end.
    Relayed {
        /// Which.
        channel: u32,
        /// What.
        piece: Piece,
    },
    /// Say whether a process lives: `Vouched`, and nothing if it has ended. If so it is told that its connection with the other
    /// broke.
    Vouch {
        /// Which.
        number: u32,
        /// Who doubts it.
        to: u32,
    },
    /// The network between the nodes of two processes that are connected is cut: tell the one that is here; answered by
    /// `CutTold`, if it lives.
    Cut {
        /// It is here.
        number: u32,
        /// The other.
        peer: u32,
    },
    /// From the node: all relayed connections are over, because it has lost its session with the master.
    Parted,
}

/// What all processes of a job on one node have in common.
#[derive(Clone, PartialEq, Debug)]
pub struct OpenJob {
    /// Which it is.
    pub job: Job,
    /// The secret that its data connections are proved with.
    pub key: [u8; 32],
    /// What this node is called.
    pub node: String,
    /// The program's arguments, its own name first.
    pub args: Vec<Vec<u8>>,
    /// The whole environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether standard output ends at a terminal.
    pub stdout_is_terminal: bool,
    /// The same for standard error.
    pub stderr_is_terminal: bool,
}

/// A process to begin.
#[derive(Clone, PartialEq, Debug)]
pub struct Begin {
    /// Its number.
    pub number: u32,
    /// Who asked for it; nobody, for the initial process.
    pub parent: Option<u32>,
    /// The id of the parent's request, if the parent is on this node: then the warden connects the two and answers the
    /// parent. Otherwise the connection follows by `Connect`, and the master answers.
    pub asked: Option<u64>,
    /// What it runs; nothing, for the initial process.
    pub work: Option<Work>,
    /// What it was granted.
    pub resources: Resources,
}

impl JobOrder {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            JobOrder::Open(open) => open.write(w.u8(1)),
            JobOrder::Begin(begin) => begin.write(w.u8(2)),
            JobOrder::Tell { number, notice } => {
                w.u8(3).u32(*number).bytes(&notice.encode());
            }
            JobOrder::Connect { one, other, at } => {
                w.u8(4).u32(*one).u32(*other).option(*at, |w, at| {
                    w.text(&at.to_string());
                });
            }
            JobOrder::Accept { hello } => {
                w.u8(5).bytes(hello);
            }
            JobOrder::Kill { number } => {
                w.u8(6).u32(*number);
            }
            JobOrder::Signal { number, signal } => {
                w.u8(7).u32(*number).i32(*signal);
            }
            JobOrder::Input { bytes } => {
                w.u8(8).bytes(bytes);
            }
            JobOrder::Credit { bytes } => {
                w.u8(9).u64(*bytes);
            }
            JobOrder::Close => {
                w.u8(10);
            }
            JobOrder::Unread { stream } => stream.write(w.u8(11)),
            JobOrder::Relay(relay) => relay.write(w.u8(12)),
            JobOrder::Relayed { channel, piece } => piece.write(w.u8(13).u32(*channel)),
            JobOrder::Vouch { number, to } => {
                w.u8(14).u32(*number).u32(*to);
            }
            JobOrder::Parted => {
                w.u8(15);
            }
            JobOrder::Cut { number, peer } => {
                w.u8(16).u32(*number).u32(*peer);
            }
        }
    }

    /// Whether it may wait for other orders.
    pub fn is_bulk(&self) -> bool {
        matches!(self, JobOrder::Relayed { piece, .. } if piece.is_bulk())
    }

    /// The order in these bytes.
    pub fn decode(message: &[u8]) -> Result<JobOrder, Malformed> {
        JobOrder::read(&mut Reader::new(message))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<JobOrder, Malformed> {
        Ok(match r.u8()? {
            1 => JobOrder::Open(Box::new(OpenJob::read(r)?)),
            2 => JobOrder::Begin(Box::new(Begin::read(r)?)),
            3 => JobOrder::Tell {
                number: r.u32()?,
                notice: Notice::decode(r.bytes()?)?,
            },
            4 => JobOrder::Connect {
                one: r.u32()?,
                other: r.u32()?,
                at: r.option(read_address)?,
            },
            5 => JobOrder::Accept {
                hello: r.bytes()?.to_vec(),
            },
            6 => JobOrder::Kill { number: r.u32()? },
            7 => JobOrder::Signal {
                number: r.u32()?,
                signal: r.i32()?,
            },
            8 => JobOrder::Input {
                bytes: r.bytes()?.to_vec(),
            },
            9 => JobOrder::Credit { bytes: r.u64()? },
            10 => JobOrder::Close,
            11 => JobOrder::Unread {
                stream: Stream::read(r)?,
            },
            12 => JobOrder::Relay(Box::new(Relay::read(r)?)),
            13 => JobOrder::Relayed {
                channel: r.u32()?,
                piece: Piece::read(r)?,
            },
            14 => JobOrder::Vouch {
                number: r.u32()?,
                to: r.u32()?,
            },
            15 => JobOrder::Parted,
            16 => JobOrder::Cut {
                number: r.u32()?,
                peer: r.u32()?,
            },
            _ => return Err(Malformed("an unknown order to a warden")),
        })
    }
}

impl OpenJob {
    fn write(&self, w: &mut Writer) {
        w.u128(self.job.bits()).bytes(&self.key).text(&self.node);
        w.list(&self.args, |w, word| {
            w.bytes(word);
        });
        w.list(&self.env, |w, (name, value)| {
            w.bytes(name).bytes(value);
        });
        w.bool(self.stdout_is_terminal)
            .bool(self.stderr_is_terminal);
    }

    fn read(r: &mut Reader<'_>) -> Result<OpenJob, Malformed> {
        Ok(OpenJob {
            job: Job::from_bits(r.u128()?),
            key: r
                .bytes()?
                .try_into()
                .map_err(|_| Malformed("a job's key has 32 bytes"))?,
            node: r.text()?.to_string(),
            args: r.list(|r| Ok(r.bytes()?.to_vec()))?,
            env: r.list(|r| Ok((r.bytes()?.to_vec(), r.bytes()?.to_vec())))?,
            stdout_is_terminal: r.bool()?,
            stderr_is_terminal: r.bool()?,
        })
    }
}

impl Begin {
    fn write(&self, w: &mut Writer) {
        w.u32(self.number);
        w.option(self.parent, |w, parent| {
            w.u32(parent);
        });
        w.option(self.asked, |w, asked| {
            w.u64(asked);
        });
        w.option(self.work.as_ref(), |w, work| {
            work.function.write(w);
            work.argument.write(w);
            w.text(&work.name);
        });
        write_resources(w, self.resources);
    }

    fn read(r: &mut Reader<'_>) -> Result<Begin, Malformed> {
        Ok(Begin {
            number: r.u32()?,
            parent: r.option(Reader::u32)?,
            asked: r.option(Reader::u64)?,
            work: r.option(|r| {
                Ok(Work {
                    function: Function::read(r)?,
                    argument: Argument::read(r)?,
                    name: r.text()?.to_string(),
                })
            })?,
            resources: read_resources(r)?,
        })
    }
}
