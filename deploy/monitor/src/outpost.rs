//! The hands of a job whose head is elsewhere, as on each machine of a cluster.
//!
//! Deliberately absent: how the head is reached, which only the head's part here knows.

use crate::{
    exchange::Channels,
    head::Head,
    input::Input,
    launcher::Program,
    run::{Hands, Loop},
};
use deploy_wire::{pid::Job, secret::Secret};
use std::{io, time::Instant};

/// What the hands of such a job have to know.
#[derive(Clone, Debug)]
pub struct Posting {
    /// What is executed.
    pub program: Program,
    /// Which job its processes belong to.
    pub job: Job,
    /// The identity of the program's code.
    pub image: u128,
    /// What connections between this and other machines are proved with; none, where there are none but by way of the head.
    pub key: Option<Secret>,
    /// Whether this is the machine of the person whose job it is: then the initial process has this process's own standard
    /// input and whatever else the shell left open, and nothing is limited.
    pub is_at_home: bool,
    /// Whether the processes' standard output ends at a terminal.
    pub stdout_is_terminal: bool,
    /// The same for standard error.
    pub stderr_is_terminal: bool,
}

/// The hands of one job on one machine.
#[derive(Debug)]
pub struct Outpost(Loop);

impl Outpost {
    /// Makes this process one that starts others: it adopts orphans, catches signals and raises its limit on descriptors.
    ///
    /// # Errors
    /// If this process has been made one before, or the kernel refuses something.
    pub fn new(posting: Posting) -> io::Result<Outpost> {
        let hands = Loop::new(Hands {
            program: posting.program,
            job: posting.job,
            image: posting.image,
            channels: Channels::Sockets,
            key: posting.key,
            input: match posting.is_at_home {
                true => None,
                false => Some(Input::new()?),
            },
            is_limited: !posting.is_at_home,
            stdout_is_terminal: posting.stdout_is_terminal,
            stderr_is_terminal: posting.stderr_is_terminal,
        })?;
        Ok(Outpost(hands))
    }

    /// Does what the head decides. Returns when it begins nothing any more and every process has ended; nothing is left
    /// of them then.
    ///
    /// # Errors
    /// If the kernel fails us; the processes end with this one.
    ///
    /// # Panics
    /// If this program's `main` has not called [`keep_if_asked`](crate::keep_if_asked).
    pub fn run(mut self, head: &mut dyn Head) -> io::Result<()> {
        self.0.household.expect_keeper(Instant::now());
        self.0.serve(head)?;
        self.0.household.clear();
        Ok(())
    }
}
