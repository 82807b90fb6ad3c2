//! A thread that does for the master's loop what waits for the disk: who joins, renews its certificate or leaves is written
//! down before it is told so, and on a slow disk that takes long.
//!
//! Deliberately absent: the poll, and who may do it, which the loop and the authority decide.

use deploy_trust::{
    authority::{Authority, AuthorityError},
    join::{self, AnswerError, Outcome},
    session::{Peer, Session},
};
use mio::{Token, Waker};
use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::SystemTime,
};

/// The thread, as the loop sees it. It ends with this.
#[derive(Debug)]
pub struct Clerk {
    errands: SyncSender<Errand>,
    done: Receiver<Done>,
}

/// Something for the clerk to do.
#[derive(Debug)]
pub enum Errand {
    /// Answer a stranger that asks to join with these words.
    Join(Box<Session>, Vec<u8>),
    /// Sign a new certificate for this party, whose session has shown its present one.
    Renew(Token, Peer),
    /// This party's member wants to be none any more.
    Leave(Token, Peer),
}

/// What became of an errand.
#[derive(Debug)]
pub enum Done {
    /// The stranger's session holds the answer, and is to be flushed.
    Joined(Box<Session>, Result<Outcome, AnswerError>),
    /// The certificate as it travels.
    Renewed(Token, Result<Vec<u8>, AuthorityError>),
    /// All its certificates are revoked.
    Left(Token, Result<(), AuthorityError>),
}

impl Clerk {
    /// One that serves this authority, and wakes the loop when something is done.
    ///
    /// # Errors
    /// If the kernel starts no thread.
    pub fn hire(authority: Arc<Authority>, waker: Arc<Waker>) -> io::Result<Clerk> {
        let (errands, taken) = mpsc::sync_channel(ERRANDS_MAX);
        let (teller, done) = mpsc::channel();
        let work = move || {
            for errand in taken {
                // Both fail only where the loop has ended.
                if teller.send(run(errand, &authority)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("clerk".to_string())
            .spawn(work)?;
        Ok(Clerk { errands, done })
    }

    /// Has this done. False, and forgotten, if too much waits already: whoever asked can ask again.
    pub fn give(&self, errand: Errand) -> bool {
        self.errands.try_send(errand).is_ok()
    }

    /// The next that is done.
    pub fn poll_done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

fn run(errand: Errand, authority: &Authority) -> Done {
    let now = SystemTime::now();
    match errand {
        Errand::Join(mut session, message) => {
            let outcome = join::answer(&mut session, &message, authority, now);
            Done::Joined(session, outcome)
        }
        Errand::Renew(party, peer) => {
            let certified = authority.renew(&peer, now);
            Done::Renewed(party, certified.map(|certified| certified.to_bytes()))
        }
        Errand::Leave(party, peer) => {
            let (role, name) = (peer.subject.role, &peer.subject.name);
            let revoked = authority.members().revoke(role, name, now);
            Done::Left(party, revoked.map(|_| ()).map_err(AuthorityError::from))
        }
    }
}

/// As many as a master hears of at once when all nodes of a large cluster begin together.
const ERRANDS_MAX: usize = 1024;
