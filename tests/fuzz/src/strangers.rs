//! What comes over a network before anybody is proved, and what is sealed: nothing that was not said by the other side
//! proves anything or opens.

use crate::{Target, words};
use deploy_trust::{
    greeting::Greeting,
    identity::Certified,
    join::words::{Request, read_answer, write_answer},
    subject::{ClusterId, Name, Role, Subject},
};
use deploy_wire::{
    bytes::Writer,
    handshake::Handshake,
    hello::{Accept, Dial, NONCE_BYTES, Route},
    pid::{Job, Pid},
    record::{Cipher, Opener, Sealer},
    secret::{Seal, Secret},
};
use std::sync::LazyLock;

pub(crate) const HELLO: Target = Target {
    name: "hello",
    check: |input| {
        let mut accept = Accept::new([2; NONCE_BYTES]);
        let mut rest = input;
        while accept.wanted() > 0 && !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(accept.wanted()));
            if accept.handle_bytes(now, key_of).is_err() {
                break;
            }
            rest = later;
        }
        if accept.proved().is_some() {
            assert!(
                input.starts_with(&exchange().0),
                "only the whole exchange proves anything"
            );
        }
        let mut dial = dial();
        let answer = &input[..input.len().min(dial.wanted())];
        if dial.handle_bytes(answer).is_ok() && dial.is_proved() {
            assert!(input.starts_with(&exchange().1));
        }
        16 << 10
    },
    seeds: || {
        let (dialled, accepted) = exchange();
        vec![dialled, accepted]
    },
    short: 10_000,
};

/// Each end makes a key of its own anew, so nothing that was ever said before completes an exchange. The first byte chooses
/// who hears it: mostly the one who is spoken to first, who makes no key, which takes longest, before it has heard a proof.
pub(crate) const HANDSHAKE: Target = Target {
    name: "handshake",
    check: |input| {
        let Some((choice, mut rest)) = input.split_first() else {
            return 0;
        };
        let [initiator, responder] = &*SEALS;
        let seal = match choice % 64 {
            0 => initiator,
            _ => responder,
        };
        let mut handshake = Handshake::new(seal.clone());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(handshake.wanted()));
            if handshake.handle_bytes(now).is_err() {
                break;
            }
            assert!(
                handshake.wanted() > 0,
                "what was said before proves nothing"
            );
            rest = later;
        }
        16 << 10
    },
    seeds: || {
        let [mut one, mut other] = SEALS.clone().map(Handshake::new);
        let first = one.poll_transmit().expect("it speaks first");
        other.handle_bytes(&first).expect("it is right");
        let answer = other.poll_transmit().expect("it answers");
        one.handle_bytes(&answer).expect("it is right");
        let last = one.poll_transmit().expect("it answers");
        let said = [&first[..], &last].concat();
        let heard = |choice: u8, said: &[u8]| [&[choice], said].concat();
        let (as_responder, as_initiator) = (1, 0);
        // To agree on keys takes some twenty times as long as to refuse a first message: so that is what most of them are.
        let mut seeds = vec![heard(as_responder, &first); 14];
        seeds.extend([heard(as_responder, &said), heard(as_initiator, &answer)]);
        seeds
    },
    short: 4_000,
};

/// What a stranger says once its connection is encrypted, and what it is answered; and how either side begins.
pub(crate) const JOIN: Target = Target {
    name: "join",
    check: |input| {
        if Request::read(input).is_ok() {
            words::accepted();
        }
        if let Ok(answer) = read_answer(input) {
            words::accepted();
            let again = write_answer(answer);
            let same = read_answer(&again).map(write_answer);
            assert_eq!(same, Ok(again), "what was read can be written");
        }
        if let Ok(greeting) = Greeting::read(input) {
            words::accepted();
            assert_eq!(Greeting::read(&greeting.encode()), Ok(greeting));
        }
        16 * input.len() + 4096
    },
    seeds: || {
        let asks = |role: Role| {
            let mut w = Writer::new();
            w.u8(1).u8(role.code()).text("n1");
            w.bytes(&[7; 32]).bytes(&[8; 8]);
            w.bytes(&[9; 64]).bytes(&[10; 64]);
            w.finish()
        };
        let subject = Subject {
            cluster: ClusterId(7),
            role: Role::Node,
            name: Name::like("n1"),
        };
        let mut certified = Writer::new();
        let dates = (1_000_000, 2_000_000);
        certified.u128(subject.cluster.0).u8(subject.role.code());
        certified
            .text(subject.name.as_str())
            .u64(dates.0)
            .u64(dates.1);
        certified.bytes(&[9; 300]);
        let certified = Certified::from_bytes(&certified.finish()).expect("it is one");
        vec![
            asks(Role::Node),
            asks(Role::User),
            write_answer(Ok(certified)),
            write_answer(Err("no such token".to_string())),
            Greeting::ours().encode(),
        ]
    },
    short: 100_000,
};

pub(crate) const SEALED: Target = Target {
    name: "sealed",
    check: |input| {
        for cipher in CIPHERS {
            let mut opener = Opener::new(cipher, &SECRET);
            let mut opened = Vec::new();
            let closed = input.chunks(50).any(|part| {
                opener.handle_bytes(part);
                loop {
                    match opener.take(usize::MAX) {
                        Ok(Some(bytes)) => opened.extend_from_slice(bytes),
                        Ok(None) => return false,
                        Err(_) => return true,
                    }
                }
            });
            assert!(closed || opened.len() <= input.len());
            assert!(
                PLAIN.starts_with(&opened),
                "nothing opens but what was sealed, in order"
            );
        }
        1 << 20
    },
    seeds: || CIPHERS.map(sealed).to_vec(),
    short: 20_000,
};

const CIPHERS: [Cipher; 2] = [Cipher::Aes, Cipher::ChaCha];

/// All that the one who dials says, and all that the one who accepts says.
fn exchange() -> (Vec<u8>, Vec<u8>) {
    let (mut dial, mut accept) = (dial(), Accept::new([2; NONCE_BYTES]));
    let mut first = dial.poll_transmit().expect("it speaks first");
    accept.handle_bytes(&first, key_of).expect("it is right");
    let second = accept.poll_transmit().expect("it answers");
    dial.handle_bytes(&second).expect("it is right");
    first.extend(dial.poll_transmit().expect("it answers"));
    (first, second)
}

/// For the one who speaks first, and for the other.
static SEALS: LazyLock<[Seal; 2]> = LazyLock::new(|| {
    let pid = |number| Pid::new(Job::from_bits(7), number);
    SECRET.seals(pid(1), pid(2), true).into()
});

fn dial() -> Dial {
    let job = Job::from_bits(7);
    let route = Route {
        from: Pid::new(job, 1),
        to: Pid::new(job, 2),
    };
    Dial::new(&SECRET, route, [1; NONCE_BYTES])
}

fn key_of(job: Job) -> Option<Secret> {
    (job == Job::from_bits(7)).then_some(SECRET)
}

fn sealed(cipher: Cipher) -> Vec<u8> {
    let mut sealer = Sealer::new(cipher, &SECRET);
    let mut bytes = Vec::new();
    for record in PLAIN.chunks(10) {
        sealer.queue_record(record);
        bytes.extend_from_slice(sealer.pending());
        sealer.handle_written(sealer.pending().len());
    }
    bytes
}

const SECRET: Secret = Secret::from_bytes([9; 32]);
const PLAIN: &[u8] = b"what was said, in several records, one after the other";
