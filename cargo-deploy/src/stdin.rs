//! Standard input on its way to the job's first process.
//!
//! A terminal is read only while this is its foreground job, as by any program: in the background the read would stop us.
//! How much the other side wants is not known here. So some pieces are read ahead: what the connection takes, and two.

use crate::line::Line;
use deploy_sys::process;
use nix::{
    errno::Errno,
    libc::SIGTTIN,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{getpgrp, tcgetpgrp},
};
use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    os::fd::AsFd,
    thread,
    time::Duration,
};

/// Starts the thread that reads and forwards, until the end of the input or of the connection.
pub fn forward(line: Line) -> io::Result<()> {
    let stdin = io::stdin();
    let is_terminal = stdin.is_terminal();
    // Std's own reader would take more than it gives.
    let input = File::from(stdin.as_fd().try_clone_to_owned()?);
    let run = move || {
        // Blocked, so that a read that is too late to see that we went to the background fails, and nobody is stopped.
        process::set_blocked_signals(process::blocked_signals() | 1 << (SIGTTIN - 1));
        while let Some(bytes) = next(&input, is_terminal) {
            let is_end = bytes.is_empty();
            if !line.send_input(bytes) || is_end {
                return;
            }
        }
    };
    thread::Builder::new().name("stdin".into()).spawn(run)?;
    Ok(())
}

/// The next piece; an empty one at the end. Nothing if it cannot be known any more.
fn next(mut input: &File, is_terminal: bool) -> Option<Vec<u8>> {
    let mut bytes = vec![0; PIECE_BYTES];
    loop {
        if is_terminal && !is_in_foreground(input) {
            // Nothing tells when that changes.
            thread::sleep(LOOK_AGAIN);
            continue;
        }
        match input.read(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return Some(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(input),
            Err(error) if is_terminal && is(&error, Errno::EIO) && !is_in_foreground(input) => {}
            // The terminal has gone, or it is no input at all: nothing will come.
            Err(_) => return Some(Vec::new()),
        }
    }
}

fn is_in_foreground(terminal: &File) -> bool {
    // A terminal that has gone is read, so that this is seen.
    tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
}

/// Somebody who shares it has made it non-blocking.
fn wait(input: &File) {
    // After an error the read says what is wrong.
    let _ = poll(
        &mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)],
        PollTimeout::NONE,
    );
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// Half of what a pipe holds: enough for full speed.
const PIECE_BYTES: usize = 32 << 10;
/// Sooner than a person types after `fg`.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
