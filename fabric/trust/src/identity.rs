//! What a member keeps: its key, its certificate, the authority's certificate, and where the master is.
//!
//! One file, so that it is either all there or not.

use crate::{
    keys::{KeyError, KeyPair},
    known_key,
    state::{StateDir, StateError},
    subject::{ClusterId, Name, Role, Subject},
    token::Token,
    tokens::{moment, seconds},
    verify,
};
use deploy_wire::bytes::{Malformed, Reader, Writer};
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};

/// A member's proof of who it is.
#[derive(Debug)]
pub struct Identity {
    /// Who this is.
    pub subject: Subject,
    /// `HOST:PORT` of the master or the bridge.
    pub address: String,
    /// When the certificate begins to count.
    pub begins: SystemTime,
    /// When it ends.
    pub expires: SystemTime,
    pub(crate) keys: KeyPair,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) root: CertificateDer<'static>,
}

/// A certificate as it comes from the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certified {
    /// Whom it speaks of.
    pub subject: Subject,
    /// When it begins to count.
    pub begins: SystemTime,
    /// When it ends.
    pub expires: SystemTime,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Identity {
    /// The identity in a directory, or nothing if it holds none.
    pub fn load(dir: &StateDir) -> Result<Option<Identity>, StateError> {
        let Some(bytes) = dir.read(FILE)? else {
            return Ok(None);
        };
        let identity = read(&bytes).map_err(|_| dir.damaged(FILE))?;
        Ok(Some(identity))
    }

    /// Keeps it in a directory, in place of what was there.
    pub fn save(&self, dir: &StateDir) -> Result<(), StateError> {
        let mut file = Writer::new();
        file.text(HEAD)
            .text(&self.address)
            .bytes(&self.certified().to_bytes())
            .bytes(self.keys.to_pkcs8())
            .bytes(&self.root);
        let lock = dir.lock()?;
        dir.replace(FILE, &file.finish(), &lock)
    }

    /// Whether this token is one of the same cluster.
    pub fn is_of(&self, token: &Token) -> bool {
        verify::pin_of(&self.root) == Some(token.pin)
    }

    /// Whether it is of a cluster that everybody on its machine can use.
    pub fn is_insecure(&self) -> bool {
        verify::pin_of(&self.root) == Some(known_key::pin())
    }

    /// Whether it is time for a new certificate: a third of its life is left, or less.
    pub fn is_renewal_due(&self, now: SystemTime) -> bool {
        let life = self
            .expires
            .duration_since(self.begins)
            .unwrap_or(Duration::ZERO);
        now + life / 3 >= self.expires
    }

    /// Takes a new certificate for the same key and member.
    ///
    /// False, and nothing is changed, if it speaks of somebody else.
    pub fn renew(&mut self, certified: Certified) -> bool {
        let is_same = certified.subject == self.subject;
        if is_same {
            self.begins = certified.begins;
            self.expires = certified.expires;
            self.certificate = certified.certificate;
        }
        is_same
    }

    fn certified(&self) -> Certified {
        Certified {
            subject: self.subject.clone(),
            begins: self.begins,
            expires: self.expires,
            certificate: self.certificate.clone(),
        }
    }
}

impl Certified {
    /// As it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut message = Writer::new();
        message
            .u128(self.subject.cluster.0)
            .u8(self.subject.role.code())
            .text(self.subject.name.as_str())
            .u64(seconds(self.begins))
            .u64(seconds(self.expires))
            .bytes(&self.certificate);
        message.finish()
    }

    /// Back from bytes. What the certificate itself says is checked by whoever it is shown to.
    pub fn from_bytes(bytes: &[u8]) -> Result<Certified, Malformed> {
        let mut message = Reader::new(bytes);
        Ok(Certified {
            subject: Subject {
                cluster: ClusterId(message.u128()?),
                role: Role::from_code(message.u8()?).ok_or(Malformed("no such role"))?,
                name: name(message.text()?)?,
            },
            begins: moment(message.u64()?)?,
            expires: moment(message.u64()?)?,
            certificate: CertificateDer::from(message.bytes()?.to_vec()),
        })
    }

    /// The certificate with the key that it is for.
    pub(crate) fn into_identity(
        self,
        keys: KeyPair,
        root: CertificateDer<'static>,
        address: String,
    ) -> Identity {
        Identity {
            subject: self.subject,
            address,
            begins: self.begins,
            expires: self.expires,
            keys,
            certificate: self.certificate,
            root,
        }
    }
}

fn name(text: &str) -> Result<Name, Malformed> {
    text.parse().map_err(|_| Malformed("no such name"))
}

fn read(bytes: &[u8]) -> Result<Identity, Malformed> {
    let mut file = Reader::new(bytes);
    if file.text()? != HEAD {
        return Err(Malformed("it is no identity"));
    }
    let address = file.text()?.to_owned();
    let certified = Certified::from_bytes(file.bytes()?)?;
    let keys = KeyPair::from_pkcs8(file.bytes()?.to_vec())
        .map_err(|_: KeyError| Malformed("it holds no key"))?;
    let root = CertificateDer::from(file.bytes()?.to_vec());
    Ok(certified.into_identity(keys, root, address))
}

const FILE: &str = "identity";
const HEAD: &str = "fabric identity 1";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_bytes_are_errors(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), is_headed: bool) {
            if is_headed {
                let mut head = Writer::new();
                head.text(HEAD).text("h:1");
                bytes.splice(0..0, head.finish());
            }
            prop_assert!(read(&bytes).is_err());
            let _ = Certified::from_bytes(&bytes);
        }
    }
}
