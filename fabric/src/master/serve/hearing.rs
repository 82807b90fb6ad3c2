//! What parties say, each heard for a while, and who it is for.
//!
//! Deliberately absent: what comes of it, which the cluster decides.

use super::{Master, not_so, refused};
use crate::{
    audit,
    master::{
        admission,
        brief::brief,
        cluster::{ClientId, Fetch},
        party::Heard,
        scribe::Work,
        uploads::Wanted,
    },
};
use deploy_wire::{
    bytes::Malformed,
    client::{Answer, Ask, RunRequest},
    node::Report,
};
use mio::Token;
use std::time::{Duration, Instant};

impl Master {
    /// Takes in what a party says, for a while: one that never stops may not keep the others from being heard, nor nodes
    /// from hearing that the master is there. What it says was heard after it was said, and not when the turn began: a node
    /// counts its lease from when it spoke, and must have killed its jobs when they are called lost.
    pub(super) fn hear(&mut self, token: Token) {
        self.talkative.insert(token); // There may be room again for what waits.
        let begun = Instant::now();
        while begun.elapsed() < HEARD_FOR_MAX {
            let Some(party) = self.parties.get_mut(&token) else {
                return;
            };
            let heard = party.hear();
            let now = Instant::now();
            match heard {
                Heard::Nothing => return,
                Heard::Goodbye => return self.dismiss(token, now),
                Heard::End => return self.drop_party(token),
                Heard::Report(report) => self.handle_report(token, report, now),
                Heard::Ask(client, ask) => self.handle_ask(token, client, ask, now),
                Heard::Forbidden(ask) => self.forbid(token, &ask),
                Heard::Unknown(message) => return self.handle_unknown(token, message),
                Heard::Unheeded => {}
            }
            self.act();
        }
        self.unheard.insert(token);
    }

    pub(super) fn handle_report(&mut self, token: Token, report: Report, now: Instant) {
        let Some(party) = self.parties.get_mut(&token) else {
            return;
        };
        match (party.node_id(), report) {
            (_, Report::Renew) => self.renew(token),
            (Some(id), report) => self.cluster.handle_report(id, report, now),
            (None, Report::Hello(hello)) => self.greet(token, *hello, now),
            (
                None,
                Report::Fetch {
                    digest,
                    offset,
                    tries,
                    failed,
                },
            ) => {
                let fetch = Fetch {
                    digest,
                    offset,
                    tries,
                    failed,
                };
                let name = party.name().to_string();
                if let Err(why) = self.give_program(token, &name, fetch) {
                    self.refuse_fetch(token, why);
                }
            }
            (None, Report::Leave) => self.let_leave(token),
            (None, _) => self.drop_party(token),
        }
    }

    pub(super) fn forbid(&mut self, token: Token, ask: &Ask) {
        self.record(token, "refused", &[("what", &brief(ask))]);
        if let Some(party) = self.parties.get_mut(&token) {
            let why =
                "only the cluster's administrator may do that: type it on the head, as `fabric`";
            party.queue(not_so(why).encode());
        }
    }

    /// A client says what is not understood here: it is told so, and has nothing more to say.
    pub(super) fn handle_unknown(&mut self, token: Token, why: Malformed) {
        if let Some(party) = self.parties.get(&token) {
            let release = party.session.peer_release();
            let ours = env!("CARGO_PKG_VERSION");
            let why = format!(
                "the master does not understand what `cargo deploy` says: {why}; it is of release {ours} and you are \
                 of {release}: bring both to the same"
            );
            self.part(token, why);
        }
    }

    /// This is the last that a client is told. What it had is left alone now, for it may keep its session open as long as it
    /// likes.
    pub(super) fn part(&mut self, token: Token, why: String) {
        let Some(party) = self.find(token) else {
            return;
        };
        let client = party.client_id();
        party.leave(refused(why).encode());
        if let Some(client) = client {
            self.forget_client(client);
        }
    }

    /// Adds a line to the audit log about what this party does.
    pub(super) fn record(&mut self, token: Token, event: &str, facts: &[(&str, &str)]) {
        let Some(party) = self.parties.get(&token) else {
            return;
        };
        let (who, from) = party.who();
        let mut all = vec![("who", who.as_str()), ("from", &from)];
        all.extend(facts);
        self.desk.write(Work::Audit(audit::line(event, &all)));
    }

    pub(super) fn handle_ask(&mut self, token: Token, client: ClientId, ask: Ask, now: Instant) {
        self.cluster.handle_heard(client, now);
        let Some(ask) = self.postpone(token, client, ask) else {
            return;
        };
        let Some(ask) = self.handle_watcher(token, client, ask, now) else {
            return;
        };
        let answer = match ask {
            Ask::Image { digest, len, bases } => {
                self.handle_image(token, Wanted { digest, len, bases })
            }
            Ask::Chunk { bytes } => self.uploads.chunk(token, bytes).err().map(refused),
            Ask::Run(request) => match self.objection(&request) {
                None => return self.run_job(token, client, *request),
                objection => objection,
            },
            Ask::Renew => return self.renew(token),
            Ask::Kill { job, process } => {
                let what = [&job, process.as_deref().unwrap_or("")].map(str::to_string);
                self.record(token, "kill", &[("job", &what[0]), ("process", &what[1])]);
                match self.desk.over(&self.cluster.user(client), &job) {
                    Some(job) => Some(not_so(format!(
                        "{job} is over: `cargo deploy why {job}` says how it ended"
                    ))),
                    None => {
                        let ask = Ask::Kill { job, process };
                        return self.cluster.handle_ask(client, ask, now);
                    }
                }
            }
            other => {
                self.cluster.handle_ask(client, other, now);
                return;
            }
        };
        if let (Some(answer), Some(party)) = (answer, self.parties.get_mut(&token)) {
            party.queue(answer.encode());
        }
    }

    /// What is said to whoever wants something run that cannot be; nothing if it can.
    fn objection(&mut self, request: &RunRequest) -> Option<Answer> {
        if let Err(why) = admission::check(request) {
            return Some(not_so(why));
        }
        for digest in [request.image].into_iter().chain(request.files) {
            match self.images.find(&digest) {
                Ok(Some(program)) => drop(self.programs.insert(digest, program)),
                Ok(None) => return Some(refused("send the program and its files first")),
                Err(error) => return Some(refused(error)),
            }
        }
        None
    }

    pub(super) fn handle_image(&mut self, token: Token, wanted: Wanted) -> Option<Answer> {
        match self.images.find(&wanted.digest) {
            Ok(Some(_)) => return Some(Answer::ImageKnown),
            Ok(None) => {}
            Err(error) => return Some(refused(error)),
        }
        let cluster = &self.cluster;
        self.programs.retain(|digest, _| cluster.runs(digest));
        self.uploads.begin(token, wanted).err().map(refused)
    }
}

/// How long one party is heard in a turn: a hundred that never stop still leave the others their turn within a second or so.
const HEARD_FOR_MAX: Duration = Duration::from_millis(10);
