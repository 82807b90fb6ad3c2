//! What signs a cluster's certificates, and decides who gets one.
//!
//! Deliberately absent: sockets. Whoever asks has been heard by a session.

use crate::{
    identity::{Certified, Identity},
    keys::{KeyError, KeyPair, Pin, PublicKey},
    known_key,
    members::{MemberRow, Members, NotRenewed, Revocations, Serial},
    peer::Peer,
    state::{StateDir, StateError},
    subject::{ClusterId, Name, Role, Subject},
    token::Token,
    tokens::{TokenRefusal, Tokens},
    verify,
};
use deploy_wire::bytes::{Malformed, Reader, Writer};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// A cluster's authority, as the master holds it.
pub struct Authority {
    dir: StateDir,
    cluster: ClusterId,
    root: CertificateDer<'static>,
    issuer: Issuer<'static, rcgen::KeyPair>,
    pin: Pin,
}

/// Why the authority cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The system has no random bits.
    #[error("the system has no random bits: {0}")]
    Random(#[source] std::io::Error),
    /// A certificate could not be made.
    #[error("cannot sign a certificate: {0}")]
    Sign(#[from] rcgen::Error),
    /// Tokens are not for masters, and hold no address of more than 255 bytes.
    #[error("a token is for a node or a user, and its address has at most 255 bytes")]
    BadToken,
    /// A cluster without authentication stays one.
    #[error(
        "`{path}` holds a cluster without authentication: name another directory with --state, or go on with \
         --insecure-no-auth",
        path = .0.display()
    )]
    Insecure(PathBuf),
    /// The opposite.
    #[error(
        "`{path}` holds a cluster with authentication: name another directory with --state, or leave out \
         --insecure-no-auth",
        path = .0.display()
    )]
    Secure(PathBuf),
    /// Everybody who can reach the address could run programs here.
    #[error("--insecure-no-auth is for addresses of the loopback only, and {0} is none")]
    NotLoopback(SocketAddr),
    /// Whoever asks for a new certificate gets none.
    #[error(transparent)]
    NotRenewed(#[from] NotRenewed),
}

impl Authority {
    /// The authority in a directory. At the first start it is made there.
    ///
    /// Blocks while another process changes the directory.
    pub fn open(dir: &StateDir, now: SystemTime) -> Result<Authority, AuthorityError> {
        let authority = Authority::open_or_make(dir, KeyPair::generate, now)?;
        if authority.pin == known_key::pin() {
            return Err(AuthorityError::Insecure(dir.path().to_owned()));
        }
        Ok(authority)
    }

    /// The authority in a directory, whichever kind it is: for those who listen nowhere in its name.
    pub fn open_any(dir: &StateDir, now: SystemTime) -> Result<Authority, AuthorityError> {
        Authority::open_or_make(dir, KeyPair::generate, now)
    }

    /// The same, with a key made by `make_key` at the first start.
    pub(crate) fn open_or_make(
        dir: &StateDir,
        make_key: impl FnOnce() -> Result<KeyPair, KeyError>,
        now: SystemTime,
    ) -> Result<Authority, AuthorityError> {
        let lock = dir.lock()?;
        let bytes = match dir.read(FILE)? {
            Some(bytes) => bytes,
            None => {
                let bytes = create(&make_key()?, now)?;
                dir.replace(FILE, &bytes, &lock)?;
                bytes
            }
        };
        drop(lock);
        Authority::read(dir.clone(), &bytes)?.ok_or_else(|| dir.damaged(FILE).into())
    }

    /// Whether this directory holds an authority already.
    pub fn exists(dir: &StateDir) -> Result<bool, StateError> {
        Ok(dir.read(FILE)?.is_some())
    }

    /// Which cluster this is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The tokens that were given out.
    pub fn tokens(&self) -> Tokens {
        Tokens::in_dir(self.dir.clone())
    }

    /// The certificates that were signed.
    pub fn members(&self) -> Members {
        Members::in_dir(self.dir.clone())
    }

    /// Which of them do not count any more.
    pub fn revocations(&self) -> Revocations {
        Revocations::in_dir(self.dir.clone())
    }

    /// A new token for this role, with the address where its holder will look for the master or the bridge.
    pub fn new_token(
        &self,
        role: Role,
        address: &str,
        lifetime: Duration,
        is_once: bool,
        now: SystemTime,
    ) -> Result<Token, AuthorityError> {
        if !role.is_joinable() || address.len() > crate::token::ADDRESS_BYTES_MAX {
            return Err(AuthorityError::BadToken);
        }
        let secret = deploy_sys::random::bits().map_err(AuthorityError::Random)?;
        let token = Token::new(role, address, self.pin, secret);
        self.tokens().add(&token, lifetime, is_once, now)?;
        Ok(token)
    }

