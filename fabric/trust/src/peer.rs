//! Who is at the other end of a session, as its certificate says.
//!
//! Deliberately absent: whether the certificate is believed, which is `verify.rs`.

use crate::{keys::PublicKey, members::Serial, subject::Subject};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Who is at the other end, by the certificate that was shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Cluster, role and name.
    pub subject: Subject,
    /// The number of its certificate.
    pub serial: Serial,
    pub(crate) public: PublicKey,
}

impl Peer {
    /// What a certificate says of its holder. That it may be believed was found before.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Peer> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let mut names = certificate.valid_uri_names();
        let subject = Subject::from_uri(names.next()?)?;
        if names.next().is_some() {
            return None;
        }
        // An Ed25519 key stands at the very end of the structure that says which kind it is.
        let key = certificate.subject_public_key_info();
        Some(Peer {
            subject,
            serial: Serial(certificate.serial().try_into().ok()?),
            public: PublicKey(*key.last_chunk()?),
        })
    }
}
