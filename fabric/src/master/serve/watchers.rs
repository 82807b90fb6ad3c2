//! What clients ask of jobs that run or have run: to begin one, to have one, to look on, to know why.
//!
//! Deliberately absent: whose jobs they are, which the cluster and the desk know.

use super::{Beginner, Master, random_key, refused};
use crate::master::{
    cluster::{About, ClientId},
    desk::Part,
    gate::{Lane, Parcel},
};
use deploy_sys::tell;
use deploy_wire::{
    client::{Answer, Ask, Position, RunRequest},
    code::OwnCode,
    pid::Job,
};
use mio::Token;
use std::{io, time::Instant};

impl Master {
    /// Answers what concerns records; gives back what does not.
    pub(super) fn handle_watcher(
        &mut self,
        token: Token,
        client: ClientId,
        ask: Ask,
        now: Instant,
    ) -> Option<Ask> {
        match ask {
            Ask::Attach { job, from } => {
                self.record(token, "attach", &[("job", &job)]);
                self.attach(client, &job, from, Part::Owner);
            }
            Ask::Logs { job, from, follow } => {
                let part = if follow { Part::Follower } else { Part::Reader };
                self.attach(client, &job, from, part);
            }
            Ask::Why { job, process } => self.explain(client, &job, process.as_deref(), now),
            Ask::Past => {
                let past = self.desk.past(&self.cluster.user(client));
                self.answer(client, &Answer::Jobs(past));
            }
            Ask::Credit { bytes } => {
                let bytes = self.desk.handle_credit(client, bytes);
                self.cluster.handle_ask(client, Ask::Credit { bytes }, now);
            }
            other => return Some(other),
        }
        None
    }

    /// A job is to begin, once that is written down.
    pub(super) fn run_job(&mut self, token: Token, client: ClientId, request: RunRequest) {
        let (Ok(id), Ok(key)) = (deploy_sys::random::bits(), random_key()) else {
            return self.drop_party(token);
        };
        let job = Job::from_bits(id);
        let image: String = request.image.iter().map(|b| format!("{b:02x}")).collect();
        let facts = [
            ("job", &*job.to_string()),
            ("worker", &*request.worker),
            ("program", &*image),
        ];
        self.record(token, "run", &facts);
        let about = About {
            user: self.cluster.user(client),
            key,
            request,
        };
        self.desk.begin(job, &about, Instant::now());
        self.beginners.insert(client, Beginner::new(job, about));
    }

    /// A job is written down, and begins; or the disk does not take it.
    pub(super) fn begin_job(
        &mut self,
        client: ClientId,
        beginner: Beginner,
        written: io::Result<()>,
        now: Instant,
    ) {
        let Beginner { job, about, later } = beginner;
        let is_detached = about.request.is_detached;
        if let Err(error) = written {
            self.desk.discard(job);
            let why = format!("the master's disk takes nothing: {error}");
            self.answer(client, &refused(why));
        } else if !self.cluster.run(client, job, about, now) {
            self.desk.discard(job);
        } else {
            self.act(); // It is told that the job has started, before anything of it.
            if !is_detached {
                self.desk
                    .attach(client, job, Position::default(), Part::Owner);
            }
            self.cluster.begin(job, now);
        }
        self.act();
        for ask in later.into_asks() {
            self.handle_ask(Token(client.0 as usize), client, ask, now);
        }
    }

    /// Hands on what there is to tell, and says what is to be known about the disk.
    pub(super) fn turn_desk(&mut self) {
        while let Some(fetched) = self.librarian.poll_fetched() {
            if let Some(note) = self.desk.handle_fetched(fetched) {
                tell!("{note}");
            }
        }
        let parties = &self.parties;
        let has_room = |client: ClientId| {
            let party = parties.get(&Token(client.0 as usize));
            party.is_some_and(super::Party::has_room)
        };
        self.desk.turn(has_room);
        while let Some(errand) = self.desk.poll_errand() {
            self.librarian.give(errand);
        }
        self.post();
    }

    /// Whether the desk has more for somebody who has room.
    pub(super) fn is_desk_busy(&self) -> bool {
        self.desk.is_busy(|client| {
            let party = self.parties.get(&Token(client.0 as usize));
            party.is_some_and(super::Party::has_room)
        })
    }

    /// What the desk has for clients goes on its way.
    pub(super) fn post(&mut self) {
        while let Some((client, job, message)) = self.desk.poll_message() {
            let parcel = Parcel::Message(message);
            self.send_after(Lane::Job(job), Token(client.0 as usize), parcel);
        }
    }

    fn attach(&mut self, client: ClientId, name: &str, from: Position, part: Part) {
        let job = match self.desk.find(&self.cluster.user(client), name) {
            Ok(job) => job,
            Err(why) => return self.refuse(client, why),
        };
        if part == Part::Owner && self.cluster.is_at_its_client(job) {
            let code = OwnCode::Connection.number() as u8;
            let why = format!(
                "the job's first process runs where the job was started, with --here: `cargo deploy logs -f {job}` shows it"
            );
            return self.answer(client, &Answer::Refused { code, why });
        }
        let handed = match part {
            Part::Owner => self.cluster.attach(client, job),
            Part::Follower | Part::Reader => None,
        };
        let attached = Answer::Attached {
            job,
            input: handed.map_or(0, |handed| handed.input),
            is_detached: handed.is_some_and(|handed| handed.is_detached),
        };
        let taken = handed.map(|handed| Answer::InputTaken {
            bytes: handed.input_taken,
        });
        for first in [attached].into_iter().chain(taken) {
            let parcel = Parcel::Message(first.encode().into());
            self.send_after(Lane::Job(job), Token(client.0 as usize), parcel);
        }
        self.desk.attach(client, job, from, part);
    }

    fn explain(&mut self, client: ClientId, name: &str, process: Option<&str>, now: Instant) {
        let job = match self.desk.find(&self.cluster.user(client), name) {
            Ok(job) => job,
            Err(why) => return self.refuse(client, why),
        };
        let waits = self.cluster.waits(job, now);
        let lives = self.desk.lives(job, process, &waits);
        match process {
            Some(process) if lives.is_empty() => {
                let why = format!(
                    "the job has no process {process:?}, or had it long ago: say its pid, as its lines have it"
                );
                self.refuse(client, why);
            }
            _ => self.answer(client, &Answer::Lives(lives)),
        }
    }

    fn refuse(&mut self, client: ClientId, why: String) {
        let code = OwnCode::Setting.number() as u8;
        self.answer(client, &Answer::Refused { code, why });
    }
}
