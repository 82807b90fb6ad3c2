//! A warden: the monitor of one job's processes on one node.
//!
//! Deliberately absent: any decision, which is the master's; any file or directory of its own, because its node gives it
//! the directory that it works in and clears up after it; and any credential but the job's key.
//!
//! # The story
//! 1. The node starts it with one end of a packet socket as standard input. The first order is `Open`, and the program
//!    to execute lies beside it.
//! 2. From then on it is the hands of [`deploy_monitor`], and what it has of a head is far away: what processes ask becomes
//!    a report, and an order becomes a deed.
//! 3. After `Close`, or when the node is gone, or says what makes no sense, everything is killed. When nothing is left it
//!    reports `Closed`, as its last words, and ends.

use crate::confine;
use deploy_monitor::{Control, Deed, Head, Outpost, Posting, Program};
use deploy_parcel::tree;
use deploy_sys::{code, fd, packet, process, signal};
use deploy_wire::{
    bytes::Malformed,
    control::{Argument, Notice, Refusal, Request},
    event::Stream,
    exit::End,
    job::{Begin, JobOrder, JobReport, OpenJob},
    pid::Pid,
    secret::Secret,
};
use std::{
    collections::{HashSet, VecDeque},
    ffi::OsString,
    fs::File,
    io::{self, BufReader},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The word on the command line that makes this program one.
pub const WORD: &str = "warden";

/// Serves as a warden whose node is at the other end of standard input. Returns when nothing of the job is left here. All
/// of the job is kept out of the directory `hidden`, but for the one that this process is in.
///
/// # Errors
/// If its node says what makes no sense, or the kernel fails us. What it has started ends with it.
pub fn run_at_stdin(hidden: Option<PathBuf>) -> io::Result<()> {
    process::die_with_parent()?;
    confine::confine()?;
    // However the node was started: a person's Ctrl-C is passed on, and is to have its usual effect.
    signal::forget_ignored()?;
    // Fails where it has one of its own already, and then it needs no other.
    let _ = process::begin_session();
    let socket = fd::raise(io::stdin().as_fd().try_clone_to_owned()?)?;
    run(socket, hidden.as_deref())
}

/// The same, whose node is at the other end of this packet socket.
fn run(socket: OwnedFd, hidden: Option<&Path>) -> io::Result<()> {
    let mut packet = Vec::new();
    let Some(descriptors) = packet::receive(socket.as_fd(), &mut packet)? else {
        return Ok(()); // The node ended before it had a job for this warden.
    };
    let mut descriptors = descriptors.into_iter();
    let (program, files) = (descriptors.next(), descriptors.next());
    let (JobOrder::Open(open), Some(program)) = (decode(&packet)?, program) else {
        return Err(nonsense(
            "the first order is not Open, or the program is missing",
        ));
    };
    // It stays open, under this number, for every process to be executed from.
    let program = File::from(fd::raise(program)?);
    let mut far = Far::new(socket);
    let kept_out = hidden.map_or(Ok(()), |hidden| confine::keep_out(hidden, &program));
    let furnished = kept_out.and_then(|()| files.map_or(Ok(()), furnish));
    let outpost = match furnished.and_then(|()| post(*open, &program)) {
        Ok(outpost) => outpost,
        Err(error) => {
            let why = format!("the job could not be prepared: {error}");
            far.report(&JobReport::Failed { why }, None);
            return far.finish();
        }
    };
    far.report(&JobReport::Opened, None);
    outpost.run(&mut far)?;
    far.report(&JobReport::Closed, None);
    far.finish()
}

/// Puts the files that the job finds into its directory, which this process is in, as the user that it is.
fn furnish(files: OwnedFd) -> io::Result<()> {
    tree::unpack(BufReader::new(File::from(files)), Path::new("."))
}

fn post(open: OpenJob, program: &File) -> io::Result<Outpost> {
    let text = OsString::from_vec;
    Outpost::new(Posting {
        program: Program {
            exe: PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd())),
            args: open.args.into_iter().map(text).collect(),
            env: open
                .env
                .into_iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            wrap: None,
            initial_worker: String::new(),
        },
        job: open.job,
        // By that its processes know themselves; the digest, which is the same everywhere, was verified by the node.
        image: code::image_in(program)?,
        key: Secret::from_bytes(open.key),
        stdout_is_terminal: open.stdout_is_terminal,
        stderr_is_terminal: open.stderr_is_terminal,
    })
}

