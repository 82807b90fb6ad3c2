//! What strangers and members of a cluster show: tokens as people paste them, certificates' subjects, and what a master
//! answers to who joins.

use crate::Target;
use deploy_trust::{
    identity::Certified,
    subject::{Role, Subject},
    token::{Pin, Token, TokenId},
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

const SUBJECT_TEXT: &str = "fabric://000000000000000000000000000000ff/node/n-2.lab";
