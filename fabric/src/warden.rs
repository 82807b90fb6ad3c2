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
use deploy_monitor::{Far, Outpost, Posting, Program};
use deploy_parcel::{talk::Packer, tree};
use deploy_sys::{code, fd, packet, process, signal};
use deploy_wire::{
    job::{JobOrder, JobReport, OpenJob},
    secret::Secret,
};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
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
    let mut packer = Packer::default();
    let mut far = Far::new(socket, false).packing(move |bytes, now| packer.pack(bytes, now));
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
        key: Some(Secret::from_bytes(open.key)),
        is_at_home: false,
        stdout_is_terminal: open.stdout_is_terminal,
        stderr_is_terminal: open.stderr_is_terminal,
    })
}

fn decode(packet: &[u8]) -> io::Result<JobOrder> {
    JobOrder::decode(packet).map_err(|why| nonsense(why.0))
}

fn nonsense(why: &str) -> io::Error {
    let text = format!("the node's orders make no sense: {why}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
