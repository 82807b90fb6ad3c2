//! Those who read: who is behind and is sent what was kept, and who is live.
//!
//! Deliberately absent: what happens in jobs, and writing it.

use super::{ClientId, Desk};
use crate::master::{
    librarian::{Errand, Fetched},
    record::{Cursor, Found},
};
use deploy_wire::{
    client::{Answer, CREDIT_BYTES_FIRST, Position},
    pid,
};

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) job: pid::Job,
    pub(super) cursor: Cursor,
    pub(super) part: Part,
    /// How much more output it may be sent.
    pub(super) credit: i64,
    /// What it was sent of what was written down before it came, and has not granted anew: no warden waits for that.
    pub(super) old: u64,
    /// What was before it came.
    pub(super) old_until: u64,
    pub(super) is_live: bool,
    /// What is being read for it, if something is.
    errand: Option<u64>,
}

/// What somebody reads a record for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// It has the job.
    Owner,
    /// It looks on.
    Follower,
    /// It wants to know what there was.
    Reader,
}

impl Desk {
    /// A client is to be told what happens in a job, which is there, from this position on.
    pub fn attach(&mut self, client: ClientId, job: pid::Job, from: Position, part: Part) {
        self.forget(client);
        let Some(file) = self.files.get_mut(&job) else {
            return;
        };
        file.readers.insert(client);
        let end = file.record.next();
        // Nothing lies behind the end.
        let next = match from.sequence > end.sequence {
            true => end,
            false => from,
        };
        let reader = Reader {
            job,
            cursor: Cursor::at(next),
            part,
            credit: CREDIT_BYTES_FIRST as i64,
            old: 0,
            old_until: end.sequence,
            is_live: false,
            errand: None,
        };
        self.readers.insert(client, reader);
        self.behind.insert(client);
    }

    /// A client is gone, or reads nothing more.
    pub fn forget(&mut self, client: ClientId) {
        if let Some(reader) = self.readers.remove(&client)
            && let Some(file) = self.files.get_mut(&reader.job)
        {
            file.readers.remove(&client);
            file.awaiting.remove(&client);
        }
        self.behind.remove(&client);
    }

    /// A client has written so many bytes more. Returns how many of them the job's writers wait for.
    pub fn handle_credit(&mut self, client: ClientId, bytes: u64) -> u64 {
        let Some(reader) = self.readers.get_mut(&client) else {
            return 0;
        };
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        reader.credit = reader.credit.saturating_add(more);
        if !reader.is_live {
            self.behind.insert(client);
        }
        let old = bytes.min(reader.old);
        reader.old -= old;
        match reader.part {
            Part::Owner => bytes - old,
            Part::Follower | Part::Reader => 0,
        }
    }

    /// Sends on whoever is behind, as far as `has_room` says that its session takes anything.
    pub fn turn(&mut self, has_room: impl Fn(ClientId) -> bool) {
        for client in std::mem::take(&mut self.behind) {
            match has_room(client) {
                true => self.send_on(client),
                false => drop(self.behind.insert(client)),
            }
        }
    }

    /// The next that is to be read.
    pub fn poll_errand(&mut self) -> Option<Errand> {
        self.errands.pop_front()
    }

    /// Whether there is more to do at once, for somebody whose session has room.
    pub fn is_busy(&self, has_room: impl Fn(ClientId) -> bool) -> bool {
        let mut behind = self.behind.iter();
        behind.any(|client| has_room(*client))
    }

    /// Whether somebody watches a job that is over, and has not been told yet that it is.
    pub fn has_untold_ends(&self) -> bool {
        let mut files = self.files.values();
        files.any(|file| file.over.is_some() && !file.readers.is_empty())
    }

    /// Has the next piece of what was kept read for somebody who is behind.
    fn send_on(&mut self, client: ClientId) {
        let Some(reader) = self.readers.get_mut(&client) else {
            return;
        };
        let Some(file) = self.files.get(&reader.job) else {
            return;
        };
        let next = reader.cursor.next;
        let is_paid = reader.credit > 0 || next.sequence >= file.record.next().sequence;
        if reader.errand.is_some() || !is_paid {
            return; // Until that comes, or it grants some.
        }
        if file.record.ends_before(next) {
            return self.handle_end(client);
        }
        self.errands_made += 1;
        reader.errand = Some(self.errands_made);
        self.errands.push_back(Errand {
            number: self.errands_made,
            client,
            record: file.record.snapshot(),
            cursor: std::mem::replace(&mut reader.cursor, Cursor::at(next)),
            bytes: PIECE_BYTES,
            // What was packed may stand for far more than it has.
            output: reader.credit.max(0) as u64,
        });
    }

    /// Something was read. Returns what is to be told to whoever looks after the master.
    pub fn handle_fetched(&mut self, fetched: Fetched) -> Option<String> {
        let client = fetched.client;
        let reader = self.readers.get_mut(&client)?;
        reader.errand.take_if(|number| *number == fetched.number)?;
        let before = reader.cursor.next;
        reader.cursor = fetched.cursor;
        match fetched.found {
            Ok(Found::Events(events)) => {
                for (sequence, kept) in (before.sequence..).zip(events) {
                    reader.credit -= i64::from(kept.output);
                    if sequence < reader.old_until {
                        reader.old += u64::from(kept.output);
                    }
                    let message = kept.message.into();
                    self.messages.push_back((client, reader.job, message));
                }
                self.behind.insert(client);
                None
            }
            Ok(Found::Gap(at)) => {
                self.tell_missed(client, before, at);
                None
            }
            Ok(Found::End) => {
                self.handle_end(client);
                None
            }
            Err(error) => {
                let job = reader.job;
                let end = self.files.get(&job)?.record.next();
                reader.cursor = Cursor::at(end);
                self.tell_missed(client, before, end);
                Some(format!("the record of job {job} cannot be read: {error}"))
            }
        }
    }

    /// Between these two nothing was kept but who lived and who failed.
    fn tell_missed(&mut self, client: ClientId, before: Position, at: Position) {
        let Some(file) = self
            .readers
            .get(&client)
            .and_then(|reader| self.files.get(&reader.job))
        else {
            return;
        };
        let job = self.readers[&client].job;
        let bytes = at.output.saturating_sub(before.output);
        self.messages
            .push_back((client, job, Answer::Missed { bytes }.encode().into()));
        for (sequence, event) in file.lives.events_between(before.sequence, at.sequence) {
            let message = Answer::Event { event, sequence }.encode();
            self.messages.push_back((client, job, message.into()));
        }
        self.behind.insert(client);
    }

    /// Somebody has read all that there is.
    fn handle_end(&mut self, client: ClientId) {
        let Some(reader) = self.readers.get_mut(&client) else {
            return;
        };
        let job = reader.job;
        let Some(file) = self.files.get_mut(&job) else {
            return;
        };
        if !file.record.is_written() {
            file.awaiting.insert(client);
            return;
        }
        let last = match (&file.over, reader.part) {
            (Some(over), _) => over.message(),
            (None, Part::Reader) => Answer::Done,
            (None, Part::Owner | Part::Follower) => return reader.is_live = true,
        };
        self.messages.push_back((client, job, last.encode().into()));
        self.forget(client);
    }
}

/// What is read at a time for somebody who is behind.
const PIECE_BYTES: usize = 256 << 10;
