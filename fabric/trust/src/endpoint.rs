//! The two ways to begin a session: as the one who dials, and as the master, which accepts.
//!
//! What is fixed for all sessions is decided here: TLS 1.3 only, no resumption, no early data, which version is spoken.

use crate::{
    error::SessionError,
    identity::Identity,
    limits::VERSION,
    members::Revocations,
    session::Session,
    subject::Role,
    token::Token,
    verify::{Expected, MasterVerifier, MemberVerifier},
};
use mio::net::TcpStream;
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    server::NoServerSessionStorage,
    version::TLS13,
};
use std::{sync::Arc, time::Instant};

/// Dials masters of one cluster.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

/// Accepts members of one cluster.
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Connector {
    /// As the member with this identity.
    pub fn member(identity: &Identity) -> Result<Connector, SessionError> {
        let expected = Expected::Known(identity.root.clone(), identity.subject.cluster);
        let builder = client_builder(expected)?;
        let (chain, key) = (vec![identity.certificate.clone()], private_key(identity));
        Ok(Connector::new(builder.with_client_auth_cert(chain, key)?))
    }

    /// As a stranger who holds a token: all it can do is join.
    pub fn stranger(token: &Token) -> Result<Connector, SessionError> {
        let builder = client_builder(Expected::Pinned(token.pin))?;
        Ok(Connector::new(builder.with_no_client_auth()))
    }

    /// A session over a stream that is connected, or is being connected.
    pub fn connect(&self, stream: TcpStream, now: Instant) -> Result<Session, SessionError> {
        // Masters are known by their certificates; the name is not sent.
        let name = ServerName::try_from("fabric").expect("a plain word is a valid name");
        let tls = ClientConnection::new(self.config.clone(), name)?;
        Ok(Session::new(stream, tls.into(), now))
    }

    fn new(mut config: ClientConfig) -> Connector {
        config.alpn_protocols = protocols();
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Connector {
            config: Arc::new(config),
        }
    }
}

impl Acceptor {
    /// As the master with this identity. Members with one of `roles` are let in; strangers, if they are heard, can do
    /// nothing but join.
    pub fn new(
        identity: &Identity,
        roles: &'static [Role],
        revocations: Revocations,
        are_strangers_heard: bool,
    ) -> Result<Acceptor, SessionError> {
        let provider = provider();
        let verifier = MemberVerifier {
            root: identity.root.clone(),
            cluster: identity.subject.cluster,
            roles,
            revocations,
            are_strangers_heard,
            provider: provider.clone(),
        };
        // Whoever only has a token sees by the root that this is the right master.
        let chain = vec![identity.certificate.clone(), identity.root.clone()];
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(chain, private_key(identity))?;
        config.alpn_protocols = protocols();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Acceptor {
            config: Arc::new(config),
        })
    }

    /// A session over a stream that was accepted.
    pub fn accept(&self, stream: TcpStream, now: Instant) -> Result<Session, SessionError> {
        let tls = ServerConnection::new(self.config.clone())?;
        Ok(Session::new(stream, tls.into(), now))
    }
}

fn client_builder(
    expected: Expected,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, SessionError> {
    let provider = provider();
    let verifier = MasterVerifier {
        expected,
        provider: provider.clone(),
    };
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// Named each time: a process-wide default would be somebody else's to set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn private_key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(identity.keys.to_pkcs8().to_vec()).into()
}

/// The version that is spoken, and the word that every version understands: with it alone in common, each side says
/// which version it has, and they part.
fn protocols() -> Vec<Vec<u8>> {
    vec![format!("fabric/{VERSION}").into_bytes(), b"fabric".to_vec()]
}
