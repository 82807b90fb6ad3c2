//! Who comes and goes: strangers join, members are let in, certificates are renewed, and who was removed is sent away.
//!
//! Deliberately absent: the tables of members and tokens, which the clerk writes, and what members say.

use super::{Master, refused};
use crate::{
    audit,
    master::{
        clerk::{Done, Errand},
        cluster::ClientId,
        party::Party,
        rights,
        scribe::Work,
    },
};
use deploy_sys::tell;
use deploy_trust::{
    door::Arrival,
    join::{AnswerError, Outcome},
    session::{Peer, Session},
    subject::Role,
};
use deploy_wire::node::Order;
use mio::Token;
use std::time::{Instant, SystemTime};

impl Master {
    /// Whoever has come through a door becomes a party.
    pub(super) fn admit(&mut self, now: Instant) {
        for index in 0..self.doors.len() {
            while let Some(arrival) = self.doors[index].poll_arrival() {
                match arrival {
                    Arrival::Member(session) => self.admit_member(session, now),
                    Arrival::Stranger(session, message) => {
                        if !self.clerk.give(Errand::Join(session, message)) {
                            tell!("too many ask to join at once: one was turned away");
                        }
                    }
                    Arrival::Data(stream, hello) => self.own_node.pass(hello, stream.into()),
                }
            }
        }
    }

    fn admit_member(&mut self, session: Box<Session>, now: Instant) {
        let Some(subject) = session.peer().map(|peer| peer.subject.clone()) else {
            return;
        };
        let party = match subject.role {
            Role::Node => Party::node(session, subject.name.as_str().to_string()),
            Role::User | Role::Administrator => {
                let client = ClientId(self.next_token().0 as u64);
                let user = subject.name.as_str().to_string();
                self.cluster.handle_client(client, user, now);
                Party::client(session, client)
            }
            Role::Master => return,
        };
        if let Some(token) = self.add(party) {
            self.hear(token); // Its first words may be here already.
        }
    }

    /// What has been written down is told to whom it concerns.
    pub(super) fn hear_clerk(&mut self) {
        while let Some(done) = self.clerk.poll_done() {
            match done {
                Done::Joined(session, outcome) => self.tell_stranger(session, outcome),
                Done::Renewed(token, Ok(certified)) => {
                    if let Some(party) = self.find(token) {
                        party.has_errand = false;
                        party.renewed(certified);
                        self.record(token, "renewed", &[]);
                    }
                }
                // The session ends with the certificate; until then it can ask again.
                Done::Renewed(token, Err(error)) => {
                    tell!("a certificate could not be renewed: {error}");
                    if let Some(party) = self.find(token) {
                        party.has_errand = false;
                        if party.client_id().is_some() {
                            party.queue(refused(error).encode());
                        }
                    }
                }
                Done::Left(token, left) => {
                    let last = match left {
                        Ok(()) => Order::Dismissed {
                            why: "this machine has left the cluster".to_string(),
                        },
                        Err(error) => Order::Refused {
                            why: format!("the master cannot keep that: {error}"),
                        },
                    };
                    if let Some(party) = self.find(token) {
                        party.has_errand = false;
                        party.leave(last.encode());
                    }
                }
            }
        }
    }

    fn tell_stranger(&mut self, session: Box<Session>, outcome: Result<Outcome, AnswerError>) {
        let from = session.peer_address().map(|from| from.to_string());
        let from = from.unwrap_or_default();
        match outcome {
            Ok(Outcome::Joined(certified)) => {
                let (role, name) = (certified.subject.role, certified.subject.name);
                tell!("joined: {role} {name}");
                let who = format!("{role} {name}");
                let facts = [("who", who.as_str()), ("from", &from)];
                self.desk.write(Work::Audit(audit::line("joined", &facts)));
            }
            Ok(Outcome::Refused(refusal)) => {
                tell!("refused to join: {refusal}");
                let why = refusal.to_string();
                let facts = [("from", from.as_str()), ("why", &why)];
                self.desk
                    .write(Work::Audit(audit::line("refused to join", &facts)));
            }
            Err(error) => tell!("could not answer who asked to join: {error}"),
        }
        self.add(Party::leaving(session));
    }

    /// Certificates are renewed, and sessions of members that were revoked end.
    pub(super) fn look_after_members(&mut self, now: Instant) {
        let changes = match self.membership.look(now, SystemTime::now()) {
            Ok(changes) => changes,
            Err(error) => return tell!("the master's certificate cannot be renewed: {error}"),
        };
        if changes.is_master_renewed {
            let roles = [rights::AT_THE_NODES_DOOR, rights::AT_THE_BRIDGE];
            for (door, roles) in self.doors.iter_mut().zip(roles) {
                match self.membership.acceptor(roles) {
                    Ok(acceptor) => door.replace_acceptor(acceptor),
                    Err(error) => tell!("the master's certificate is of no use: {error}"),
                }
            }
        }
        if changes.is_somebody_out {
            let is_out = |party: &Party| {
                let peer = party.session.peer();
                peer.is_some_and(|peer| self.membership.is_revoked(peer))
            };
            let parties = self.parties.iter();
            let out: Vec<Token> = parties
                .filter(|(_, party)| is_out(party))
                .map(|(token, _)| *token)
                .collect();
            for token in out {
                self.dismiss_member(token);
            }
        }
    }

    /// Somebody is no member any more. It is told, if it listens, and its session ends now.
    fn dismiss_member(&mut self, token: Token) {
        self.record(token, "dismissed", &[]);
        if let Some(party) = self.parties.get_mut(&token) {
            let (who, _) = party.who();
            tell!("{who} is no member any more");
            let why = format!("{who} is no member of the cluster any more; it can join again");
            if let Some(node) = party.dismiss(why) {
                self.talkative.insert(token);
                // It is lost as soon as it has killed its jobs and said so, and after the usual time if it never does.
                return self.cluster.handle_node_gone(node);
            }
        }
        self.drop_party(token);
    }

    /// Asks for a new certificate for a member.
    pub(super) fn renew(&mut self, token: Token) {
        self.give(token, Errand::Renew);
    }

    /// A node leaves: its certificates end, and by that all its sessions.
    pub(super) fn let_leave(&mut self, token: Token) {
        self.record(token, "left", &[]);
        self.give(token, Errand::Leave);
    }

    /// Gives the clerk something to do for a party, unless that is done already: what it is told then answers this, too.
    fn give(&mut self, token: Token, errand: impl FnOnce(Token, Peer) -> Errand) {
        let Some(party) = self.parties.get_mut(&token).filter(|it| !it.has_errand) else {
            return;
        };
        let Some(peer) = party.session.peer().cloned() else {
            return;
        };
        party.has_errand = self.clerk.give(errand(token, peer));
        if !party.has_errand {
            self.drop_party(token); // It comes back, and asks again.
        }
    }
}
