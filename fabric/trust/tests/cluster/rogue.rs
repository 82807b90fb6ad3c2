//! Clients and masters that do not keep to the rules: TLS by hand, certificates by their own authority.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ED25519, PublicKeyData, SanType,
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    version::TLS13,
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// A certificate with its key, and the authority that signed it.
pub struct Holder {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// As in tokens.
    pub pin: [u8; 16],
}

/// Signed by an authority of this name that nobody knows.
pub fn certificate(authority: &str, uri: &str) -> Holder {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let pair = || KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut root = named(authority);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(root, pair()).unwrap();
    let spki = issuer.key().subject_public_key_info();
    let digest = ring::digest::digest(&ring::digest::SHA256, &spki);

    let mut params = named("rogue");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x40; 16]));
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let key = pair();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Holder {
        chain: vec![leaf.der().clone(), issuer.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        pin: digest.as_ref()[..16].try_into().unwrap(),
    }
}

/// One side of a connection that says what it likes.
pub struct Rogue<C: io::Read + io::Write>(pub C);

impl<C: Read + Write> Rogue<C> {
    /// A length and bytes, which need not fit.
    pub fn write(&mut self, len: u32, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(&len.to_le_bytes())?;
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub fn write_message(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(u32::try_from(bytes.len()).unwrap(), bytes)
    }

    pub fn read_message(&mut self) -> io::Result<Vec<u8>> {
        let mut len = [0; 4];
        self.0.read_exact(&mut len)?;
        let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the other side ends the connection, rather than going on to wait.
    pub fn is_ended(&mut self) -> bool {
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(1) => {}
                Ok(_) => return true,
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// Dials, believing any master.
pub fn dial(
    address: SocketAddr,
    protocols: &[&str],
    holder: Option<Holder>,
) -> Rogue<StreamOwned<ClientConnection, TcpStream>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer));
    let mut config = match holder {
        Some(holder) => builder
            .with_client_auth_cert(holder.chain, holder.key)
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = words(protocols);
    let name = ServerName::try_from("anybody").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    Rogue(StreamOwned::new(tls, stream))
}

/// The other side of a stream that was accepted.
pub fn accept(
    stream: TcpStream,
    protocols: &[&str],
    holder: Holder,
) -> Rogue<StreamOwned<ServerConnection, TcpStream>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(holder.chain, holder.key)
        .unwrap();
    config.alpn_protocols = words(protocols);
    let tls = ServerConnection::new(Arc::new(config)).unwrap();
    Rogue(StreamOwned::new(tls, stream))
}

fn words(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
