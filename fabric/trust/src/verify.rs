//! Whose certificate is believed: the chain, the time, the cluster, the role, and that it was not revoked.
//!
//! Host names and addresses are deliberately absent: a member is who its certificate says, wherever it is.

use crate::{
    keys::Pin,
    members::Revocations,
    peer::Peer,
    subject::{ClusterId, Role},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// What a dialer knows of the master before it has met it.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A token's digest of the authority's key.
    Pinned(Pin),
    /// The authority's certificate, and which cluster.
    Known(CertificateDer<'static>, ClusterId),
}

/// Believes the master of one cluster.
#[derive(Debug)]
pub(crate) struct MasterVerifier {
    pub(crate) expected: Expected,
    pub(crate) provider: Arc<CryptoProvider>,
}

/// Believes members of one cluster that have one of these roles.
#[derive(Debug)]
pub(crate) struct MemberVerifier {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) cluster: ClusterId,
    pub(crate) roles: &'static [Role],
    pub(crate) revocations: Revocations,
    pub(crate) are_strangers_heard: bool,
    pub(crate) provider: Arc<CryptoProvider>,
}

/// The digest of an authority's key; nothing if this is no certificate.
pub(crate) fn pin_of(root: &CertificateDer<'_>) -> Option<Pin> {
    let root = EndEntityCert::try_from(root).ok()?;
    Some(Pin::of(&root.subject_public_key_info()))
}

impl MasterVerifier {
    fn root<'a>(&'a self, sent: &'a [CertificateDer<'a>]) -> Option<&'a CertificateDer<'a>> {
        match &self.expected {
            Expected::Known(root, _) => Some(root),
            Expected::Pinned(pin) => sent.iter().find(|one| pin_of(one) == Some(*pin)),
        }
    }
}

/// What both verifiers say of signatures: only those of TLS 1.3 count, and of our members' one kind of key.
macro_rules! signed_by_ed25519 {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(only_tls13())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    };
}

impl ServerCertVerifier for MasterVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = CertificateError::UnknownIssuer;
        let root = self.root(intermediates).ok_or(unknown)?;
        let peer = verify_chain(
            &self.provider,
            end_entity,
            root,
            now,
            KeyUsage::server_auth(),
        )?;
        let is_expected = match self.expected {
            Expected::Known(_, cluster) => peer.subject.cluster == cluster,
            Expected::Pinned(_) => true,
        };
        if !is_expected || peer.subject.role != Role::Master {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    signed_by_ed25519!();
}

impl ClientCertVerifier for MemberVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.are_strangers_heard
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let usage = KeyUsage::client_auth();
        let peer = verify_chain(&self.provider, end_entity, &self.root, now, usage)?;
        if peer.subject.cluster != self.cluster || !self.roles.contains(&peer.subject.role) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        if self.revocations.is_revoked(peer.serial) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    signed_by_ed25519!();
}

/// The holder, if this root signed its certificate for this use, and now is within its time.
fn verify_chain(
    provider: &CryptoProvider,
    certificate: &CertificateDer<'_>,
    root: &CertificateDer<'_>,
    now: UnixTime,
    usage: KeyUsage,
) -> Result<Peer, Error> {
    let anchor = anchor_from_trusted_cert(root).map_err(reason)?;
    let algorithms = provider.signature_verification_algorithms.all;
    EndEntityCert::try_from(certificate)
        .and_then(|parsed| {
            let anchors = [anchor];
            let path = parsed.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None);
            path.map(|_| ())
        })
        .map_err(reason)?;
    let peer = Peer::of(certificate);
    peer.ok_or(CertificateError::ApplicationVerificationFailure.into())
}

/// The alert that follows from each is what the peer learns.
fn reason(error: webpki::Error) -> Error {
    use webpki::Error::{BadDer, CertExpired, CertNotValidYet, UnknownIssuer};
    let reason = match error {
        CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        BadDer => CertificateError::BadEncoding,
        // A root of the same name with another key: still not our authority.
        UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            CertificateError::UnknownIssuer
        }
        _ => CertificateError::ApplicationVerificationFailure,
    };
    reason.into()
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken here".to_owned())
}
