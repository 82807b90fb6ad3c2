//! Keys: a pair that signs (Ed25519), the half that others know, and digests.
//!
//! Certificates are elsewhere. Ed25519 because its keys are 32 bytes that can also be made from a secret, and its
//! signatures need no random bits.

use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

/// A key pair. Its secret half never leaves the machine where it was made.
pub struct KeyPair {
    pair: Ed25519KeyPair,
    pkcs8: Vec<u8>,
}

/// The half that others know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PublicKey(pub [u8; 32]);

/// The first 128 bits of SHA-256 over an authority's public key, as it stands in its certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin(pub [u8; 16]);

/// A signature over some bytes.
pub type Signature = [u8; 64];

/// Bytes that hold no key, or a system without randomness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// A damaged file.
    #[error("the stored key is damaged")]
    Damaged,
    /// The kernel gave no random bits.
    #[error("the system has no random bits to make a key of")]
    NoRandomness,
}

impl KeyPair {
    /// A new pair.
    pub fn generate() -> Result<KeyPair, KeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| KeyError::NoRandomness)?;
        KeyPair::from_pkcs8(pkcs8.as_ref().to_vec())
    }

    /// The pair that `to_pkcs8` wrote.
    pub fn from_pkcs8(pkcs8: Vec<u8>) -> Result<KeyPair, KeyError> {
        Ok(KeyPair {
            pair: Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError::Damaged)?,
            pkcs8,
        })
    }

    /// The pair that belongs to a secret: always the same one.
    pub(crate) fn from_secret(purpose: &str, secret: &[u8]) -> KeyPair {
        let seed = sha256(&[purpose.as_bytes(), &[0], secret]);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .expect("any 32 bytes are the seed of a key pair");
        let pkcs8 = [
            &PKCS8_SEED,
            &seed[..],
            &PKCS8_PUBLIC,
            pair.public_key().as_ref(),
        ]
        .concat();
        KeyPair { pair, pkcs8 }
    }

    /// For a file that nobody else can read.
    pub(crate) fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The half that others may know.
    pub fn public(&self) -> PublicKey {
        PublicKey(
            self.pair
                .public_key()
                .as_ref()
                .try_into()
                .expect("Ed25519 keys have 32 bytes"),
        )
    }

    /// Signs the fields, for one purpose: a signature for another purpose never fits.
    pub fn sign(&self, purpose: &str, fields: &[&[u8]]) -> Signature {
        self.pair
            .sign(&statement(purpose, fields))
            .as_ref()
            .try_into()
            .expect("Ed25519 signatures have 64 bytes")
    }
}

impl Pin {
    /// The pin of an authority with this public key.
    pub(crate) fn of(spki: &[u8]) -> Pin {
        let digest = sha256(&[spki]);
        Pin(digest[..16]
            .try_into()
            .expect("16 of 32 bytes are 16 bytes long"))
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair of {:?}", self.public())
    }
}

impl PublicKey {
    /// The key with its kind, as certificates hold it.
    pub(crate) fn to_spki(self) -> Vec<u8> {
        [&SPKI[..], &self.0].concat()
    }

    /// Whether the holder of this key signed these fields for this purpose.
    pub fn has_signed(&self, purpose: &str, fields: &[&[u8]], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&statement(purpose, fields), signature)
            .is_ok()
    }
}

/// SHA-256 of some parts, one after another.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, &parts.concat())
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// What is signed: each part behind its length, so that no two lists of parts look alike.
fn statement(purpose: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut statement = deploy_wire::bytes::Writer::new();
    statement.text(purpose);
    for field in fields {
        statement.bytes(field);
    }
    statement.finish()
}

/// DER before the seed in PKCS#8: version 2, Ed25519.
const PKCS8_SEED: [u8; 16] = [
    0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];

/// DER between the seed and the public half.
const PKCS8_PUBLIC: [u8; 3] = [0x81, 0x21, 0];

/// DER before a public half: Ed25519.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_one_key_one_purpose_and_the_same_fields() {
        let pair = KeyPair::generate().unwrap();
        let signature = pair.sign("test", &[b"ab", b"c"]);
        let public = pair.public();
        assert!(public.has_signed("test", &[b"ab", b"c"], &signature));
        assert!(!public.has_signed("other", &[b"ab", b"c"], &signature));
        assert!(!public.has_signed("test", &[b"a", b"bc"], &signature));
        let stranger = KeyPair::generate().unwrap().public();
        assert!(!stranger.has_signed("test", &[b"ab", b"c"], &signature));
    }

    #[test]
    fn stored_keys_are_the_same_and_damaged_ones_are_refused() {
        let pair = KeyPair::generate().unwrap();
        let again = KeyPair::from_pkcs8(pair.to_pkcs8().to_vec()).unwrap();
        assert_eq!(pair.public(), again.public());
        let cut = &pair.to_pkcs8()[..40];
        assert_eq!(
            KeyPair::from_pkcs8(cut.to_vec()).unwrap_err(),
            KeyError::Damaged
        );
        let one = KeyPair::from_secret("test", b"secret").public();
        assert_eq!(one, KeyPair::from_secret("test", b"secret").public());
        assert_ne!(one, KeyPair::from_secret("test", b"secreu").public());
        let stored = KeyPair::from_secret("test", b"secret").to_pkcs8().to_vec();
        assert_eq!(KeyPair::from_pkcs8(stored).unwrap().public(), one);
    }
}
