//! What a client asks of the bridge.

use super::{Digest, read_digest, read_version, write_version};
use crate::{
    bytes::{Malformed, Reader, Writer},
    event::Stream,
    fields::{read_file, read_resources, write_file, write_resources},
    job::JobReport,
    resources::Resources,
};

/// Asked by a client.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// The first word.
    Hello {
        /// What the client speaks.
        version: (u16, u16),
    },
    /// Do you have this program? Answered by `ImageKnown`, or by `ImageWanted`, and then `Chunk`s follow.
    Image {
        /// Its name.
        digest: Digest,
        /// Its length in bytes.
        len: u64,
        /// Programs that this one could be sent as a change of, the most similar first.
        bases: Vec<Digest>,
    },
    /// The next bytes of a frame, of what is missing of the wanted program; answered by `ImageTaken`, or by
    /// `ImageKnown` once the program is there. No more than
    /// [`CHUNKS_UNDER_WAY_MAX`](super::CHUNKS_UNDER_WAY_MAX) of them wait for an answer.
    Chunk {
        /// At most [`CHUNK_BYTES_MAX`](super::CHUNK_BYTES_MAX) of them.
        bytes: Vec<u8>,
    },
    /// Run a program that is known; answered by `Started`.
    Run(Box<RunRequest>),
    /// Bytes for the initial process's standard input.
    Input {
        /// None of them: its end.
        bytes: Vec<u8>,
    },
    /// The person sent a signal; a second one kills.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// This many more bytes of output may be sent.
    Credit {
        /// Bytes.
        bytes: u64,
    },
    /// Have this job from now on: its events from there, its standard input, its signals. Answered by `Attached`, and then
    /// as by `Started`.
    Attach {
        /// The job, or the beginning of its name.
        job: String,
        /// What was told before.
        from: Position,
    },
    /// Tell this job's events; answered by `Attached`, the events and, if they go on for now and are not to be followed,
    /// `Done`.
    Logs {
        /// The job, or the beginning of its name.
        job: String,
        /// What was told before.
        from: Position,
        /// Whether what happens later is to be told, too.
        follow: bool,
    },
    /// How did it come to the ends of a job, or of one process? Answered by `Lives`.
    Why {
        /// The job, or the beginning of its name.
        job: String,
        /// The process as it is shown; all that have something to say, if none.
        process: Option<String>,
    },
    /// Nobody reads what the job's processes write there any more: who writes is to be told so by its kernel.
    Unread {
        /// Where.
        stream: Stream,
    },
    /// I am here; answered by `Beat`. A client that has a job says something every few seconds.
    Beat,
    /// I am about to be stopped, as by Ctrl-Z, and will say nothing until I go on.
    Stopped,
    /// Which of my jobs are over and still known? Answered by `Jobs`.
    Past,
    /// Which nodes are there? Answered by `Nodes`.
    Nodes,
    /// Which jobs of mine run? Answered by `Jobs`.
    Jobs,
    /// End a job, or one process of it; answered by `Done`.
    Kill {
        /// The job, or the beginning of its name.
        job: String,
        /// The process as it is shown; all, if none.
        process: Option<String>,
    },
    /// Place nothing more on a node, or do again; answered by `Done`. For those who run the cluster.
    Drain {
        /// Its name.
        node: String,
        /// Whether to place nothing more there.
        on: bool,
    },
    /// A certificate for the same key, in place of the one of this session, which ends before long. Answered by `Renewed`.
    Renew,
    /// A report of the client's own warden, which has the initial process of its job ([`RunRequest::is_here`]).
    Report {
        /// What.
        report: Box<JobReport>,
        /// The argument's file, where one travels beside the report.
        file: Option<Vec<u8>>,
    },
}

/// A program to run.
#[derive(Clone, PartialEq, Debug)]
pub struct RunRequest {
    /// The program.
    pub image: Digest,
    /// What people call what its initial process runs: `hello::main`.
    pub worker: String,
    /// Its arguments, its own name first.
    pub args: Vec<Vec<u8>>,
    /// What is added to its clean environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the initial process needs, if the person said so; else what it asks for itself.
    pub resources: Option<Resources>,
    /// Whether standard output ends at a terminal.
    pub stdout_is_terminal: bool,
    /// The same for standard error.
    pub stderr_is_terminal: bool,
    /// Whether it goes on without the client, which only wants to know its name.
    pub is_detached: bool,
    /// Files that are to be in its directory, known as a program is.
    pub files: Option<Digest>,
    /// Whether its initial process runs at the client, which has a warden for it.
    pub is_here: bool,
}

/// How far a job's events were told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Position {
    /// The number of the next event.
    pub sequence: u64,
    /// How many bytes of output were in those before.
    pub output: u64,
}

