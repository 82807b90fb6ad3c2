//! What strangers and members of a cluster show: tokens as people paste them, certificates' subjects, and what a master
//! answers to who joins.

use crate::{Target, place, words};
use deploy_trust::{
    authority::{Authority, AuthorityError},
    framing::{Inbound, Outbound},
    identity::Certified,
    keys::Pin,
    limits::UNKNOWN_MESSAGE_BYTES_MAX,
    session::Peer,
    state::StateDir,
    subject::{Name, Role, Subject},
    token::{Token, TokenId},
};
use deploy_wire::bytes::{Malformed, Reader};
use rustls::pki_types::CertificateDer;
use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

pub(crate) const TOKEN: Target = Target {
    name: "token",
    check: |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(token) = text.parse::<Token>() {
            words::accepted();
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        if let Ok(id) = text.parse::<TokenId>() {
            words::accepted();
            assert!(id.to_string().eq_ignore_ascii_case(&text));
        }
        16 * input.len() + 4096
    },
    seeds: || {
        [Role::Node, Role::User]
            .map(|role| Token::new(role, "10.0.0.1:9999", Pin([7; 16]), 1 << 100))
            .map(|token| token.to_string().into_bytes())
            .to_vec()
    },
    short: 50_000,
};

pub(crate) const SUBJECT: Target = Target {
    name: "subject",
    check: |input| {
        let text = String::from_utf8_lossy(input);
        if let Some(subject) = Subject::from_uri(&text) {
            words::accepted();
            assert_eq!(subject.to_string(), text, "there is one way to write it");
        }
        8 * input.len() + 1024
    },
    seeds: || vec![SUBJECT_TEXT.as_bytes().to_vec()],
    short: 100_000,
};

pub(crate) const CERTIFIED: Target = Target {
    name: "certified",
    check: |input| {
        if let Ok(certified) = Certified::from_bytes(input) {
            words::accepted();
            let bytes = certified.to_bytes();
            let again = Certified::from_bytes(&bytes).expect("it was written here");
            assert_eq!(again.to_bytes(), bytes);
            assert!(input.starts_with(&bytes), "there is one way to write it");
        }
        8 * input.len() + 1024
    },
    seeds: || {
        let subject = Subject::from_uri(SUBJECT_TEXT).expect("it is one");
        let mut message = deploy_wire::bytes::Writer::new();
        message
            .u128(subject.cluster.0)
            .u8(subject.role.code())
            .text(subject.name.as_str())
            .u64(1_000_000)
            .u64(2_000_000)
            .bytes(&[9; 300]);
        vec![message.finish()]
    },
    short: 100_000,
};

/// What a certificate says of its holder: of anybody's until the signature was looked at.
pub(crate) const CERTIFICATE: Target = Target {
    name: "certificate",
    check: |input| {
        if let Some(peer) = Peer::of(&CertificateDer::from(input)) {
            words::accepted();
            let uri = peer.subject.to_string();
            assert_eq!(Subject::from_uri(&uri), Some(peer.subject));
        }
        8 * input.len() + 4096
    },
    seeds: || {
        let path = place::new("authority");
        let dir = StateDir::open(&path).expect("a directory can be made");
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let authority = Authority::open(&dir, now).expect("it can be made");
        let certificates = [Role::Node, Role::User].map(|role| {
            let identity = authority.identity(role, &Name::like("n1"), "10.0.0.1:9999", now);
            let saved =
                identity.and_then(|identity| identity.save(&dir).map_err(AuthorityError::from));
            saved.expect("it is signed");
            let file = dir.read("identity").ok().flatten().expect("it was saved");
            let mut fields = Reader::new(&file);
            certificate_in(&mut fields).expect("it is there")
        });
        fs::remove_dir_all(path).expect("it was made here");
        certificates.to_vec()
    },
    short: 50_000,
};

/// What somebody unknown says once its connection is encrypted. The first byte chooses how it is cut.
pub(crate) const FRAMING: Target = Target {
    name: "framing",
    check: |input| {
        let Some((cut, stream)) = input.split_first() else {
            return 0;
        };
        let whole = messages(stream, stream.len());
        let parts = messages(stream, usize::from(*cut));
        assert_eq!(whole, parts, "it is the same however it comes");
        let mut again = Outbound::default();
        for message in &whole {
            again.queue(message.clone().into());
        }
        let again = messages(&leaving(again), usize::from(*cut));
        assert_eq!(whole, again, "what is read is written");
        // The stream and its messages, twice, in vectors that double, and what stands for a message that is empty.
        64 * stream.len() + 4096
    },
    seeds: || {
        let mut outbound = Outbound::default();
        for message in [b"join".as_slice(), b"", &[7; 300]] {
            outbound.queue(message.to_vec().into());
        }
        // One in two parts, with one that goes ahead between them.
        let parts = b"\x02\0\0\x80ab\x01\0\0\x40!\x01\0\0\0c";
        let whole = &leaving(outbound)[..];
        vec![[&[5], whole].concat(), [&[5], whole, parts].concat()]
    },
    short: 100_000,
};

/// The certificate in an identity as it is kept (`identity.rs`).
fn certificate_in(file: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let (_, _) = (file.text()?, file.text()?);
    let r = &mut Reader::new(file.bytes()?);
    let (_, _, _) = (r.u128()?, r.u8()?, r.text()?);
    let (_, _) = (r.u64()?, r.u64()?);
    Ok(r.bytes()?.to_vec())
}

/// All that waits there.
fn leaving(mut outbound: Outbound) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !outbound.is_empty() {
        let before = bytes.len();
        bytes.extend(outbound.waiting().concat());
        outbound.took(bytes.len() - before);
    }
    bytes
}

/// The messages of a stream that comes in such parts, up to where it is refused or ends. Each other part is looked at only
/// when a message is asked for.
fn messages(stream: &[u8], part: usize) -> Vec<Vec<u8>> {
    let mut inbound = Inbound::default();
    let mut messages = Vec::new();
    for (index, part) in stream.chunks(part.max(1)).enumerate() {
        match index % 2 {
            0 => inbound.handle_bytes(part, UNKNOWN_MESSAGE_BYTES_MAX),
            _ => inbound.keep_bytes(part),
        }
        while let Ok(Some(message)) = inbound.poll_message(UNKNOWN_MESSAGE_BYTES_MAX) {
            messages.push(message);
        }
    }
    messages
}

const SUBJECT_TEXT: &str = "fabric://000000000000000000000000000000ff/node/n-2.lab";
