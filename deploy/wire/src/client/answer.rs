//! What the bridge tells a client.

use super::{Digest, JobView, LifeView, NodeView, read_digest, read_version, write_version};
use crate::{
    bytes::{Malformed, Reader, Writer},
    event::{Event, Stream},
    fields::{read_file, read_pid, write_file, write_pid},
    job::JobOrder,
    packed::Packed,
    pid::{Job, Pid},
};

/// Told by the bridge.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Answers `Hello`.
    Hello {
        /// What the bridge speaks.
        version: (u16, u16),
        /// What the cluster is called.
        cluster: String,
    },
    /// It is there, whole and verified.
    ImageKnown,
    /// Send its bytes from here on, as one frame.
    ImageWanted {
        /// How many are there already.
        offset: u64,
        /// As a change of this program, one of those that were named.
        base: Option<Digest>,
    },
    /// One chunk was taken in, and one more may follow.
    ImageTaken,
    /// The job is admitted; its events follow.
    Started {
        /// Which it is.
        job: Job,
    },
    /// Something happened in the job.
    Event {
        /// What.
        event: Event,
        /// The how manieth of the job's events this is, from 0 on.
        sequence: u64,
    },
    /// A process wrote this, and it was much: an event as any other.
    Packed {
        /// Who wrote.
        pid: Pid,
        /// On which of its two streams.
        stream: Stream,
        /// What.
        packed: Packed,
        /// The how manieth of the job's events this is, from 0 on.
        sequence: u64,
    },
    /// Answers `Attach` and `Logs`.
    Attached {
        /// Which job it is.
        job: Job,
        /// How many bytes of its standard input have come so far.
        input: u64,
        /// Whether it goes on without a client.
        is_detached: bool,
    },
    /// Of what comes next in the order of events this much output was not kept; the processes of it that live or failed
    /// are told anew.
    Missed {
        /// Bytes.
        bytes: u64,
    },
    /// So much of the standard input was taken by the process that it is for, of all that was ever sent.
    InputTaken {
        /// Bytes since the job began.
        bytes: u64,
    },
    /// Answers `Why`.
    Lives(Vec<LifeView>),
    /// Answers `Beat`.
    Beat,
    /// The job has ended, and all of its events were told.
    Finished,
    /// What was asked cannot be done. The connection goes on, unless it was the `Hello`.
    Refused {
        /// Our own exit code for it.
        code: u8,
        /// What the person can do about it.
        why: String,
    },
    /// The cluster's machines.
    Nodes(Vec<NodeView>),
    /// The jobs that run.
    Jobs(Vec<JobView>),
    /// It is done.
    Done,
    /// Answers `Renew`.
    Renewed {
        /// The certificate, as the authority hands them out.
        certified: Vec<u8>,
    },
    /// An order to the client's own warden.
    Order {
        /// What.
        order: Box<JobOrder>,
        /// The argument's file, where one travels beside the order.
        file: Option<Vec<u8>>,
    },
}

impl Answer {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Answer::Hello { version, cluster } => {
                write_version(w.u8(1), *version);
                w.text(cluster);
            }
            Answer::ImageKnown => {
                w.u8(2);
            }
            Answer::ImageWanted { offset, base } => {
                w.u8(3).u64(*offset).option(base.as_ref(), |w, base| {
                    w.bytes(base);
                });
            }
            Answer::ImageTaken => {
                w.u8(20);
            }
            Answer::Started { job } => {
                w.u8(4).u128(job.bits());
            }
            Answer::Event { event, sequence } => {
                event.write(w.u8(5));
                w.u64(*sequence);
            }
            Answer::Packed {
                pid,
                stream,
                packed,
                sequence,
            } => {
                write_pid(w.u8(18), *pid);
                stream.write(&mut w);
                packed.write(&mut w).u64(*sequence);
            }
            Answer::Finished => {
                w.u8(6);
            }
            Answer::Refused { code, why } => {
                w.u8(7).u8(*code).text(why);
            }
            Answer::Nodes(nodes) => {
                w.u8(8).list(nodes, |w, node| node.write(w));
            }
            Answer::Jobs(jobs) => {
                w.u8(9).list(jobs, |w, job| job.write(w));
            }
            Answer::Done => {
                w.u8(10);
            }
            Answer::Renewed { certified } => {
                w.u8(11).bytes(certified);
            }
            Answer::Attached {
                job,
                input,
                is_detached,
            } => {
                w.u8(12).u128(job.bits()).u64(*input).bool(*is_detached);
            }
            Answer::Missed { bytes } => {
                w.u8(13).u64(*bytes);
            }
            Answer::InputTaken { bytes } => {
                w.u8(14).u64(*bytes);
            }
            Answer::Lives(lives) => {
                w.u8(15).list(lives, |w, life| life.write(w));
            }
            Answer::Beat => {
                w.u8(16);
            }
            Answer::Order { order, file } => {
                order.write(w.u8(17));
                write_file(&mut w, file);
            }
        }
        w.finish()
    }

    /// Whether it may wait for what else is told.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Answer::Order { order, .. } if order.is_bulk())
    }

    /// What these bytes answer.
    pub fn decode(message: &[u8]) -> Result<Answer, Malformed> {
        let r = &mut Reader::new(message);
        Ok(match r.u8()? {
            1 => Answer::Hello {
                version: read_version(r)?,
                cluster: r.text()?.to_string(),
            },
            2 => Answer::ImageKnown,
            3 => Answer::ImageWanted {
                offset: r.u64()?,
                base: r.option(read_digest)?,
            },
            20 => Answer::ImageTaken,
            4 => Answer::Started {
                job: Job::from_bits(r.u128()?),
            },
            5 => Answer::Event {
                event: Event::read(r)?,
                sequence: r.u64()?,
            },
            18 => Answer::Packed {
                pid: read_pid(r)?,
                stream: Stream::read(r)?,
                packed: Packed::read(r)?,
                sequence: r.u64()?,
            },
            6 => Answer::Finished,
            7 => Answer::Refused {
                code: r.u8()?,
                why: r.text()?.to_string(),
            },
            8 => Answer::Nodes(r.list(NodeView::read)?),
            9 => Answer::Jobs(r.list(JobView::read)?),
            10 => Answer::Done,
            11 => Answer::Renewed {
                certified: r.bytes()?.to_vec(),
            },
            12 => Answer::Attached {
                job: Job::from_bits(r.u128()?),
                input: r.u64()?,
                is_detached: r.bool()?,
            },
            13 => Answer::Missed { bytes: r.u64()? },
            14 => Answer::InputTaken { bytes: r.u64()? },
            15 => Answer::Lives(r.list(LifeView::read)?),
            16 => Answer::Beat,
            17 => Answer::Order {
                order: Box::new(JobOrder::read(r)?),
                file: read_file(r)?,
            },
            _ => return Err(Malformed("an unknown answer")),
        })
    }
}
