//! What a node and the master say to each other.
//!
//! The node dials, and speaks first, with `Hello`; it is answered by `Welcome`, or refused with words. From then on each
//! hears the other's beats, and orders and reports of jobs travel between the master and the wardens.
//!
//! # What is cut is taken up again
//! Orders and reports of a job are numbered, from 1 on for each job and node, and kept by who said them until the other
//! side has them for good. A node that has lost its session keeps its jobs for a while, and says in the next `Hello` what it
//! holds; `Welcome` says what is to go on, and both say again what the other has not got. So nothing is done twice.
//!
//! A program that a node does not have is fetched over a session of its own, so that nothing waits behind it: there
//! `Fetch` is the first word, and the answer is the program's bytes, or which other node gives them.

use crate::{
    bytes::{Malformed, Reader, Writer},
    client::{Digest, read_digest, read_version, write_version},
    fields::{read_resources, write_resources},
    job::{JobOrder, JobReport, read_address},
    pid::Job,
    resources::Resources,
    secret::{SECRET_BYTES, Secret},
};
use std::net::SocketAddr;

/// The version of this protocol: a newer minor only adds fields at the end, and messages that nobody is told who does not ask
/// for them.
pub const VERSION: (u16, u16) = (2, 0);

/// Reported by a node.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// The first word.
    Hello(Box<NodeHello>),
    /// Answers the master's beat.
    Beat {
        /// The beat's.
        sequence: u64,
    },
    /// A warden reports.
    Job {
        /// Of which job.
        job: Job,
        /// The how manieth of that job's reports from this node this is, from 1 on.
        sequence: u64,
        /// What.
        report: JobReport,
        /// The argument's file, where one travels beside the report.
        file: Option<Vec<u8>>,
    },
    /// The first word of a session that fetches a program; answered by `Chunk`s until all are there, or by `Source`.
    Fetch {
        /// Its name.
        digest: Digest,
        /// How many bytes of its frame are here already.
        offset: u64,
        /// How many nodes were tried in vain.
        tries: u8,
        /// The latest of those.
        failed: Option<SocketAddr>,
    },
    /// It can give others this program, which it has fetched; or it could not fetch it.
    Holds {
        /// The program's name.
        digest: Digest,
        /// Whether it is here.
        is_here: bool,
    },
    /// The first word of a session of its own: the person who runs this node wants it to be no member any more.
    /// Answered by `Dismissed`.
    Leave,
    /// A certificate for the same key, in place of the one of this session, which ends before long. Answered by `Renewed`.
    Renew,
    /// So many of a job's orders have come: the master need not keep them any more.
    Taken {
        /// Which job's.
        job: Job,
        /// Of all.
        orders: u64,
    },
}

/// Who a node is and what it has.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeHello {
    /// What it speaks.
    pub version: (u16, u16),
    /// Its data port, as others reach it.
    pub address: SocketAddr,
    /// What it has.
    pub capacity: Resources,
    /// Random, and another one whenever the node has killed its jobs: what ran there under an earlier one is gone.
    pub incarnation: u128,
    /// Its processors, such as `x86_64`.
    pub arch: String,
    /// What keeps jobs apart from each other and from the daemon, in words.
    pub isolation: String,
    /// What else it goes by, such as `disk=ssd`.
    pub labels: Vec<String>,
    /// Its glibc, such as `2.36`; nothing if that is not known.
    pub glibc: String,
    /// The jobs that are there, from the session before.
    pub held: Vec<Held>,
    /// What passes are drawn from, for those who are to take programs from it (`pass.rs`).
    pub secret: Secret,
}

/// A job that a node has kept without a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Which.
    pub job: Job,
    /// How many of its orders have come.
    pub orders: u64,
    /// How many of its reports the node has forgotten, because the master had them.
    pub reports: u64,
}

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

