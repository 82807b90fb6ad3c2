//! How a stranger with a token becomes a member: one request, one answer.
//!
//! # The story
//! 1. The joiner makes a key. It dials and believes only a master whose certificate leads to the authority that its
//!    token names.
//! 2. It sends role, name, the public half of its key, the token's identifier, and two signatures over all that and
//!    over bits that belong to this connection alone: one by the token's secret, one by its new key. So nothing that
//!    was overheard, relayed or recorded lets anybody in.
//! 3. The master looks the token up, checks both, and answers with a certificate or a sentence.
//!
//! Who asks again with the same key (because the answer was lost) gets another certificate, also with a token for one
//! use. So a [node](join_into) keeps its key before it asks.

pub mod words;

use crate::{
    authority::{Authority, AuthorityError},
    client::{Client, ClientError},
    endpoint::Connector,
    error::SessionError,
    identity::{Certified, Identity},
    insecure,
    keys::{KeyError, KeyPair},
    session::Session,
    state::{StateDir, StateError},
    subject::Name,
    token::Token,
    tokens::TokenRefusal,
    verify,
};
use deploy_wire::bytes::Malformed;
use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};
use words::{BY_KEY, BY_TOKEN, Request, read_answer, write_answer};

/// Why somebody did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Connecting or talking failed.
    #[error("failed to join through {address}: {error}")]
    Client {
        /// Where the token leads.
        address: String,
        /// What happened there.
        error: ClientError,
    },
    /// The master there belongs to another authority than the token.
    #[error(
        "the master at {0} belongs to another cluster than this token: ask for a token of the cluster that is there now"
    )]
    OtherCluster(String),
    /// The master says no.
    #[error("the master at {address} refuses: {sentence}")]
    Refused {
        /// Where the token leads.
        address: String,
        /// As the master says it.
        sentence: String,
    },
    /// Without authentication, anybody could answer there.
    #[error(
        "this token is of a cluster without authentication, which is for addresses of the loopback only, and {0} is none"
    )]
    NotLoopback(String),
    /// The key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The identity could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Joins with a token, under this name or one like it. Blocks until it is done, at most for `timeout`.
///
/// The identity still has to be [saved](Identity::save).
pub fn join(token: &Token, name: &Name, timeout: Duration) -> Result<Identity, JoinError> {
    join_with(KeyPair::generate()?, token, name, timeout)
}

/// The same, and saves the identity in this directory. Whoever tries again there, because no answer came, is to the master
/// the one that it was.
pub fn join_into(
    dir: &StateDir,
    token: &Token,
    name: &Name,
    timeout: Duration,
) -> Result<Identity, JoinError> {
    let identity = join_with(keys_in(dir)?, token, name, timeout)?;
    identity.save(dir)?;
    // Where it stays, it is the key of this identity and of no other.
    let _ = fs::remove_file(dir.path().join(KEY_FILE));
    Ok(identity)
}

/// The key of an earlier try in this directory, or a new one that is kept there.
fn keys_in(dir: &StateDir) -> Result<KeyPair, JoinError> {
    let lock = dir.lock()?;
    if let Some(kept) = dir.read(KEY_FILE)? {
        return KeyPair::from_pkcs8(kept).map_err(|_| dir.damaged(KEY_FILE).into());
    }
    let keys = KeyPair::generate()?;
    dir.replace(KEY_FILE, keys.to_pkcs8(), &lock)?;
    Ok(keys)
}

fn join_with(
    keys: KeyPair,
    token: &Token,
    name: &Name,
    timeout: Duration,
) -> Result<Identity, JoinError> {
    let address = token.address.clone();
    if token.is_insecure() && !insecure::is_loopback(&address) {
        return Err(JoinError::NotLoopback(address));
    }
    match ask(token, name, &keys, Instant::now() + timeout) {
        Ok(Answer::Welcome(certified, root)) => Ok(certified.into_identity(keys, root, address)),
        Ok(Answer::Refused(sentence)) => Err(JoinError::Refused { address, sentence }),
        Err(ClientError::Session(SessionError::Untrusted(
            crate::error::Distrust::OtherCluster,
        ))) => Err(JoinError::OtherCluster(address)),
        Err(error) => Err(JoinError::Client { address, error }),
    }
}

enum Answer {
    Welcome(Certified, rustls::pki_types::CertificateDer<'static>),
    Refused(String),
}

fn ask(
    token: &Token,
    name: &Name,
    keys: &KeyPair,
    deadline: Instant,
) -> Result<Answer, ClientError> {
    let connector = Connector::stranger(token)?;
    let mut client = Client::connect(&token.address, &connector, deadline)?;
    let request = Request {
        role: token.role,
        name: name.clone(),
        public: keys.public(),
        token: token.id(),
    };
    let binding = client.session().binding()?;
    client.send(request.signed(token, keys, &binding), deadline)?;
    let answer = client.recv(deadline)?;
    let malformed = |error: Malformed| SessionError::Protocol(error.to_string());
    match read_answer(&answer).map_err(malformed)? {
        Err(sentence) => Ok(Answer::Refused(sentence)),
        Ok(certified) => {
            let sent = client.session().peer_certificates().unwrap_or_default();
            let root = sent
                .iter()
                .find(|one| verify::pin_of(one) == Some(token.pin))
                .expect("the session would not have opened without");
            Ok(Answer::Welcome(certified, root.clone()))
        }
    }
}

/// What the master made of a request.
#[derive(Debug)]
pub enum Outcome {
    /// A new member, as its certificate says.
    Joined(Certified),
    /// Nobody, and why.
    Refused(TokenRefusal),
}

/// Answers the one message of a stranger, and ends the session: what is left is to [flush](Session::flush) it.
///
/// An error is the master's own trouble; the stranger learns only that there is one. Blocks for the disk.
pub fn answer(
    session: &mut Session,
    message: &[u8],
    authority: &Authority,
    now: SystemTime,
) -> Result<Outcome, AnswerError> {
    let binding = session.binding()?;
    let (request, proofs) =
        Request::read(message).map_err(|error| SessionError::Protocol(error.to_string()))?;
    let statement = request.statement(&binding);
    let fields = [&statement[..]];
    let outcome = if request.public.has_signed(BY_KEY, &fields, &proofs.by_key) {
        let admitted = authority.admit(
            request.token,
            &request.name,
            request.public,
            now,
            |role, token| {
                role == request.role && token.has_signed(BY_TOKEN, &fields, &proofs.by_token)
            },
        );
        Some(admitted)
    } else {
        None
    };
    let (answer, result) = match outcome {
        Some(Ok(Ok(certified))) => (Ok(certified.clone()), Ok(Outcome::Joined(certified))),
        Some(Ok(Err(refusal))) => (Err(refusal.to_string()), Ok(Outcome::Refused(refusal))),
        None => {
            let refusal = TokenRefusal::Unknown;
            (Err(refusal.to_string()), Ok(Outcome::Refused(refusal)))
        }
        Some(Err(error)) => {
            let sentence = "it cannot sign certificates at present: look at its log".to_owned();
            (Err(sentence), Err(AnswerError::from(error)))
        }
    };
    // A stranger's session has sent nothing but its greeting, so there is room.
    let _ = session.send(write_answer(answer));
    session.finish();
    result
}

/// Why a stranger could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It spoke nonsense, or is gone.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The authority's own trouble.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Where a key waits for its certificate.
const KEY_FILE: &str = "joining";
