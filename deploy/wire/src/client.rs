//! What a person's client and the bridge say to each other.
//!
//! The client speaks first, with `Hello`, and is answered in kind or refused. What it asks after that is answered in
//! the order of asking, but that a program's answers come when the disk has done its part. Once it runs a job or is
//! attached to one, the job's events come unasked until `Finished`; output is sent only as far as the client has granted
//! credit for, so a slow terminal slows its own job and nobody else.
//!
//! A job's events are numbered from 0 on. A client that has lost its connection attaches from where it was, on another; one
//! client at a time has a job, and the latest is the one.

use crate::{
    bytes::{Malformed, Reader, Writer},
    control::{read_pid, read_resources, read_status, write_pid, write_resources, write_status},
    event::{Event, Stream},
    exit::ExitStatus,
    job::{JobOrder, JobReport},
    node::{read_file, write_file},
    pid::{Job, Pid},
    resources::Resources,
    wait::Waits,
};
use std::time::Duration;

/// The BLAKE3 digest of a program's file: its name on the cluster.
pub type Digest = [u8; 32];

/// The version of this protocol: a newer minor only adds messages, and fields at the end.
pub const VERSION: (u16, u16) = (0, 2);

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
    /// `ImageKnown` once the program is there. No more than [`CHUNKS_UNDER_WAY_MAX`] of them wait for an answer.
    Chunk {
        /// At most [`CHUNK_BYTES_MAX`] of them.
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

/// A machine, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeView {
    /// What it is called.
    pub name: String,
    /// Where its data port is.
    pub address: String,
    /// How it is: `up`, `suspected`, `draining`, `lost`, `expected`.
    pub state: String,
    /// What it has.
    pub capacity: Resources,
    /// What of that is free.
    pub free: Resources,
    /// How many processes run there.
    pub processes: u32,
    /// What keeps its jobs apart from each other and from it.
    pub isolation: String,
    /// What else it goes by, such as `disk=ssd`.
    pub labels: Vec<String>,
    /// Its glibc, such as `2.36`; nothing if that is not known.
    pub glibc: String,
}

/// A job, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct JobView {
    /// Which it is.
    pub job: Job,
    /// What its initial process runs.
    pub worker: String,
    /// Who started it.
    pub user: String,
    /// How many processes it has now.
    pub processes: u32,
    /// How long it has run, in seconds.
    pub seconds: u64,
    /// How it is: `runs`, `detached`, `left alone`, or how it ended.
    pub state: String,
}

/// A process, how it ended and why, as people see it.
#[derive(Clone, PartialEq, Debug)]
pub struct LifeView {
    /// Who it is.
    pub pid: Pid,
    /// Who asked for it; nobody, for the initial process.
    pub parent: Option<Pid>,
    /// Where it runs or ran.
    pub node: String,
    /// The function.
    pub worker: String,
    /// What it was granted.
    pub resources: Resources,
    /// How it ended; nothing while it lives.
    pub status: Option<ExitStatus>,
    /// Who brought that about, where somebody did and it is known, in words that follow "by": `ada`, `process 3fecd01`.
    pub by: Option<String>,
    /// Whether the job's exit code comes from it.
    pub is_blamed: bool,
    /// What it has waited for, for longer than a moment.
    pub waits: Waits,
}

/// The most that one `Chunk` carries: large enough for full speed, small enough to stay behind nothing for long.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Chunks that wait to be taken in: 2 MiB, enough for 20 MB/s at a distance of 100 ms, and on their way within the time
/// that an answer may take on a line of 1 Mbit/s.
pub const CHUNKS_UNDER_WAY_MAX: usize = 8;

/// A program larger than that is no change of another, nor another of it, since both lie in the client's memory for it.
pub const CHANGE_BYTES_MAX: u64 = 512 << 20;

/// What a client grants at first, before it has written anything: some tens of milliseconds at full speed.
pub const CREDIT_BYTES_FIRST: u64 = 4 << 20;

/// How much standard input may be on its way, sent and not taken: what is lost with a connection is sent again from the
/// client's memory.
pub const INPUT_BYTES_MAX: u64 = 1 << 20;

