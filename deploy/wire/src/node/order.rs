//! What a node is ordered.

use crate::{
    bytes::{Malformed, Reader, Writer},
    client::{Digest, read_digest, read_version, write_version},
    fields::{read_address, read_file, read_secret, write_file},
    job::JobOrder,
    pid::Job,
    secret::Secret,
};
use std::net::SocketAddr;

/// Ordered by the master.
#[derive(Clone, PartialEq, Debug)]
pub enum Order {
    /// Answers `Hello`.
    Welcome {
        /// What the master speaks.
        version: (u16, u16),
        /// What the node is called.
        name: String,
        /// The jobs that go on, of those that it holds, and how many of their reports have come. It kills all others.
        held: Vec<(Job, u64)>,
    },
    /// Are you there?
    Beat {
        /// Repeated in the answer.
        sequence: u64,
        /// The latest that was answered; 0, if none.
        heard: u64,
    },
    /// An order to a job's warden; `Open` has the node start one.
    Job {
        /// Of which job.
        job: Job,
        /// The how manieth of that job's orders to this node this is, from 1 on.
        sequence: u64,
        /// What.
        order: JobOrder,
        /// The program, with `Open`.
        image: Option<Digest>,
        /// The argument's file, where one travels beside the order.
        file: Option<Vec<u8>>,
        /// Files for the job's directory, with `Open`.
        files: Option<Box<Digest>>,
    },
    /// Answers `Fetch`.
    Chunk {
        /// How many bytes the program has in all.
        len: u64,
        /// The next of its frame.
        bytes: Vec<u8>,
    },
    /// Answers `Fetch`: another node has the program, or is just fetching it, and gives it.
    Source {
        /// How many bytes the program has in all.
        len: u64,
        /// That node's data port.
        address: SocketAddr,
        /// What it believes.
        pass: Secret,
    },
    /// The node cannot be part of the cluster, or has no right to what it asked.
    Refused {
        /// What to do about it.
        why: String,
    },
    /// Answers `Renew`.
    Renewed {
        /// The certificate, as the authority hands them out.
        certified: Vec<u8>,
    },
    /// The node is no member any more, and the session ends.
    Dismissed {
        /// Who has seen to that, and what to do about it.
        why: String,
    },
    /// So many of a job's reports have come, and will be known to a master that is started again.
    Taken {
        /// Which job's.
        job: Job,
        /// Of all.
        reports: u64,
    },
    /// The job is over everywhere: the node need not know of it any more.
    Forget {
        /// Which.
        job: Job,
    },
}

impl Order {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Order::Welcome {
                version,
                name,
                held,
            } => {
                write_version(w.u8(1), *version);
                w.text(name).list(held, |w, (job, reports)| {
                    w.u128(job.bits()).u64(*reports);
                });
            }
            Order::Beat { sequence, heard } => {
                w.u8(2).u64(*sequence).u64(*heard);
            }
            Order::Job {
                job,
                sequence,
                order,
                image,
                file,
                files,
            } => {
                order.write(w.u8(3).u128(job.bits()).u64(*sequence));
                w.option(image.as_ref(), |w, digest| {
                    w.bytes(digest);
                });
                write_file(&mut w, file);
                w.option(files.as_ref(), |w, digest| {
                    w.bytes(&**digest);
                });
            }
            Order::Chunk { len, bytes } => {
                w.u8(4).u64(*len).bytes(bytes);
            }
            Order::Source { len, address, pass } => {
                w.u8(10).u64(*len).text(&address.to_string());
                w.bytes(pass.bytes());
            }
            Order::Refused { why } => {
                w.u8(5).text(why);
            }
            Order::Renewed { certified } => {
                w.u8(6).bytes(certified);
            }
            Order::Dismissed { why } => {
                w.u8(7).text(why);
            }
            Order::Taken { job, reports } => {
                w.u8(8).u128(job.bits()).u64(*reports);
            }
            Order::Forget { job } => {
                w.u8(9).u128(job.bits());
            }
        }
        w.finish()
    }

    /// The order in these bytes.
    pub fn decode(message: &[u8]) -> Result<Order, Malformed> {
        let r = &mut Reader::new(message);
        Ok(match r.u8()? {
            1 => Order::Welcome {
                version: read_version(r)?,
                name: r.text()?.to_string(),
                held: r.list(|r| Ok((Job::from_bits(r.u128()?), r.u64()?)))?,
            },
            2 => Order::Beat {
                sequence: r.u64()?,
                heard: r.u64()?,
            },
            3 => Order::Job {
                job: Job::from_bits(r.u128()?),
                sequence: r.u64()?,
                order: JobOrder::read(r)?,
                image: r.option(read_digest)?,
                file: read_file(r)?,
                files: r.option(read_digest)?.map(Box::new),
            },
            4 => Order::Chunk {
                len: r.u64()?,
                bytes: r.bytes()?.to_vec(),
            },
            5 => Order::Refused {
                why: r.text()?.to_string(),
            },
            6 => Order::Renewed {
                certified: r.bytes()?.to_vec(),
            },
            7 => Order::Dismissed {
                why: r.text()?.to_string(),
            },
            8 => Order::Taken {
                job: Job::from_bits(r.u128()?),
                reports: r.u64()?,
            },
            9 => Order::Forget {
                job: Job::from_bits(r.u128()?),
            },
            10 => Order::Source {
                len: r.u64()?,
                address: read_address(r)?,
                pass: read_secret(r)?,
            },
            _ => return Err(Malformed("an unknown order to a node")),
        })
    }
}