impl Ask {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Ask::Hello { version } => write_version(w.u8(1), *version),
            Ask::Image { digest, len, bases } => {
                w.u8(2).bytes(digest).u64(*len).list(bases, |w, base| {
                    w.bytes(base);
                });
            }
            Ask::Chunk { bytes } => {
                w.u8(3).bytes(bytes);
            }
            Ask::Run(request) => request.write(w.u8(4)),
            Ask::Input { bytes } => {
                w.u8(5).bytes(bytes);
            }
            Ask::Signal { signal } => {
                w.u8(6).i32(*signal);
            }
            Ask::Credit { bytes } => {
                w.u8(7).u64(*bytes);
            }
            Ask::Nodes => {
                w.u8(8);
            }
            Ask::Jobs => {
                w.u8(9);
            }
            Ask::Kill { job, process } => {
                w.u8(10).text(job).option(process.as_ref(), |w, process| {
                    w.text(process);
                });
            }
            Ask::Drain { node, on } => {
                w.u8(11).text(node).bool(*on);
            }
            Ask::Renew => {
                w.u8(12);
            }
            Ask::Attach { job, from } => from.write(w.u8(13).text(job)),
            Ask::Logs { job, from, follow } => {
                from.write(w.u8(14).text(job));
                w.bool(*follow);
            }
            Ask::Why { job, process } => {
                w.u8(15).text(job).option(process.as_ref(), |w, process| {
                    w.text(process);
                });
            }
            Ask::Unread { stream } => stream.write(w.u8(16)),
            Ask::Beat => {
                w.u8(17);
            }
            Ask::Stopped => {
                w.u8(18);
            }
            Ask::Past => {
                w.u8(19);
            }
            Ask::Report { report, file } => {
                report.write(w.u8(20));
                write_file(&mut w, file);
            }
        }
        w.finish()
    }

    /// Whether it may wait for what else is asked.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Ask::Report { report, .. } if report.is_bulk())
    }

    /// What these bytes ask.
    pub fn decode(message: &[u8]) -> Result<Ask, Malformed> {
        let r = &mut Reader::new(message);
        Ok(match r.u8()? {
            1 => Ask::Hello {
                version: read_version(r)?,
            },
            2 => Ask::Image {
                digest: read_digest(r)?,
                len: r.u64()?,
                bases: r.list(read_digest)?,
            },
            3 => Ask::Chunk {
                bytes: r.bytes()?.to_vec(),
            },
            4 => Ask::Run(Box::new(RunRequest::read(r)?)),
            5 => Ask::Input {
                bytes: r.bytes()?.to_vec(),
            },
            6 => Ask::Signal { signal: r.i32()? },
            7 => Ask::Credit { bytes: r.u64()? },
            8 => Ask::Nodes,
            9 => Ask::Jobs,
            10 => Ask::Kill {
                job: r.text()?.to_string(),
                process: r.option(|r| Ok(r.text()?.to_string()))?,
            },
            11 => Ask::Drain {
                node: r.text()?.to_string(),
                on: r.bool()?,
            },
            12 => Ask::Renew,
            13 => Ask::Attach {
                job: r.text()?.to_string(),
                from: Position::read(r)?,
            },
            14 => Ask::Logs {
                job: r.text()?.to_string(),
                from: Position::read(r)?,
                follow: r.bool()?,
            },
            15 => Ask::Why {
                job: r.text()?.to_string(),
                process: r.option(|r| Ok(r.text()?.to_string()))?,
            },
            16 => Ask::Unread {
                stream: Stream::read(r)?,
            },
            17 => Ask::Beat,
            18 => Ask::Stopped,
            19 => Ask::Past,
            20 => Ask::Report {
                report: Box::new(JobReport::read(r)?),
                file: read_file(r)?,
            },
            _ => return Err(Malformed("an unknown question")),
        })
    }
}

impl RunRequest {
    fn write(&self, w: &mut Writer) {
        w.bytes(&self.image).text(&self.worker);
        w.list(&self.args, |w, word| {
            w.bytes(word);
        });
        w.list(&self.env, |w, (name, value)| {
            w.bytes(name).bytes(value);
        });
        w.option(self.resources, write_resources)
            .bool(self.stdout_is_terminal)
            .bool(self.stderr_is_terminal)
            .bool(self.is_detached)
            .option(self.files.as_ref(), |w, digest| {
                w.bytes(digest);
            })
            .bool(self.is_here);
    }

    fn read(r: &mut Reader<'_>) -> Result<RunRequest, Malformed> {
        Ok(RunRequest {
            image: read_digest(r)?,
            worker: r.text()?.to_string(),
            args: r.list(|r| Ok(r.bytes()?.to_vec()))?,
            env: r.list(|r| Ok((r.bytes()?.to_vec(), r.bytes()?.to_vec())))?,
            resources: r.option(read_resources)?,
            stdout_is_terminal: r.bool()?,
            stderr_is_terminal: r.bool()?,
            is_detached: r.bool()?,
            files: r.option(read_digest)?,
            is_here: r.bool()?,
        })
    }
}

impl Position {
    fn write(self, w: &mut Writer) {
        w.u64(self.sequence).u64(self.output);
    }

    fn read(r: &mut Reader<'_>) -> Result<Position, Malformed> {
        Ok(Position {
            sequence: r.u64()?,
            output: r.u64()?,
        })
    }
}
