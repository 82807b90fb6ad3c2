//! All that a job can be told, as it is written down: a job that is told the same again becomes the same, and wants the same
//! done. That is how a master that was started again has its jobs back.
//!
//! Deliberately absent: files. What a process wrote is not written down here, only how much: its bytes are in the job's
//! record.

use super::place::Place;
use crate::scheduler::NodeId;
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    control::{Notice, Refusal},
    event::Stream,
    job::JobReport,
};

/// One thing.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// A warden has reported this; beside it the argument's file, if that is one.
    Report(NodeId, JobReport, Option<Vec<u8>>),
    /// There is room for what was asked under this number.
    Granted(u64, Place),
    /// There is none.
    Refused(u64, Refusal),
    /// A node was lost by this, and what ran there was killed.
    NodeLost(NodeId, String),
    /// The session with a node has ended, and what was relayed to it or from it is over.
    Parted(NodeId),
    /// This person has sent a signal; SIGKILL ends everything.
    Signal(i32, String),
    /// This person, or the master, wants the process of this number to end; all, if none.
    Kill(Option<u32>, String),
    /// Standard input; none: its end.
    Input(Vec<u8>),
    /// So many bytes of output are paid for.
    Credit(u64),
    /// Nobody reads this stream any more.
    Unread(Stream),
    /// A person is told this of a process.
    Noted(u32, String),
}

impl Happening {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Happening::Report(node, report, file) => {
                write_report(&mut w, *node, report, file.as_ref());
            }
            Happening::Granted(ask, place) => {
                w.u8(3).u64(*ask).u32(place.node.number());
                w.text(&place.name).option(place.address, |w, address| {
                    w.text(&address.to_string());
                });
            }
            Happening::Refused(ask, refusal) => {
                // As the wire has it, which has no way of its own to say just a refusal.
                let notice = Notice::Spawned {
                    id: *ask,
                    result: Err(refusal.clone()),
                    seal: None,
                };
                w.u8(4).bytes(&notice.encode());
            }
            Happening::NodeLost(node, by) => {
                w.u8(5).u32(node.number()).text(by);
            }
            Happening::Parted(node) => {
                w.u8(11).u32(node.number());
            }
            Happening::Signal(signal, who) => {
                w.u8(6).i32(*signal).text(who);
            }
            Happening::Kill(number, who) => {
                w.u8(7).option(*number, |w, number| {
                    w.u32(number);
                });
                w.text(who);
            }
            Happening::Input(bytes) => {
                w.u8(8).bytes(bytes);
            }
            Happening::Credit(bytes) => {
                w.u8(9).u64(*bytes);
            }
            Happening::Unread(stream) => {
                stream.write(w.u8(10));
            }
            Happening::Noted(number, text) => {
                w.u8(12).u32(*number).text(text);
            }
        }
        w.finish()
    }

    /// What these bytes say.
    ///
    /// # Errors
    /// If no master wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Happening, Malformed> {
        let r = &mut Reader::new(bytes);
        Ok(match r.u8()? {
            1 => {
                let (node, number) = (NodeId::from_number(r.u32()?), r.u32()?);
                let (stream, len) = (Stream::read(r)?, r.u32()? as usize);
                let bytes = vec![0; len.min(OUTPUT_BYTES_MAX)];
                let output = JobReport::Output {
                    number,
                    stream,
                    bytes,
                };
                Happening::Report(node, output, None)
            }
            2 => {
                let node = NodeId::from_number(r.u32()?);
                let report = JobReport::decode(r.bytes()?)?;
                let file = r.option(|r| Ok(r.bytes()?.to_vec()))?;
                Happening::Report(node, report, file)
            }
            3 => {
                let (ask, node) = (r.u64()?, NodeId::from_number(r.u32()?));
                let name = r.text()?.to_string();
                let address = r.option(|r| {
                    let address = r.text()?.parse();
                    address.map_err(|_| Malformed("an address is not one"))
                })?;
                let place = Place {
                    node,
                    name,
                    address,
                };
                Happening::Granted(ask, place)
            }
            4 => match Notice::decode(r.bytes()?)? {
                Notice::Spawned {
                    id,
                    result: Err(refusal),
                    ..
                } => Happening::Refused(id, refusal),
                _ => return Err(Malformed("a refusal is not one")),
            },
            5 => Happening::NodeLost(NodeId::from_number(r.u32()?), r.text()?.to_string()),
            6 => Happening::Signal(r.i32()?, r.text()?.to_string()),
            7 => Happening::Kill(r.option(Reader::u32)?, r.text()?.to_string()),
            8 => Happening::Input(r.bytes()?.to_vec()),
            9 => Happening::Credit(r.u64()?),
            10 => Happening::Unread(Stream::read(r)?),
            11 => Happening::Parted(NodeId::from_number(r.u32()?)),
            12 => Happening::Noted(r.u32()?, r.text()?.to_string()),
            _ => return Err(Malformed("an unknown happening")),
        })
    }
}

/// What a warden reports. Of output, packed or not, only its length: its bytes are in the job's record, and a job does the same with
/// both.
fn write_report(w: &mut Writer, node: NodeId, report: &JobReport, file: Option<&Vec<u8>>) {
    let (number, stream, len) = match report {
        JobReport::Output {
            number,
            stream,
            bytes,
        } => (number, stream, bytes.len()),
        JobReport::Packed {
            number,
            stream,
            packed,
        } => (number, stream, packed.stands_for()),
        report => {
            w.u8(2).u32(node.number()).bytes(&report.encode());
            w.option(file, |w, bytes| {
                w.bytes(bytes);
            });
            return;
        }
    };
    w.u8(1).u32(node.number()).u32(*number);
    stream.write(w);
    w.u32(len as u32);
}

/// No message of a node holds more.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
