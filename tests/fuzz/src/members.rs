//! What strangers and members of a cluster show: tokens as people paste them, certificates' subjects, and what a master
//! answers to who joins.

use crate::Target;
use deploy_trust::{
    framing::{Inbound, Outbound},
    identity::Certified,
    keys::Pin,
    limits::UNKNOWN_MESSAGE_BYTES_MAX,
    subject::{Role, Subject},
    token::{Token, TokenId},
};

pub(crate) const TOKEN: Target = Target {
    name: "token",
    check: |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(token) = text.parse::<Token>() {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        if let Ok(id) = text.parse::<TokenId>() {
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
