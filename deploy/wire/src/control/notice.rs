//! What a monitor tells a process.

use crate::{
    bytes::{Malformed, Reader, Writer},
    exit::ExitStatus,
    fields::{read_pid, read_resources, read_status, write_pid, write_resources, write_status},
    pid::Pid,
    refusal::{NodeResources, Refusal},
    resources::Resources,
    secret::Seal,
};

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
    /// The network between your node and that of this process, which lives, is cut: your connection is over.
    Cut {
        /// Who is not reached.
        peer: Pid,
    },
    /// Your connection with this process broke, on its way by the master or as that process says: it ends behind what has come by
    /// now.
    Broken {
        /// Who is at its other end.
        peer: Pid,
    },
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
            Notice::Cut { peer } => write_pid(w.u8(8), *peer),
            Notice::Broken { peer } => write_pid(w.u8(9), *peer),
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
            8 => Notice::Cut { peer: read_pid(r)? },
            9 => Notice::Broken { peer: read_pid(r)? },
            _ => return Err(Malformed("an unknown notice")),
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