/// How long a job that is not detached goes on when its client is gone: time to wake a laptop, to change networks, and to
/// type `cargo deploy attach`; and little enough that nobody's forgotten job keeps others waiting.
pub const GRACE: Duration = Duration::from_secs(60);

/// How often a client that has a job says something.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A client that has said nothing for so long, and has not said that it would, is gone: three beats, one of which is late.
pub const GONE_AFTER: Duration = Duration::from_secs(15);

impl Ask {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Ask::Hello { version } => write_version(w.u8(1), *version),
            Ask::Image { digest, len, bases } => {
                write_list(w.u8(2).bytes(digest).u64(*len), bases, |w, base| {
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
            Ask::Unread { stream } => write_stream(w.u8(16), *stream),
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
                bases: read_list(r, read_digest)?,
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
                stream: read_stream(r)?,
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
        write_list(w, &self.args, |w, word| {
            w.bytes(word);
        });
        write_list(w, &self.env, |w, (name, value)| {
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
            args: read_list(r, |r| Ok(r.bytes()?.to_vec()))?,
            env: read_list(r, |r| Ok((r.bytes()?.to_vec(), r.bytes()?.to_vec())))?,
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
                write_event(w.u8(5), event);
                w.u64(*sequence);
            }
            Answer::Finished => {
                w.u8(6);
            }
            Answer::Refused { code, why } => {
                w.u8(7).u8(*code).text(why);
            }
            Answer::Nodes(nodes) => write_list(w.u8(8), nodes, |w, node| node.write(w)),
            Answer::Jobs(jobs) => write_list(w.u8(9), jobs, |w, job| job.write(w)),
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
            Answer::Lives(lives) => write_list(w.u8(15), lives, |w, life| life.write(w)),
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
                event: read_event(r)?,
                sequence: r.u64()?,
            },
            6 => Answer::Finished,
            7 => Answer::Refused {
                code: r.u8()?,
                why: r.text()?.to_string(),
            },
            8 => Answer::Nodes(read_list(r, NodeView::read)?),
            9 => Answer::Jobs(read_list(r, JobView::read)?),
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
            15 => Answer::Lives(read_list(r, LifeView::read)?),
            16 => Answer::Beat,
            17 => Answer::Order {
                order: Box::new(JobOrder::read(r)?),
                file: read_file(r)?,
            },
            _ => return Err(Malformed("an unknown answer")),
        })
    }
}

impl NodeView {
    fn write(&self, w: &mut Writer) {
        w.text(&self.name).text(&self.address).text(&self.state);
        write_resources(w, self.capacity);
        write_resources(w, self.free);
        w.u32(self.processes).text(&self.isolation);
        write_list(w, &self.labels, |w, label| {
            w.text(label);
        });
        w.text(&self.glibc);
    }

    fn read(r: &mut Reader<'_>) -> Result<NodeView, Malformed> {
        Ok(NodeView {
            name: r.text()?.to_string(),
            address: r.text()?.to_string(),
            state: r.text()?.to_string(),
            capacity: read_resources(r)?,
            free: read_resources(r)?,
            processes: r.u32()?,
            isolation: r.text()?.to_string(),
            labels: read_list(r, |r| Ok(r.text()?.to_string()))?,
            glibc: r.text()?.to_string(),
        })
    }
}

impl JobView {
    fn write(&self, w: &mut Writer) {
        w.u128(self.job.bits())
            .text(&self.worker)
            .text(&self.user)
            .u32(self.processes)
            .u64(self.seconds)
            .text(&self.state);
    }

    fn read(r: &mut Reader<'_>) -> Result<JobView, Malformed> {
        Ok(JobView {
            job: Job::from_bits(r.u128()?),
            worker: r.text()?.to_string(),
            user: r.text()?.to_string(),
            processes: r.u32()?,
            seconds: r.u64()?,
            state: r.text()?.to_string(),
        })
    }
}

