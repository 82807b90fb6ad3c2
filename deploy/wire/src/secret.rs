//! What only those know who may: the key of a job, and the secrets that are drawn from it.
//!
//! Deliberately absent: where a key comes from, and who is told. Nothing here prints one.

use crate::{
    bytes::{Malformed, Reader, Writer},
    pid::Pid,
};
use ring::{hkdf, hmac};
use std::fmt;

/// 32 bytes that nobody can guess: a job's key, or what was drawn from one.
///
/// ```
/// use deploy_wire::secret::Secret;
/// assert_eq!(format!("{:?}", Secret::from_bytes([7; 32])), "Secret(..)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

/// How the two ends of a connection that others might read or write make it their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Known to these two processes and to those who connected them, for this connection only.
    pub secret: Secret,
    /// Which of the two this end is.
    pub role: Role,
    /// Whether what travels is encrypted, and not only the two ends proved.
    pub encrypted: bool,
}

/// The two ends of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It speaks first.
    Initiator,
    /// It answers.
    Responder,
}

impl Secret {
    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Secret {
        Secret(bytes)
    }

    /// The bytes given to [`Secret::from_bytes`].
    pub const fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// Both ends of a connection, where this is the key of the job: what is drawn for these two processes opens no other
    /// connection, so a process that is broken into gives away only its own.
    pub fn seals(&self, initiator: Pid, responder: Pid, encrypted: bool) -> (Seal, Seal) {
        assert_eq!(
            initiator.job(),
            responder.job(),
            "no connection leads out of a job"
        );
        let mut context = Writer::new();
        context.u128(initiator.job().bits());
        context.u32(initiator.number()).u32(responder.number());
        context.bool(encrypted);
        let secret = self.draw("deploy connection 1", &[&context.finish()]);
        let seal = |role| Seal {
            secret: secret.clone(),
            role,
            encrypted,
        };
        (seal(Role::Initiator), seal(Role::Responder))
    }

    /// A secret for one purpose. It says nothing of this one, or of those drawn for others.
    pub(crate) fn draw(&self, label: &str, context: &[&[u8]]) -> Secret {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, label.as_bytes());
        let mut bytes = [0; SECRET_BYTES];
        salt.extract(&self.0)
            .expand(context, hkdf::HKDF_SHA256)
            .and_then(|drawn| drawn.fill(&mut bytes))
            .expect("one digest is drawn, which is not too much");
        Secret(bytes)
    }

    /// A secret that takes this one and what two agreed on to know.
    pub(crate) fn mix(&self, agreed: &[u8]) -> Secret {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &self.0).extract(agreed);
        let mut bytes = [0; SECRET_BYTES];
        prk.expand(&[b"deploy mixed 1"], hkdf::HKDF_SHA256)
            .and_then(|drawn| drawn.fill(&mut bytes))
            .expect("one digest is drawn, which is not too much");
        Secret(bytes)
    }

    /// Shows who knows this secret that its owner does, and that it means these words.
    pub(crate) fn prove(&self, words: &[&[u8]]) -> [u8; PROOF_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        words.iter().for_each(|words| context.update(words));
        let proof = context.sign();
        proof
            .as_ref()
            .try_into()
            .expect("a proof is as long as its digest")
    }

    /// Whether that is a proof of these words, in a time that does not tell where it differs.
    pub(crate) fn is_proof(&self, words: &[u8], proof: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        hmac::verify(&key, words, proof).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Seal {
    pub(crate) fn write(&self, w: &mut Writer) {
        self.secret.0.chunks(8).for_each(|eight| {
            let eight = eight.try_into().expect("32 bytes are four times eight");
            w.u64(u64::from_le_bytes(eight));
        });
        w.bool(self.role == Role::Initiator).bool(self.encrypted);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Seal, Malformed> {
        let mut bytes = [0; SECRET_BYTES];
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(&r.u64()?.to_le_bytes());
        }
        let role = match r.bool()? {
            true => Role::Initiator,
            false => Role::Responder,
        };
        Ok(Seal {
            secret: Secret(bytes),
            role,
            encrypted: r.bool()?,
        })
    }
}

/// The length of a [`Secret`].
pub const SECRET_BYTES: usize = 32;

/// The length of a proof: HMAC-SHA256.
pub(crate) const PROOF_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::Job;

    #[test]
    fn every_connection_has_a_secret_of_its_own() {
        let key = Secret::from_bytes([1; SECRET_BYTES]);
        let pid = |number| Pid::new(Job::from_bits(7), number);
        let secret = |one, other, encrypted| key.seals(pid(one), pid(other), encrypted).0.secret;
        let all = [
            secret(0, 1, true),
            secret(1, 0, true),
            secret(0, 1, false),
            secret(0, 2, true),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one));
        }
        let (one, other) = key.seals(pid(0), pid(1), true);
        assert!(one.secret == other.secret && one.role != other.role);
        assert!(!format!("{one:?}").contains('1'), "{one:?}");
    }

    #[test]
    fn a_proof_is_of_its_words_and_its_secret() {
        let key = Secret::from_bytes([1; SECRET_BYTES]);
        let proof = key.prove(&[b"a", b"b"]);
        assert!(key.is_proof(b"ab", &proof));
        assert!(!key.is_proof(b"ac", &proof));
        assert!(!key.is_proof(b"ab", &proof[..31]));
        assert!(!key.draw("x", &[]).is_proof(b"ab", &proof));
    }
}
