//! What a node reports.

use crate::{
    bytes::{Malformed, Reader, Writer},
    client::{Digest, read_digest, read_version, write_version},
    fields::{read_address, read_file, read_resources, read_secret, write_file, write_resources},
    job::JobReport,
    pid::Job,
    resources::Resources,
    secret::Secret,
};
use std::net::SocketAddr;

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
