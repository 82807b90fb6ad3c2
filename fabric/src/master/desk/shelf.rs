//! Jobs as they lie on the disk between one master and the next: those that ran go on, and those that are over can be read.
//!
//! A job's directory holds its record, while it runs its journal, and from the beginning a *label*, which says what can be
//! said of it without the journal: that it is lost, and in the end how it ended.
//!
//! Deliberately absent: what a job does when it goes on.

use super::{Desk, File, LIMITS, Over};
use crate::master::{
    journal::{Earlier, Journal},
    lives::Lives,
    record::{Cursor, Found, Record},
    scribe::{LABEL, Work},
};
use deploy_sys::tell;
use deploy_wire::{
    bytes::{Malformed, Reader, Writer},
    client::{Answer, Position},
    code::OwnCode,
    event::Event,
    pid::Job,
};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A job that ran when the master before this one ended.
#[derive(Debug)]
pub struct Unfinished {
    /// Which.
    pub job: Job,
    /// What is known of it.
    pub earlier: Earlier,
    journal: Journal,
}

/// What such a job had told.
#[derive(Default, Debug)]
pub struct Retold {
    next: Position,
    lives: Lives,
}

impl Retold {
    /// What a job had told when it was condensed, and what it had become.
    ///
    /// # Errors
    /// If something else was written.
    pub fn of_condensed(bytes: &[u8]) -> Result<(Retold, &[u8]), Malformed> {
        let r = &mut Reader::new(bytes);
        let next = Position {
            sequence: r.u64()?,
            output: r.u64()?,
        };
        let lives = Lives::decode(r.bytes()?)?;
        Ok((Retold { next, lives }, r.bytes()?))
    }

    /// It had told this, which somebody had brought about.
    pub fn handle(&mut self, event: &Event, by: Option<String>) {
        self.lives.handle_event(self.next.sequence, event, by);
        self.next.sequence += 1;
        if let Event::Output { bytes, .. } = event {
            self.next.output += bytes.len() as u64;
        }
    }
}

impl Desk {
    /// With its records in this directory, which is made if it is not there. Jobs that are over can be read, as before; those
    /// that ran are to [go on](Desk::go_on).
    ///
    /// # Errors
    /// If that cannot be.
    pub fn open(dir: &Path) -> io::Result<(Desk, Vec<Unfinished>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut desk = Desk::new(dir);
        let mut unfinished = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let bits = name.and_then(|name| u128::from_str_radix(name, 16).ok());
            let Some(job) = bits.map(Job::from_bits) else {
                continue; // Not ours.
            };
            match Journal::resume(&path) {
                Ok((journal, earlier)) => unfinished.push(Unfinished {
                    job,
                    earlier,
                    journal,
                }),
                Err(why) => desk.shelve(job, &path, &why),
            }
        }
        Ok((desk, unfinished))
    }

    /// A job goes on, which had told this.
    pub fn go_on(&mut self, unfinished: Unfinished, retold: Retold) {
        let Unfinished {
            job,
            earlier,
            journal,
        } = unfinished;
        let record = Record::resume(self.dir.join(job.to_string()), LIMITS, Some(retold.next));
        match record {
            Ok((record, pen)) => {
                let mut file = File::new(&earlier.about, instant(earlier.since), record);
                file.lives = retold.lives;
                file.journal_bytes = journal.bytes();
                self.files.insert(job, file);
                self.work.push(Work::GoOn(job, pen, journal));
            }
            Err(error) => tell!("the record of job {job} cannot be read: {error}"),
        }
    }

    /// A job cannot go on, for this reason.
    pub fn give_up(&mut self, unfinished: Unfinished, why: &io::Error) {
        let path = self.dir.join(unfinished.job.to_string());
        unfinished.journal.remove();
        self.shelve(unfinished.job, &path, why);
    }

    /// A job is over, or is lost because its journal cannot be used.
    fn shelve(&mut self, job: Job, path: &Path, why: &io::Error) {
        match read_label(path) {
            Ok(file) => drop(self.files.insert(job, file)),
            Err(error) => {
                tell!("nothing is known of job {job} any more: {why}; {error}");
                crate::master::record::remove(path);
            }
        }
    }
}