impl LifeView {
    fn write(&self, w: &mut Writer) {
        write_pid(w, self.pid);
        w.option(self.parent, write_pid)
            .text(&self.node)
            .text(&self.worker);
        write_resources(w, self.resources);
        w.option(self.status, write_status)
            .option(self.by.as_ref(), |w, by| {
                w.text(by);
            })
            .bool(self.is_blamed);
        self.waits.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<LifeView, Malformed> {
        Ok(LifeView {
            pid: read_pid(r)?,
            parent: r.option(read_pid)?,
            node: r.text()?.to_string(),
            worker: r.text()?.to_string(),
            resources: read_resources(r)?,
            status: r.option(read_status)?,
            by: r.option(|r| Ok(r.text()?.to_string()))?,
            is_blamed: r.bool()?,
            waits: Waits::read(r)?,
        })
    }
}

pub(crate) fn write_version(w: &mut Writer, (major, minor): (u16, u16)) {
    w.u32(u32::from(major)).u32(u32::from(minor));
}

pub(crate) fn read_version(r: &mut Reader<'_>) -> Result<(u16, u16), Malformed> {
    let mut part = || u16::try_from(r.u32()?).map_err(|_| Malformed("a version has 16 bits"));
    Ok((part()?, part()?))
}

pub(crate) fn read_digest(r: &mut Reader<'_>) -> Result<Digest, Malformed> {
    r.bytes()?
        .try_into()
        .map_err(|_| Malformed("a digest has 32 bytes"))
}

/// How many there are, then each.
pub(crate) fn write_list<T>(w: &mut Writer, list: &[T], item: impl Fn(&mut Writer, &T)) {
    w.u32(u32::try_from(list.len()).expect("lists are shorter than what they are made from"));
    list.iter().for_each(|entry| item(w, entry));
}

/// Nothing is set aside for items that are only announced.
pub(crate) fn read_list<'a, T>(
    r: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = r.u32()?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(item(r)?);
    }
    Ok(list)
}

fn write_event(w: &mut Writer, event: &Event) {
    match event {
        Event::Spawned {
            pid,
            parent,
            node,
            worker,
            resources,
        } => {
            write_pid(w.u8(1), *pid);
            w.option(*parent, write_pid).text(node).text(worker);
            write_resources(w, *resources);
        }
        Event::Output { pid, stream, bytes } => {
            write_pid(w.u8(2), *pid);
            write_stream(w, *stream);
            w.bytes(bytes);
        }
        Event::Noted { pid, text } => {
            write_pid(w.u8(3), *pid);
            w.text(text);
        }
        Event::Exited { pid, status } => {
            write_pid(w.u8(4), *pid);
            write_status(w, *status);
        }
    }
}

fn read_event(r: &mut Reader<'_>) -> Result<Event, Malformed> {
    let kind = r.u8()?;
    let pid: Pid = read_pid(r)?;
    Ok(match kind {
        1 => Event::Spawned {
            pid,
            parent: r.option(read_pid)?,
            node: r.text()?.to_string(),
            worker: r.text()?.to_string(),
            resources: read_resources(r)?,
        },
        2 => Event::Output {
            pid,
            stream: read_stream(r)?,
            bytes: r.bytes()?.to_vec(),
        },
        3 => Event::Noted {
            pid,
            text: r.text()?.to_string(),
        },
        4 => Event::Exited {
            pid,
            status: read_status(r)?,
        },
        _ => return Err(Malformed("an unknown event")),
    })
}

pub(crate) fn write_stream(w: &mut Writer, stream: Stream) {
    w.u8(match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    });
}