/// The master, as far as it is here.
struct Far {
    node: Control,
    /// Whether the socket may hold another order.
    is_readable: bool,
    /// How many bytes of output the master will still take. One read may overrun it.
    credit: i64,
    /// Nobody reads what is written there.
    unread: HashSet<Stream>,
    /// The numbers of all processes that were ever to begin here.
    numbers: HashSet<u32>,
    /// What was decided here.
    own: VecDeque<Deed>,
    /// Whether no order follows: the job was closed, or the node is gone.
    is_over: bool,
    /// What made no sense.
    nonsense: Option<Malformed>,
    packet: Vec<u8>,
    /// What output is read into, again and again.
    buffer: Vec<u8>,
}

impl Far {
    fn new(socket: OwnedFd) -> Far {
        Far {
            node: Control::new(socket),
            is_readable: true,
            credit: 0,
            unread: HashSet::new(),
            numbers: HashSet::new(),
            own: VecDeque::new(),
            is_over: false,
            nonsense: None,
            packet: Vec::new(),
            buffer: Vec::new(),
        }
    }

    fn report(&mut self, report: &JobReport, file: Option<OwnedFd>) {
        self.send(report.encode(), file);
    }

    fn send(&mut self, packet: Vec<u8>, file: Option<OwnedFd>) {
        if self.node.send(packet, file.into_iter().collect()).is_err() {
            self.give_up(Malformed("the node does not read what is reported"));
        }
    }

    /// Has everything that waits sent, and says whether all made sense.
    fn finish(mut self) -> io::Result<()> {
        let _ = self.node.flush_blocking(); // Fails only if the node is gone, and nobody is left to tell.
        self.nonsense.map_or(Ok(()), |why| Err(nonsense(why.0)))
    }

    fn give_up(&mut self, why: Malformed) {
        self.is_over = true;
        self.is_readable = false;
        self.nonsense.get_or_insert(why);
    }

    /// The deed that an order asks for; none, if there is nothing to do about it.
    fn handle_order(
        &mut self,
        order: JobOrder,
        beside: Option<OwnedFd>,
    ) -> Result<Option<Deed>, Malformed> {
        Ok(Some(match order {
            JobOrder::Open(_) => return Err(Malformed("a job is opened once")),
            JobOrder::Begin(begin) => {
                self.check(&begin, beside.is_some())?;
                Deed::Begin(begin, beside)
            }
            JobOrder::Tell { number, notice } => Deed::Tell(number, notice),
            JobOrder::Connect { one, other, at } => {
                let are_numbers = one.max(other) < Pid::COUNT_MAX && one != other;
                match at {
                    _ if !are_numbers => return Err(Malformed("these two cannot be connected")),
                    Some(at) => Deed::Dial(one, other, at),
                    None => Deed::Connect(one, other),
                }
            }
            JobOrder::Accept { hello } => {
                let missing = Malformed("the connection is missing");
                Deed::Accept(beside.ok_or(missing)?, hello)
            }
            JobOrder::Kill { number } => Deed::Kill(number),
            JobOrder::Signal { number, signal } => Deed::Signal(number, signal),
            JobOrder::Input { bytes } => Deed::Input(bytes),
            JobOrder::Credit { bytes } => {
                let more = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.credit = self.credit.saturating_add(more);
                return Ok(None);
            }
            JobOrder::Close => self.end(),
            JobOrder::Unread { stream } => {
                self.unread.insert(stream);
                return Ok(None);
            }
        }))
    }

    /// No order follows.
    fn end(&mut self) -> Deed {
        self.is_over = true;
        self.is_readable = false;
        Deed::End
    }

    fn check(&mut self, begin: &Begin, has_file: bool) -> Result<(), Malformed> {
        let highest = begin.number.max(begin.parent.unwrap_or(0));
        if highest >= Pid::COUNT_MAX || !self.numbers.insert(begin.number) {
            return Err(Malformed("a process has a number that it cannot have"));
        }
        let argument = begin.work.as_ref().map(|work| &work.argument);
        if matches!(argument, Some(Argument::File { .. })) != has_file {
            return Err(Malformed(
                "an argument's file is missing, or none's is there",
            ));
        }
        Ok(())
    }
}

impl Head for Far {
    fn handle_request(
        &mut self,
        from: u32,
        request: Request,
        file: Option<OwnedFd>,
    ) -> Result<(), Malformed> {
        if let (Request::Spawn(spawn), Some(file)) = (&request, &file)
            && let Some(why) = too_long(file)
        {
            let notice = Notice::Spawned {
                id: spawn.id,
                result: Err(Refusal::Launch { why }),
                seal: None,
            };
            self.own.push_back(Deed::Tell(from, notice));
            return Ok(());
        }
        let packet = JobReport::Asked { from, request }.encode();
        if packet.len() > packet::PACKET_BYTES_MAX {
            return Err(Malformed("it is too long to be handed on"));
        }
        self.send(packet, file);
        Ok(())
    }

