//! The standard input of a job's initial process, as it passes through here.
//!
//! Deliberately absent: any look at the bytes; a queue, for what the process does not take stays with the client.
//!
//! An initial process may be replaced by another on another node, before any code behind its `init` has run. What was sent to
//! the first is sent to the second; so it is kept here until it is clear that the first one stays.

use super::{Deed, Job, Nonsense, Stage};
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    client::INPUT_BYTES_MAX,
    job::JobOrder,
};

/// How much came, and how much of it was taken.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// All that ever came from clients.
    received: u64,
    /// What the initial process that there is now has taken.
    taken: u64,
    /// What the client was told of that.
    told: u64,
    is_over: bool,
    before: Before,
}

/// What another initial process would have to be sent.
#[derive(Debug)]
enum Before {
    Kept(Vec<u8>),
    /// None can take its place any more, or it could not be given what this one had.
    Settled,
}

impl Default for Before {
    fn default() -> Before {
        Before::Kept(Vec::new())
    }
}

impl Input {
    /// It in bytes.
    pub(super) fn write(&self, w: &mut Writer) {
        w.u64(self.received).u64(self.taken).u64(self.told);
        let kept = match &self.before {
            Before::Kept(kept) => Some(kept),
            Before::Settled => None,
        };
        w.bool(self.is_over).option(kept, |w, kept| {
            w.bytes(kept);
        });
    }

    /// Becomes what these bytes say.
    pub(super) fn read(&mut self, r: &mut Reader<'_>) -> Result<(), Malformed> {
        (self.received, self.taken, self.told) = (r.u64()?, r.u64()?, r.u64()?);
        self.is_over = r.bool()?;
        let kept = r.option(|r| Ok(r.bytes()?.to_vec()))?;
        self.before = kept.map_or(Before::Settled, Before::Kept);
        Ok(())
    }
}

impl Job {
    /// Bytes for the initial process's standard input; none: its end. Fails if they are more than there is room for.
    pub(super) fn handle_input(&mut self, bytes: Vec<u8>) -> Result<(), Nonsense> {
        let input = &mut self.input;
        let received = input.received + bytes.len() as u64;
        if received > input.told + INPUT_BYTES_MAX {
            return Err(Nonsense::new("more input comes than there is room for"));
        }
        input.received = received;
        input.is_over |= bytes.is_empty();
        if let Before::Kept(kept) = &mut input.before {
            kept.extend_from_slice(&bytes);
            if kept.len() as u64 > INPUT_BYTES_MAX {
                input.before = Before::Settled; // Who has taken so much is behind its `init`.
            }
        }
        self.send_input(bytes);
        Ok(())
    }

    /// How many bytes of standard input have come.
    pub fn input(&self) -> u64 {
        self.input.received
    }

    /// How many of them were taken, as far as a client was to be told.
    pub fn input_taken(&self) -> u64 {
        self.input.told
    }

    /// The initial process has taken so much more.
    pub(super) fn handle_input_taken(&mut self, bytes: u64) {
        let input = &mut self.input;
        input.taken += bytes;
        if input.taken > input.told {
            input.told = input.taken;
            let bytes = input.told;
            self.deeds.push_back(Deed::TellTaken { bytes });
        }
    }

    /// Whether so much more can have been taken.
    pub(super) fn is_sent(&self, bytes: u64) -> bool {
        bytes <= self.input.received - self.input.taken
    }

    /// The initial process stays the one.
    pub(super) fn settle_input(&mut self) {
        self.input.before = Before::Settled;
    }

    /// Another initial process begins in the place of the first, or the first does.
    pub(super) fn repeat_input(&mut self) {
        let Before::Kept(kept) = &self.input.before else {
            return;
        };
        let (kept, is_over) = (kept.clone(), self.input.is_over);
        self.input.taken = 0;
        if !kept.is_empty() {
            self.send_input(kept);
        }
        if is_over {
            self.send_input(Vec::new());
        }
    }

    /// Before there is an initial process, nothing is lost by this: it is sent when it begins.
    fn send_input(&mut self, bytes: Vec<u8>) {
        if self.processes.count() > 0 && self.stage(self.initial) != Stage::Gone {
            self.order(self.initial, JobOrder::Input { bytes });
        }
    }
}
