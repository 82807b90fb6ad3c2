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
//! use.

use crate::{
    authority::{Authority, AuthorityError},
    client::{Client, ClientError},
    endpoint::Connector,
    error::SessionError,
    identity::{Certified, Identity},
    insecure,
    keys::{KeyError, KeyPair, PublicKey, Signature},
    session::Session,
    state::StateError,
    subject::{Name, Role},
    token::{Token, TokenId},
    tokens::{TokenRefusal, key},
    verify,
};
use deploy_wire::bytes::{Malformed, Reader, Writer};
use std::time::{Duration, Instant, SystemTime};

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
    let address = token.address.clone();
    if token.is_insecure() && !insecure::is_loopback(&address) {
        return Err(JoinError::NotLoopback(address));
    }
    let keys = KeyPair::generate()?;
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

struct Request {
    role: Role,
    name: Name,
    public: PublicKey,
    token: TokenId,
}

struct Proofs {
    by_token: Signature,
    by_key: Signature,
}

impl Request {
    fn fields(&self) -> Writer {
        let mut message = Writer::new();
        message
            .u8(JOIN)
            .u8(self.role.code())
            .text(self.name.as_str())
            .bytes(&self.public.0)
            .bytes(&self.token.0);
        message
    }

    /// What both signatures are over.
    fn statement(&self, binding: &[u8; 32]) -> Vec<u8> {
        let mut statement = self.fields();
        statement.bytes(binding);
        statement.finish()
    }

    fn signed(&self, token: &Token, keys: &KeyPair, binding: &[u8; 32]) -> Vec<u8> {
        let statement = self.statement(binding);
        let mut message = self.fields();
        message
            .bytes(&token.keys().sign(BY_TOKEN, &[&statement]))
            .bytes(&keys.sign(BY_KEY, &[&statement]));
        message.finish()
    }

    fn read(message: &[u8]) -> Result<(Request, Proofs), Malformed> {
        let mut message = Reader::new(message);
        if message.u8()? != JOIN {
            return Err(Malformed("a stranger can only ask to join"));
        }
        let request = Request {
            role: Role::from_code(message.u8()?).ok_or(Malformed("no such role"))?,
            name: message
                .text()?
                .parse()
                .map_err(|_| Malformed("no such name"))?,
            public: key(&mut message)?,
            token: TokenId(array(message.bytes()?)?),
        };
        let proofs = Proofs {
            by_token: array(message.bytes()?)?,
            by_key: array(message.bytes()?)?,
        };
        Ok((request, proofs))
    }
}

fn write_answer(answer: Result<Certified, String>) -> Vec<u8> {
    let mut message = Writer::new();
    match answer {
        Ok(certified) => message.u8(WELCOME).bytes(&certified.to_bytes()),
        Err(sentence) => message.u8(REFUSED).text(&sentence),
    };
    message.finish()
}

fn read_answer(message: &[u8]) -> Result<Result<Certified, String>, Malformed> {
    let mut message = Reader::new(message);
    match message.u8()? {
        WELCOME => Ok(Ok(Certified::from_bytes(message.bytes()?)?)),
        REFUSED => Ok(Err(message.text()?.to_owned())),
        _ => Err(Malformed("it is no answer to a request to join")),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes
        .try_into()
        .map_err(|_| Malformed("a field of fixed length has another"))
}

const JOIN: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const BY_TOKEN: &str = "fabric join 1: token";
const BY_KEY: &str = "fabric join 1: key";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Pin;
    use proptest::prelude::*;

    #[test]
    fn both_signatures_belong_to_one_connection() {
        let token = Token::new(Role::Node, "h:1", Pin([0; 16]), 3);
        let keys = KeyPair::generate().unwrap();
        let request = Request {
            role: Role::Node,
            name: Name::like("n1"),
            public: keys.public(),
            token: token.id(),
        };
        let message = request.signed(&token, &keys, &[1; 32]);
        let (read, proofs) = Request::read(&message).unwrap();
        for (binding, is_right) in [([1; 32], true), ([2; 32], false)] {
            let statement = read.statement(&binding);
            let fields = [&statement[..]];
            let secret = token.keys().public();
            assert_eq!(
                secret.has_signed(BY_TOKEN, &fields, &proofs.by_token),
                is_right
            );
            assert_eq!(
                read.public.has_signed(BY_KEY, &fields, &proofs.by_key),
                is_right
            );
        }
        for len in 0..message.len() {
            assert!(Request::read(&message[..len]).is_err());
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_errors(mut message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_answer(&message);
            if let Some(kind) = message.first_mut() {
                *kind = JOIN;
            }
            prop_assert!(Request::read(&message).is_err());
        }
    }
}
