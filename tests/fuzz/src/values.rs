//! Values of the user's types, by the library's own codec.
//!
//! Deliberately absent: texts in a value that streams. Their length is believed up to what a stream may hold, and so
//! much memory is asked for, though not touched: see `codec.rs`.

use crate::{Target, words};
use message::{Bytes, Message, Outcome, Reply};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::Arc,
};

#[expect(dead_code, reason = "the library uses the rest of it")]
#[path = "../../../deploy/src/codec.rs"]
mod codec;
#[path = "../../../deploy/src/encoder.rs"]
mod encoder;

#[expect(dead_code, reason = "the library uses the rest of it")]
#[path = "../../../deploy/src/pool/message.rs"]
mod message;

pub(crate) const RECORD: Target = Target {
    name: "record",
    check: |input| {
        record::<Everything>(input);
        record::<Vec<String>>(input);
        record::<HashMap<String, Vec<Option<i32>>>>(input);
        record::<(u8, bool, char, Box<[f32]>)>(input);
        // Twice what serde asks for at once, on the word of a length, for each vector within a vector; and a text.
        (4 << 20) + 64 * input.len()
    },
    seeds,
    short: 60_000,
};

pub(crate) const STREAM: Target = Target {
    name: "stream",
    check: |input| {
        let _ = codec::decode_from::<Vec<(u64, Option<char>)>>(input);
        let _ = codec::decode_from::<BTreeMap<u16, Vec<i8>>>(input);
        (4 << 20) + 64 * input.len()
    },
    seeds,
    short: 60_000,
};

pub(crate) const BULK: Target = Target {
    name: "bulk",
    check: |input| {
        bulk::<Vec<u8>>(input);
        bulk::<String>(input);
        bulk::<Vec<u64>>(input);
        bulk::<Vec<f32>>(input);
        8 * input.len() + 1024
    },
    seeds: || {
        vec![
            b"some text \xc3\xa9".to_vec(),
            vec![0xff; 64],
            (0..64).collect(),
        ]
    },
    short: 150_000,
};

/// What a pool and its workers say to each other.
pub(crate) const POOL: Target = Target {
    name: "pool",
    check: |input| {
        record::<message::Message>(input);
        record::<message::Reply>(input);
        (4 << 20) + 64 * input.len()
    },
    seeds: || {
        let bytes = |byte: u8| Bytes(Arc::new(vec![byte; 5]));
        let call = Message::Call {
            id: 3,
            function: -4096,
            given: bytes(7),
        };
        let broadcast = Message::Broadcast {
            name: 4,
            value: bytes(8),
        };
        let others = [Message::CallOff { id: 3 }, Message::Forget { name: 4 }];
        let outcomes = [
            Outcome::Returned(bytes(9)),
            Outcome::Uncoded("no".to_string()),
            Outcome::Panicked {
                message: "gone".to_string(),
                file: "main.rs".to_string(),
                line: 7,
            },
        ];
        let answers = outcomes.map(|outcome| message::Answer {
            id: 3,
            nanoseconds: 1000,
            outcome,
        });
        let replies = [
            Reply::Ready,
            Reply::GivenBack { id: 3 },
            Reply::Answers(answers.into()),
        ];
        let said = [call, broadcast].into_iter().chain(others);
        let said = said.map(|message| encoded(&message));
        said.chain(replies.iter().map(encoded)).collect()
    },
    short: 60_000,
};

/// The arguments of a call, one behind the other.
pub(crate) const PARTS: Target = Target {
    name: "parts",
    check: |input| {
        let mut left = input;
        while let Ok((numbers, text, others)) = parts(&mut left) {
            words::given(1);
            let mut again = Vec::new();
            codec::encode_part(&numbers, &mut again).expect("it was decoded");
            codec::encode_part(&text, &mut again).expect("it was decoded");
            codec::encode_part(&others, &mut again).expect("it was decoded");
            parts(&mut &again[..]).expect("it was encoded");
            if left.is_empty() {
                break;
            }
        }
        (4 << 20) + 64 * input.len()
    },
    seeds: || {
        let mut bytes = Vec::new();
        let others = Others::from([(7u16, vec![Some('a'), None])]);
        for text in ["", "text"] {
            codec::encode_part(&vec![1u64, 2], &mut bytes).expect("a seed can be encoded");
            codec::encode_part(&text.to_string(), &mut bytes).expect("a seed can be encoded");
            codec::encode_part(&others, &mut bytes).expect("a seed can be encoded");
        }
        vec![bytes]
    },
    short: 60_000,
};

fn parts(bytes: &mut &[u8]) -> Result<(Vec<u64>, String, Others), codec::CodecError> {
    Ok((
        codec::decode_part(bytes)?,
        codec::decode_part(bytes)?,
        codec::decode_part(bytes)?,
    ))
}

/// What can be decoded is encoded to the same bytes again, but where maps are in another order or say a key twice.
fn record<T: Serialize + DeserializeOwned>(input: &[u8]) {
    let Ok(value) = codec::decode::<T>(input) else {
        return;
    };
    words::accepted();
    let mut again = Vec::new();
    codec::encode(&value, &mut again).expect("what was decoded can be encoded");
    assert!(again.len() <= input.len());
    codec::decode::<T>(&again).expect("what was encoded can be decoded");
}

fn bulk<T>(input: &[u8]) {
    if let Ok(Ok(value)) = codec::from_bulk::<T>(input.to_vec()) {
        words::accepted();
        assert_eq!(codec::as_bulk(&value), Some(input));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let everything = Everything {
        number: 7,
        text: "text".into(),
        choice: Choice::Pair(-1, Some('x')),
        nested: vec![vec![1, 2], vec![]],
        map: BTreeMap::from([(1, "one".into())]),
    };
    vec![
        encoded(&everything),
        encoded(&Everything {
            choice: Choice::Named { on: true },
            ..everything
        }),
        encoded(&vec!["one".to_string(), "two".to_string()]),
        encoded(&HashMap::from([("key".to_string(), vec![Some(1), None])])),
        encoded(&(1u8, true, 'é', vec![0.5f32; 4])),
        encoded(&vec![(1u64, Some('a')), (2, None)]),
        encoded(&BTreeMap::from([(1u16, vec![1i8, 2])])),
    ]
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes).expect("a seed can be encoded");
    bytes
}

type Others = BTreeMap<u16, Vec<Option<char>>>;

#[derive(Serialize, Deserialize, Debug)]
struct Everything {
    number: u64,
    text: String,
    choice: Choice,
    nested: Vec<Vec<u32>>,
    map: BTreeMap<u8, String>,
}

#[derive(Serialize, Deserialize, Debug)]
enum Choice {
    Nothing,
    Pair(i16, Option<char>),
    Named { on: bool },
}