pub(crate) fn read_stream(r: &mut Reader<'_>) -> Result<Stream, Malformed> {
    match r.u8()? {
        1 => Ok(Stream::Stdout),
        2 => Ok(Stream::Stderr),
        _ => Err(Malformed("an unknown stream")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{End, Reason};
    use proptest::prelude::*;

    fn asks() -> Vec<Ask> {
        let run = RunRequest {
            image: [7; 32],
            worker: "hello::main".into(),
            args: vec![b"hello".to_vec(), vec![0xff]],
            env: vec![(b"NAME".to_vec(), b"value".to_vec())],
            resources: Some(Resources::default()),
            stdout_is_terminal: true,
            stderr_is_terminal: false,
            is_detached: true,
            files: Some([6; 32]),
            is_here: false,
        };
        let job = "ab12".to_string();
        let from = Position {
            sequence: 7,
            output: 1 << 40,
        };
        vec![
            Ask::Hello { version: VERSION },
            Ask::Image {
                digest: [9; 32],
                len: 1 << 33,
                bases: vec![[8; 32]],
            },
            Ask::Chunk {
                bytes: vec![1, 2, 3],
            },
            Ask::Run(Box::new(run)),
            Ask::Input { bytes: Vec::new() },
            Ask::Signal { signal: 2 },
            Ask::Credit { bytes: 1 << 20 },
            Ask::Nodes,
            Ask::Jobs,
            Ask::Kill {
                job: "ab12".into(),
                process: Some("3fecd01".into()),
            },
            Ask::Drain {
                node: "10.0.0.2:9999".into(),
                on: true,
            },
            Ask::Renew,
            Ask::Attach {
                job: job.clone(),
                from,
            },
            Ask::Logs {
                job: job.clone(),
                from,
                follow: true,
            },
            Ask::Why {
                job,
                process: Some("3fecd01".into()),
            },
            Ask::Unread {
                stream: Stream::Stderr,
            },
            Ask::Beat,
            Ask::Stopped,
            Ask::Past,
        ]
    }

    fn answers() -> Vec<Answer> {
        let job = Job::from_bits(1 << 99);
        let pid = Pid::new(job, 3);
        let node = NodeView {
            name: "n2".into(),
            address: "10.0.0.2:9999".into(),
            state: "up".into(),
            capacity: Resources::default(),
            free: Resources::default(),
            processes: 3,
            isolation: "own user, control group".into(),
            labels: vec!["gpu".into()],
            glibc: "2.36".into(),
        };
        let view = JobView {
            job,
            worker: "hello::main".into(),
            user: "ada".into(),
            processes: 2,
            seconds: 60,
            state: "runs".into(),
        };
        let life = LifeView {
            pid,
            parent: None,
            node: "n2".into(),
            worker: "hello::worker".into(),
            resources: Resources::default(),
            status: Some(ExitStatus::new(End::Signal(9)).because(Reason::Killed)),
            by: Some("ada".into()),
            is_blamed: true,
            waits: Waits::default(),
        };
        let events = [
            Event::Spawned {
                pid,
                parent: Some(Pid::new(job, 0)),
                node: "n2".into(),
                worker: "hello::worker".into(),
                resources: Resources::default(),
            },
            Event::Output {
                pid,
                stream: Stream::Stderr,
                bytes: vec![0, 255],
            },
            Event::Noted {
                pid,
                text: "waits".into(),
            },
            Event::Exited {
                pid,
                status: ExitStatus::new(End::Signal(9)).because(Reason::Killed),
            },
        ];
        let mut answers = vec![
            Answer::Order {
                order: Box::new(JobOrder::Close),
                file: None,
            },
            Answer::Hello {
                version: VERSION,
                cluster: "c0ffee".into(),
            },
            Answer::ImageKnown,
            Answer::ImageWanted {
                offset: 5,
                base: Some([8; 32]),
            },
            Answer::ImageTaken,
            Answer::Started { job },
            Answer::Finished,
            Answer::Refused {
                code: 72,
                why: "no room".into(),
            },
            Answer::Nodes(vec![node]),
            Answer::Jobs(vec![view]),
            Answer::Done,
            Answer::Renewed {
                certified: vec![4, 5],
            },
            Answer::Attached {
                job,
                input: 5,
                is_detached: true,
            },
            Answer::Missed { bytes: 1 << 33 },
            Answer::InputTaken { bytes: 9 },
            Answer::Lives(vec![life]),
            Answer::Beat,
        ];
        let sequence = 1 << 40;
        answers.extend(events.map(|event| Answer::Event { event, sequence }));
        answers
    }

    #[test]
    fn messages_come_back_whole_and_never_cut() {
        for ask in asks() {
            let bytes = ask.encode();
            assert!((0..bytes.len()).all(|cut| Ask::decode(&bytes[..cut]).is_err()));
            assert_eq!(Ask::decode(&bytes), Ok(ask));
        }
        for answer in answers() {
            let bytes = answer.encode();
            assert!((0..bytes.len()).all(|cut| Answer::decode(&bytes[..cut]).is_err()));
            assert_eq!(Answer::decode(&bytes), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ask::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }
    }
}