    fn handle_begun(&mut self, number: u32, _: Instant) {
        self.report(&JobReport::Begun { number }, None);
    }

    fn handle_not_begun(&mut self, number: u32, why: String) {
        self.report(&JobReport::NotBegun { number, why }, None);
    }

    fn handle_death(&mut self, number: u32, end: End, out_of_memory: bool) {
        let died = JobReport::Died {
            number,
            end,
            out_of_memory,
        };
        self.report(&died, None);
    }

    fn handle_farewell(&mut self, number: u32, _: Instant) {
        self.report(&JobReport::Left { number }, None);
    }

    /// Nobody but the person at the master speaks for the job: it is told how the processes end, and no more.
    fn handle_persons_signal(&mut self, _: i32) {}

    fn handle_persons_kill(&mut self) {
        self.is_over = true;
    }

    fn handle_output(&mut self, number: u32, stream: Stream, mut bytes: Vec<u8>, _: Instant) {
        self.credit -= bytes.len() as i64;
        for chunk in bytes.chunks(OUTPUT_BYTES_MAX) {
            let output = JobReport::Output {
                number,
                stream,
                bytes: chunk.to_vec(),
            };
            self.report(&output, None);
        }
        bytes.clear();
        self.buffer = bytes;
    }

    fn handle_note(&mut self, number: u32, mut text: String, _: Instant) {
        let mut ends = (0..=NOTE_BYTES_MAX).rev();
        text.truncate(ends.find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        self.report(&JobReport::Noted { number, text }, None);
    }

    fn handle_not_connected(&mut self, one: u32, other: u32, why: String) {
        self.report(&JobReport::ConnectFailed { one, other, why }, None);
    }

    fn handle_input_taken(&mut self, bytes: u64) {
        self.report(&JobReport::InputTaken { bytes }, None);
    }

    fn poll_deed(&mut self) -> Option<Deed> {
        if let Some(deed) = self.own.pop_front() {
            return Some(deed);
        }
        while self.is_readable {
            let mut packet = std::mem::take(&mut self.packet);
            let received = self.node.receive(&mut packet);
            let order = decode(&packet);
            self.packet = packet;
            let deed = match received {
                Ok(Some(beside)) => order
                    .map_err(|_| Malformed("an order cannot be read"))
                    .and_then(|order| self.handle_order(order, beside.into_iter().next())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return None;
                }
                Ok(None) | Err(_) => Ok(Some(self.end())), // The node is gone.
            };
            match deed {
                Ok(None) => {}
                Ok(deed) => return deed,
                Err(why) => {
                    self.give_up(why);
                    return Some(Deed::End);
                }
            }
        }
        None
    }

    fn is_full(&self) -> bool {
        self.credit <= 0 || self.is_choked()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let is_refused = self.node.is_refused();
        is_refused.then(|| Instant::now() + RETRY_AFTER)
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.node.flush();
    }

    fn wants(&self, stream: Stream) -> bool {
        !self.unread.contains(&stream)
    }

    fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn is_choked(&self) -> bool {
        self.node.waiting() > WAITING_REPORTS_MAX
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.node.as_fd())
    }

    fn handle_socket(&mut self) {
        self.is_readable = !self.is_over;
        self.node.flush();
    }
}

/// Why a process cannot be begun with the argument in that file, if it cannot.
fn too_long(file: &OwnedFd) -> Option<String> {
    let len = File::from(file.try_clone().ok()?).metadata().ok()?.len();
    (len > ARGUMENT_BYTES_MAX).then(|| {
        format!(
            "its argument takes {} MiB, and through a cluster it may take {}: send long values by a channel",
            len >> 20,
            ARGUMENT_BYTES_MAX >> 20
        )
    })
}

fn decode(packet: &[u8]) -> io::Result<JobOrder> {
    JobOrder::decode(packet).map_err(|why| nonsense(why.0))
}

fn nonsense(why: &str) -> io::Error {
    let text = format!("the node's orders make no sense: {why}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The longest argument of a process: it goes by way of the master, in one message, which holds twice as much.
pub const ARGUMENT_BYTES_MAX: u64 = 32 << 20;
/// A packet holds it, with its head; one read of a pipe is two of them.
const OUTPUT_BYTES_MAX: usize = 128 << 10;
/// Longer than any line that the library writes.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// What may wait for a node that is slow to read, before nothing more is taken from the processes.
const WAITING_REPORTS_MAX: usize = 1 << 10;
/// How soon to send again what the kernel had no room for and will not announce.
const RETRY_AFTER: Duration = Duration::from_millis(10);
