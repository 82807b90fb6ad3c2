//! What a warden reports.

use crate::{
    bytes::{Malformed, Reader, Writer},
    control::Request,
    event::Stream,
    exit::{End, Shortage},
    fields::{read_end, read_shortage, write_end, write_shortage},
    packed::Packed,
    relay::Piece,
};

/// Reported by a warden.
#[derive(Clone, PartialEq, Debug)]
pub enum JobReport {
    /// Answers `Open`: processes can begin.
    Opened,
    /// Answers `Open`: they cannot; the warden ends.
    Failed {
        /// Why.
        why: String,
    },
    /// A process asks. Beside it: the argument's file, if that is one. Its notes come as `Noted`, and what it doubts
    /// and asks to be connected to is here only if the warden cannot know.
    Asked {
        /// Who asks.
        from: u32,
        /// What.
        request: Request,
    },
    /// A process began.
    Begun {
        /// Which.
        number: u32,
    },
    /// A process could not begin, and never will.
    NotBegun {
        /// Which.
        number: u32,
        /// Why.
        why: String,
    },
    /// A process has died; what it wrote may still come.
    Died {
        /// Which.
        number: u32,
        /// How.
        end: End,
        /// What it had of memory, if it was killed for want of more.
        shortage: Option<Shortage>,
    },
    /// All that a dead process wrote was reported, and nothing of it is left.
    Left {
        /// Which.
        number: u32,
    },
    /// A process wrote.
    Output {
        /// Which.
        number: u32,
        /// Where.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// A process wrote this, and it was much.
    Packed {
        /// Which.
        number: u32,
        /// Where.
        stream: Stream,
        /// What.
        packed: Packed,
    },
    /// Something that a person may want to know of a process.
    Noted {
        /// Of which.
        number: u32,
        /// One line.
        text: String,
    },
    /// Answers `Connect`: the other's node could not be reached, or does not know it.
    ConnectFailed {
        /// The one here.
        one: u32,
        /// The other.
        other: u32,
        /// Why.
        why: String,
    },
    /// The last: nothing of the job is left on this node.
    Closed,
    /// Standard input has gone where the initial process reads it.
    InputTaken {
        /// So many bytes more.
        bytes: u64,
    },
    /// Something of a relayed connection, for its other end.
    Relayed {
        /// Which.
        channel: u32,
        /// What.
        piece: Piece,
    },
    /// Answers `Vouch`, if the process lives.
    Vouched {
        /// Which.
        number: u32,
        /// Who doubted it.
        to: u32,
    },
    /// The network to the node of another process is cut, though both had reached each other: the connection of these two is
    /// over. Neither was told.
    Cut {
        /// The one here.
        one: u32,
        /// The other.
        other: u32,
    },
    /// Answers `Cut`: the process here lives and was told.
    CutTold {
        /// The one here.
        number: u32,
        /// The other.
        peer: u32,
    },
    /// The person whose machine this is sent a signal, and the processes here have got it; SIGKILL: everything is to end.
    /// From a client's own warden only.
    Signalled {
        /// Its number.
        signal: i32,
    },
}

impl JobReport {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }

    /// The bytes of [`JobReport::Output`], of what lies elsewhere.
    pub fn encode_output(number: u32, stream: Stream, bytes: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        write_output(&mut w, number, stream, bytes);
        w.finish()
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            JobReport::Opened => w.u8(1),
            JobReport::Failed { why } => w.u8(2).text(why),
            JobReport::Asked { from, request } => w.u8(3).u32(*from).bytes(&request.encode()),
            JobReport::Begun { number } => w.u8(4).u32(*number),
            JobReport::NotBegun { number, why } => w.u8(5).u32(*number).text(why),
            JobReport::Died {
                number,
                end,
                shortage,
            } => {
                write_end(w.u8(6).u32(*number), *end);
                w.option(*shortage, write_shortage)
            }
            JobReport::Left { number } => w.u8(7).u32(*number),
            JobReport::Output {
                number,
                stream,
                bytes,
            } => write_output(w, *number, *stream, bytes),
            JobReport::Noted { number, text } => w.u8(9).u32(*number).text(text),
            JobReport::ConnectFailed { one, other, why } => {
                w.u8(10).u32(*one).u32(*other).text(why)
            }
            JobReport::Closed => w.u8(11),
            JobReport::InputTaken { bytes } => w.u8(12).u64(*bytes),
            JobReport::Relayed { channel, piece } => {
                piece.write(w.u8(13).u32(*channel));
                w
            }
            JobReport::Vouched { number, to } => w.u8(14).u32(*number).u32(*to),
            JobReport::Signalled { signal } => w.u8(15).i32(*signal),
            JobReport::Packed {
                number,
                stream,
                packed,
            } => {
                stream.write(w.u8(16).u32(*number));
                packed.write(w)
            }
            JobReport::Cut { one, other } => w.u8(17).u32(*one).u32(*other),
            JobReport::CutTold { number, peer } => w.u8(18).u32(*number).u32(*peer),
        };
    }

    /// Whether it may wait for other reports.
    pub fn is_bulk(&self) -> bool {
        matches!(self, JobReport::Relayed { piece, .. } if piece.is_bulk())
    }

    /// The report in these bytes.
    pub fn decode(message: &[u8]) -> Result<JobReport, Malformed> {
        JobReport::read(&mut Reader::new(message))
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<JobReport, Malformed> {
        Ok(match r.u8()? {
            1 => JobReport::Opened,
            2 => JobReport::Failed {
                why: r.text()?.to_string(),
            },
            3 => JobReport::Asked {
                from: r.u32()?,
                request: Request::decode(r.bytes()?)?,
            },
            4 => JobReport::Begun { number: r.u32()? },
            5 => JobReport::NotBegun {
                number: r.u32()?,
                why: r.text()?.to_string(),
            },
            6 => JobReport::Died {
                number: r.u32()?,
                end: read_end(r)?,
                shortage: r.option(read_shortage)?,
            },
            7 => JobReport::Left { number: r.u32()? },
            8 => JobReport::Output {
                number: r.u32()?,
                stream: Stream::read(r)?,
                bytes: r.bytes()?.to_vec(),
            },
            9 => JobReport::Noted {
                number: r.u32()?,
                text: r.text()?.to_string(),
            },
            10 => JobReport::ConnectFailed {
                one: r.u32()?,
                other: r.u32()?,
                why: r.text()?.to_string(),
            },
            11 => JobReport::Closed,
            12 => JobReport::InputTaken { bytes: r.u64()? },
            13 => JobReport::Relayed {
                channel: r.u32()?,
                piece: Piece::read(r)?,
            },
            14 => JobReport::Vouched {
                number: r.u32()?,
                to: r.u32()?,
            },
            15 => JobReport::Signalled { signal: r.i32()? },
            16 => JobReport::Packed {
                number: r.u32()?,
                stream: Stream::read(r)?,
                packed: Packed::read(r)?,
            },
            17 => JobReport::Cut {
                one: r.u32()?,
                other: r.u32()?,
            },
            18 => JobReport::CutTold {
                number: r.u32()?,
                peer: r.u32()?,
            },
            _ => return Err(Malformed("an unknown report of a warden")),
        })
    }
}

fn write_output<'a>(
    w: &'a mut Writer,
    number: u32,
    stream: Stream,
    bytes: &[u8],
) -> &'a mut Writer {
    stream.write(w.u8(8).u32(number));
    w.bytes(bytes)
}