impl Report {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Report::Hello(hello) => hello.write(w.u8(1)),
            Report::Beat { sequence } => {
                w.u8(2).u64(*sequence);
            }
            Report::Job {
                job,
                sequence,
                report,
                file,
            } => return Report::encode_job(*job, *sequence, report, file),
            Report::Fetch {
                digest,
                offset,
                tries,
                failed,
            } => {
                w.u8(4).bytes(digest).u64(*offset).u8(*tries);
                w.option(failed.as_ref(), |w, failed| {
                    w.text(&failed.to_string());
                });
            }
            Report::Holds { digest, is_here } => {
                w.u8(8).bytes(digest).bool(*is_here);
            }
            Report::Leave => {
                w.u8(5);
            }
            Report::Renew => {
                w.u8(6);
            }
            Report::Taken { job, orders } => {
                w.u8(7).u128(job.bits()).u64(*orders);
            }
        }
        w.finish()
    }

    /// The bytes of [`Report::Job`], for whoever keeps the report.
    pub fn encode_job(
        job: Job,
        sequence: u64,
        report: &JobReport,
        file: &Option<Vec<u8>>,
    ) -> Vec<u8> {
        let mut w = Writer::new();
        report.write(w.u8(3).u128(job.bits()).u64(sequence));
        write_file(&mut w, file);
        w.finish()
    }

    /// The report in these bytes.
    pub fn decode(message: &[u8]) -> Result<Report, Malformed> {
        let r = &mut Reader::new(message);
        Ok(match r.u8()? {
            1 => Report::Hello(Box::new(NodeHello::read(r)?)),
            2 => Report::Beat { sequence: r.u64()? },
            3 => Report::Job {
                job: Job::from_bits(r.u128()?),
                sequence: r.u64()?,
                report: JobReport::read(r)?,
                file: read_file(r)?,
            },
            4 => Report::Fetch {
                digest: read_digest(r)?,
                offset: r.u64()?,
                tries: r.u8()?,
                failed: r.option(read_address)?,
            },
            5 => Report::Leave,
            6 => Report::Renew,
            7 => Report::Taken {
                job: Job::from_bits(r.u128()?),
                orders: r.u64()?,
            },
            8 => Report::Holds {
                digest: read_digest(r)?,
                is_here: r.bool()?,
            },
            _ => return Err(Malformed("an unknown report of a node")),
        })
    }
}

impl NodeHello {
    fn write(&self, w: &mut Writer) {
        write_version(w, self.version);
        write_resources(w.text(&self.address.to_string()), self.capacity);
        w.u128(self.incarnation)
            .text(&self.arch)
            .text(&self.isolation);
        w.list(&self.labels, |w, label| {
            w.text(label);
        });
        w.text(&self.glibc);
        w.list(&self.held, |w, held| {
            w.u128(held.job.bits()).u64(held.orders).u64(held.reports);
        });
        w.bytes(self.secret.bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<NodeHello, Malformed> {
        Ok(NodeHello {
            version: read_version(r)?,
            address: read_address(r)?,
            capacity: read_resources(r)?,
            incarnation: r.u128()?,
            arch: r.text()?.to_string(),
            isolation: r.text()?.to_string(),
            labels: r.list(|r| Ok(r.text()?.to_string()))?,
            glibc: r.text()?.to_string(),
            held: r.list(|r| {
                Ok(Held {
                    job: Job::from_bits(r.u128()?),
                    orders: r.u64()?,
                    reports: r.u64()?,
                })
            })?,
            secret: read_secret(r)?,
        })
    }
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

fn read_secret(r: &mut Reader<'_>) -> Result<Secret, Malformed> {
    let bytes: Result<[u8; SECRET_BYTES], _> = r.bytes()?.try_into();
    let bytes = bytes.map_err(|_| Malformed("a secret of another length"))?;
    Ok(Secret::from_bytes(bytes))
}

pub(crate) fn write_file(w: &mut Writer, file: &Option<Vec<u8>>) {
    w.option(file.as_ref(), |w, bytes| {
        w.bytes(bytes);
    });
}

pub(crate) fn read_file(r: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    r.option(|r| Ok(r.bytes()?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::node::{orders, reports};
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_whole_and_never_cut() {
        for report in reports() {
            let bytes = report.encode();
            assert!((0..bytes.len()).all(|cut| Report::decode(&bytes[..cut]).is_err()));
            assert_eq!(Report::decode(&bytes), Ok(report));
        }
        for order in orders() {
            let bytes = order.encode();
            assert!((0..bytes.len()).all(|cut| Order::decode(&bytes[..cut]).is_err()));
            assert_eq!(Order::decode(&bytes), Ok(order));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Report::decode(&bytes);
            let _ = Order::decode(&bytes);
        }
    }
}