    /// The identity of the master itself, or of a member on its machine, which needs no token: the one that is kept
    /// in this directory, renewed if that is due, or a new one.
    ///
    /// The name is that of the first time.
    pub fn own_identity(
        &self,
        dir: &StateDir,
        role: Role,
        name: &Name,
        address: &str,
        now: SystemTime,
    ) -> Result<Identity, AuthorityError> {
        let is_ours = |kept: &Identity| {
            let peer = Peer::of(&kept.certificate);
            (kept.subject.cluster, kept.subject.role) == (self.cluster, role)
                && peer.is_some_and(|peer| !self.revocations().is_revoked(peer.serial))
        };
        let identity = match Identity::load(dir)?.filter(is_ours) {
            Some(kept) if !kept.is_renewal_due(now) && kept.address == address => return Ok(kept),
            Some(kept) => {
                let (name, keys) = (&kept.subject.name, kept.keys);
                let certified = self.certify(role, name, keys.public(), now)?;
                certified.into_identity(keys, self.root.clone(), address.to_owned())
            }
            None => self.identity(role, name, address, now)?,
        };
        identity.save(dir)?;
        Ok(identity)
    }

    /// A new identity without token, kept by whoever asks.
    pub fn identity(
        &self,
        role: Role,
        name: &Name,
        address: &str,
        now: SystemTime,
    ) -> Result<Identity, AuthorityError> {
        let keys = KeyPair::generate()?;
        let certified = self.certify(role, name, keys.public(), now)?;
        Ok(certified.into_identity(keys, self.root.clone(), address.to_owned()))
    }

    /// A certificate for whoever holds this key, under the wished name or the next that is free.
    pub(crate) fn certify(
        &self,
        role: Role,
        wished: &Name,
        public: PublicKey,
        now: SystemTime,
    ) -> Result<Certified, AuthorityError> {
        let mut signed = None;
        self.members().add(role, wished, public, now, |name| {
            self.certify_as(role, name, public, now, &mut signed)
        })??;
        Ok(signed.expect("a row was added, so a certificate was signed"))
    }

    /// A new certificate for a member whose session has shown its present one, for the same key.
    pub fn renew(&self, peer: &Peer, now: SystemTime) -> Result<Certified, AuthorityError> {
        let mut signed = None;
        self.members().add_to(peer.serial, now, |held| {
            self.certify_as(held.role, &held.name, held.public, now, &mut signed)
        })??;
        Ok(signed.expect("a row was added, so a certificate was signed"))
    }

    /// Signs a certificate, and returns its row.
    fn certify_as(
        &self,
        role: Role,
        name: &Name,
        public: PublicKey,
        now: SystemTime,
        signed: &mut Option<Certified>,
    ) -> Result<MemberRow, AuthorityError> {
        let (certified, serial) = self.sign(role, name, public, now)?;
        let expires = signed.insert(certified).expires;
        Ok(MemberRow {
            role,
            name: name.clone(),
            serial,
            expires,
            is_revoked: false,
            public,
        })
    }

