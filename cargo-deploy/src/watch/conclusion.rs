//! The end of a job as the person at this terminal is told of it, and the code to exit with.
//!
//! Deliberately absent: how it came to it.

use super::{End, Watch};
use crate::{back::Errand, clusters, failure::Failure, files::Files};
use deploy_bridge::Broken;
use deploy_sys::{signal, tell};
use deploy_wire::{client::GRACE, code::OwnCode};
use nix::libc::SIGPIPE;
use std::{fmt::Display, io};

impl Watch {
    /// Says what is left to say.
    pub(super) fn conclude(self, end: End, errand: &Errand) -> Result<i32, Failure> {
        let cause = self
            .initial_end
            .and_then(|status| self.interrupts.cause_of(status));
        let missing = self.files.as_ref().and_then(Files::failure);
        let missing = missing.map(str::to_string);
        let verdict = self.terminal.finish();
        let is_lost = |broken: &&Broken| broken.error.kind() != io::ErrorKind::BrokenPipe;
        let lost = verdict.broken.iter().find(is_lost);
        // Whoever reads no more has seen enough; where a disk is full, something is missing.
        if let (End::SoFar | End::Enough, Some(broken)) = (&end, lost) {
            return Ok(lost_bytes(broken));
        }
        match end {
            End::Finished => {}
            End::SoFar => return Ok(missing.map_or(0, |why| lost_bytes(&why))),
            End::Refused(code, why) => return Err(Failure::refused(code, why)),
            End::Enough => {
                signal::reraise(SIGPIPE);
                return Ok(OwnCode::Output.number());
            }
            End::Lost(why) => return Err(lost_connection(errand, &why)),
        }
        if let Some(word) = verdict.last_word.filter(|_| cause.is_none()) {
            tell_last_word(&word, &clusters::job_words(errand.job, &errand.identity));
        }
        if let Some(broken) = lost {
            let code = lost_bytes(broken);
            if verdict.exit_code == 0 || verdict.exit_code == SIGPIPE_CODE {
                return Ok(code);
            }
        }
        if let Some(why) = missing {
            let code = lost_bytes(&why);
            if verdict.exit_code == 0 {
                return Ok(code);
            }
        }
        if let Some(signal) = cause {
            signal::reraise(signal); // So that the shell sees what it would see of a plain program.
        }
        Ok(verdict.exit_code.into())
    }
}

fn lost_connection(errand: &Errand, why: &str) -> Failure {
    let address = &errand.identity.address;
    let words = clusters::job_words(errand.job, &errand.identity);
    let then = match errand.is_detached || !errand.is_owner {
        true => String::new(),
        false => format!("; it ends {} s after it is left alone", GRACE.as_secs()),
    };
    Failure::connection(format!(
        "the connection to the cluster at {address} is lost ({why}): `cargo deploy attach {words}` goes back to \
         the job{then}"
    ))
}

/// Whoever has hundreds of processes before them reads the end first.
fn tell_last_word(word: &str, job: &str) {
    tell!("cargo deploy: {word}");
    tell!(
        "cargo deploy: `cargo deploy why {job}` says who did not end well, and how, `cargo deploy logs {job}` shows all again"
    );
}

/// Of what could not be written, on the terminal or in files. Returns the code for it.
fn lost_bytes(why: &impl Display) -> i32 {
    tell!("cargo deploy: {why}");
    OwnCode::Output.number()
}

/// Of a process that wrote where nobody reads.
const SIGPIPE_CODE: u8 = 128 + SIGPIPE as u8;
