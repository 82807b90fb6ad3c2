//! What travels when somebody joins, in bytes.
//!
//! Deliberately absent: who says it, and whether it is believed.

use crate::{
    identity::Certified,
    keys::{KeyPair, PublicKey, Signature},
    subject::{Name, Role},
    token::{Token, TokenId},
    tokens::key,
};
use deploy_wire::bytes::{Malformed, Reader, Writer};

/// What a stranger asks for.
#[derive(Debug)]
pub struct Request {
    /// What it wants to be.
    pub role: Role,
    /// Under which name, or one like it.
    pub name: Name,
    /// The public half of its key.
    pub public: PublicKey,
    /// Which token it has.
    pub token: TokenId,
}

/// Its signatures, each over the request and the connection that it comes by.
#[derive(Debug)]
pub struct Proofs {
    /// By the token's secret.
    pub by_token: Signature,
    /// By its own key.
    pub by_key: Signature,
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
    pub(super) fn statement(&self, binding: &[u8; 32]) -> Vec<u8> {
        let mut statement = self.fields();
        statement.bytes(binding);
        statement.finish()
    }

    /// Its bytes, with both signatures.
    pub(super) fn signed(&self, token: &Token, keys: &KeyPair, binding: &[u8; 32]) -> Vec<u8> {
        let statement = self.statement(binding);
        let mut message = self.fields();
        message
            .bytes(&token.keys().sign(BY_TOKEN, &[&statement]))
            .bytes(&keys.sign(BY_KEY, &[&statement]));
        message.finish()
    }

    /// What a stranger said.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read(message: &[u8]) -> Result<(Request, Proofs), Malformed> {
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

/// A certificate, or why there is none.
pub fn write_answer(answer: Result<Certified, String>) -> Vec<u8> {
    let mut message = Writer::new();
    match answer {
        Ok(certified) => message.u8(WELCOME).bytes(&certified.to_bytes()),
        Err(sentence) => message.u8(REFUSED).text(&sentence),
    };
    message.finish()
}

/// What the master answered.
///
/// # Errors
/// If that is no answer.
pub fn read_answer(message: &[u8]) -> Result<Result<Certified, String>, Malformed> {
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
pub(super) const BY_TOKEN: &str = "fabric join 1: token";
pub(super) const BY_KEY: &str = "fabric join 1: key";

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