    /// What becomes of somebody who asks to join, and has proved to hold the key; `is_proved` looks at the token's.
    pub(crate) fn admit(
        &self,
        token: crate::token::TokenId,
        wished: &Name,
        public: PublicKey,
        now: SystemTime,
        is_proved: impl FnOnce(Role, &PublicKey) -> bool,
    ) -> Result<Result<Certified, TokenRefusal>, AuthorityError> {
        match self.tokens().use_one(token, public, now, is_proved)? {
            Ok(role) => Ok(Ok(self.certify(role, wished, public, now)?)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub(crate) fn pin(&self) -> Pin {
        self.pin
    }

    fn sign(
        &self,
        role: Role,
        name: &Name,
        public: PublicKey,
        now: SystemTime,
    ) -> Result<(Certified, Serial), AuthorityError> {
        let subject = Subject {
            cluster: self.cluster,
            role,
            name: name.clone(),
        };
        let serial = new_serial()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{role} {name}"));
        params.subject_alt_names = vec![SanType::URI(subject.to_string().try_into()?)];
        params.serial_number = Some(SerialNumber::from_slice(&serial.0));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if role == Role::Master {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let (begins, expires) = (now - BACKDATED, now + VALID);
        (params.not_before, params.not_after) = (begins.into(), expires.into());
        let certificate = params.signed_by(&Holder(public), &self.issuer)?;
        let certified = Certified {
            subject,
            begins,
            expires,
            certificate: certificate.der().clone(),
        };
        Ok((certified, serial))
    }

    fn read(dir: StateDir, bytes: &[u8]) -> Result<Option<Authority>, AuthorityError> {
        let Ok((cluster, keys, root)) = read_file(bytes) else {
            return Ok(None);
        };
        let Some(pin) = verify::pin_of(&root) else {
            return Ok(None);
        };
        Ok(Some(Authority {
            dir,
            cluster,
            root,
            pin,
            issuer: Issuer::new(root_params(cluster), signing_key(&keys)?),
        }))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority of {} in {:?}", self.cluster, self.dir.path())
    }
}

/// A public key, as rcgen wants to see it.
struct Holder(PublicKey);

impl PublicKeyData for Holder {
    fn der_bytes(&self) -> &[u8] {
        &self.0.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// A new authority, as it is kept.
fn create(keys: &KeyPair, now: SystemTime) -> Result<Vec<u8>, AuthorityError> {
    let cluster = ClusterId(deploy_sys::random::bits().map_err(AuthorityError::Random)?);
    let mut params = root_params(cluster);
    params.serial_number = Some(SerialNumber::from_slice(&new_serial()?.0));
    (params.not_before, params.not_after) = ((now - BACKDATED).into(), (now + ROOT_VALID).into());
    let root = params.self_signed(&signing_key(keys)?)?;
    let mut file = Writer::new();
    file.text(HEAD)
        .u128(cluster.0)
        .bytes(keys.to_pkcs8())
        .bytes(root.der());
    Ok(file.finish())
}

/// What the root says of itself, and what certificates say of their issuer: the same each time.
fn root_params(cluster: ClusterId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("fabric {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn signing_key(keys: &KeyPair) -> Result<rcgen::KeyPair, AuthorityError> {
    let pkcs8 = PrivatePkcs8KeyDer::from(keys.to_pkcs8());
    Ok(rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &pkcs8,
        &PKCS_ED25519,
    )?)
}

/// Random, and a positive number of just 16 bytes: so it is written in the same way everywhere.
fn new_serial() -> Result<Serial, AuthorityError> {
    let mut bytes = deploy_sys::random::bits()
        .map_err(AuthorityError::Random)?
        .to_be_bytes();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(Serial(bytes))
}

fn read_file(bytes: &[u8]) -> Result<(ClusterId, KeyPair, CertificateDer<'static>), Malformed> {
    let mut file = Reader::new(bytes);
    if file.text()? != HEAD {
        return Err(Malformed("it is no authority"));
    }
    let cluster = ClusterId(file.u128()?);
    let keys =
        KeyPair::from_pkcs8(file.bytes()?.to_vec()).map_err(|_| Malformed("it holds no key"))?;
    let root = CertificateDer::from(file.bytes()?.to_vec());
    Ok((cluster, keys, root))
}

/// For machines whose clock is behind.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Members renew when a third of it is left.
const VALID: Duration = Duration::from_secs(90 * 24 * 3600);

/// The authority outlives what it signs: there is no way yet to hand over to a new one.
const ROOT_VALID: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

const FILE: &str = "authority";
const HEAD: &str = "fabric authority 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::Scratch;

    #[test]
    fn an_authority_and_its_own_identities_survive_a_restart() {
        let (scratch, kept_in) = (Scratch::new(), Scratch::new());
        assert!(!Authority::exists(&scratch.0).unwrap());
        let (now, name) = (SystemTime::now(), Name::like("head"));
        let first = Authority::open(&scratch.0, now).unwrap();
        let own = first
            .own_identity(&kept_in.0, Role::Node, &name, "h:1", now)
            .unwrap();
        assert!(Authority::exists(&scratch.0).unwrap());

        let again = Authority::open(&scratch.0, now).unwrap();
        assert_eq!((again.cluster(), again.pin), (first.cluster(), first.pin));
        let kept = again
            .own_identity(&kept_in.0, Role::Node, &name, "h:1", now)
            .unwrap();
        assert_eq!(kept.certificate, own.certificate);
        let later = now + VALID * 3 / 4;
        let renewed = again
            .own_identity(&kept_in.0, Role::Node, &name, "h:1", later)
            .unwrap();
        assert_eq!(renewed.subject, own.subject);
        assert!(renewed.certificate != own.certificate && renewed.expires > own.expires);
        assert_eq!(renewed.keys.public(), own.keys.public());

        let all = again.members();
        assert_eq!(all.revoke(Role::Node, &own.subject.name, later).unwrap(), 2);
        let other = again
            .own_identity(&kept_in.0, Role::Node, &name, "h:1", later)
            .unwrap();
        assert_eq!(other.subject, own.subject);
        assert!(other.keys.public() != own.keys.public());
    }

    #[test]
    fn nobody_joins_as_the_master() {
        let scratch = Scratch::new();
        let now = SystemTime::now();
        let authority = Authority::open(&scratch.0, now).unwrap();
        let token = authority.new_token(Role::Master, "h:1", VALID, false, now);
        assert!(matches!(token, Err(AuthorityError::BadToken)));
    }

    #[test]
    fn a_damaged_authority_is_not_replaced() {
        let scratch = Scratch::new();
        let lock = scratch.0.lock().unwrap();
        scratch.0.replace(FILE, b"nonsense", &lock).unwrap();
        drop(lock);
        let error = Authority::open(&scratch.0, SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(scratch.0.read(FILE).unwrap().unwrap(), b"nonsense");
    }
}