impl File {
    /// What its journal says in place of all that it was told: what it has become, and what it has told.
    pub(super) fn condensed(&self, state: &[u8]) -> Vec<u8> {
        let next = self.record.next();
        let mut w = Writer::new();
        w.u64(next.sequence).u64(next.output);
        w.bytes(&self.lives.encode()).bytes(state);
        w.finish()
    }

    /// What there is to say of the job without its journal.
    pub(super) fn label(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u32(FORM).text(&self.user).text(&self.worker);
        w.u64(seconds(self.since));
        w.option(self.over.as_ref(), |w, over| {
            let next = self.record.next();
            w.u64(seconds(over.at)).u64(next.sequence).u64(next.output);
            w.option(over.refusal.as_ref(), |w, (code, why)| {
                w.u8(*code).text(why);
            });
            w.bytes(&self.lives.encode());
        });
        w.finish()
    }
}

fn read_label(path: &Path) -> io::Result<File> {
    let bytes = fs::read(path.join(LABEL))?;
    let label = Label::read(&bytes).map_err(|why| {
        io::Error::new(io::ErrorKind::InvalidData, why) // Of another release, or torn.
    })?;
    let over = label.over;
    let next = over.as_ref().map(|(_, next, _)| *next);
    let (record, _) = Record::resume(path.to_owned(), LIMITS, next)?;
    let (over, lives) = match over {
        Some((over, _, lives)) => (over, lives),
        None => {
            let lost = Over {
                at: Instant::now(),
                refusal: Some((OwnCode::Internal.number() as u8, LOST.to_string())),
            };
            (lost, lives_in(&record)?)
        }
    };
    Ok(File {
        user: label.user,
        worker: label.worker,
        since: label.since,
        record,
        lives,
        readers: Default::default(),
        awaiting: Default::default(),
        over: Some(over),
        told: Vec::new(),
        journal_bytes: 0,
        condensed_bytes: 0,
        condensed: None,
        batch: 0,
    })
}

/// Who was in a job, as far as its record knows.
fn lives_in(record: &Record) -> io::Result<Lives> {
    let (mut lives, mut cursor) = (Lives::default(), Cursor::default());
    loop {
        match record.read(&mut cursor, PIECE_BYTES, u64::MAX)? {
            Found::Gap(_) => {}
            Found::End => return Ok(lives),
            Found::Events(events) => {
                for kept in events {
                    if let Ok(Answer::Event { event, sequence }) = Answer::decode(&kept.message) {
                        lives.handle_event(sequence, &event, None);
                    }
                }
            }
        }
    }
}

/// What a label says.
#[derive(Debug)]
pub struct Label {
    user: String,
    worker: String,
    since: Instant,
    over: Option<(Over, Position, Lives)>,
}

impl Label {
    /// What these bytes say, which a disk handed back.
    ///
    /// # Errors
    /// If no master of this release wrote them.
    pub fn read(bytes: &[u8]) -> Result<Label, Malformed> {
        let r = &mut Reader::new(bytes);
        if r.u32()? != FORM {
            return Err(Malformed("a master of another release wrote it"));
        }
        Ok(Label {
            user: r.text()?.to_string(),
            worker: r.text()?.to_string(),
            since: read_instant(r)?,
            over: r.option(|r| {
                let at = read_instant(r)?;
                let next = Position {
                    sequence: r.u64()?,
                    output: r.u64()?,
                };
                let refusal = r.option(|r| Ok((r.u8()?, r.text()?.to_string())))?;
                let lives = Lives::decode(r.bytes()?)?;
                Ok((Over { at, refusal }, next, lives))
            })?,
        })
    }
}

fn read_instant(r: &mut Reader<'_>) -> Result<Instant, Malformed> {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(r.u64()?));
    Ok(instant(at.unwrap_or(UNIX_EPOCH)))
}

/// The wall's clock may have been set; then it was just now.
fn instant(at: SystemTime) -> Instant {
    let now = Instant::now();
    now.checked_sub(at.elapsed().unwrap_or_default())
        .unwrap_or(now)
}

fn seconds(at: Instant) -> u64 {
    let at = SystemTime::now().checked_sub(at.elapsed());
    let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs()
}

const FORM: u32 = 1;
const PIECE_BYTES: usize = 1 << 20;
const LOST: &str = "the master was started again, and could not go on with the job";
