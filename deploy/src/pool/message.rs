//! What a pool and its worker say to each other.
//!
//! Deliberately absent: what a call's bytes hold (`arguments.rs`).

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use std::{fmt, sync::Arc};

/// Said to a worker.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Message {
    /// Run this function.
    Call {
        /// Repeated in the answer.
        id: u64,
        /// Where it lies in the program.
        function: i64,
        /// With what.
        given: Bytes,
    },
    /// Give this call back, if it has not begun: nobody wants it any more, or another worker is quicker.
    CallOff {
        /// The call's.
        id: u64,
    },
    /// A value that calls behind this one name.
    Broadcast {
        /// Its name.
        name: u64,
        /// The value.
        value: Bytes,
    },
    /// No call names this value any more.
    Forget {
        /// Its name.
        name: u64,
    },
}

impl Message {
    /// Which call it is, if it is one.
    pub(crate) fn call(&self) -> Option<u64> {
        match self {
            Message::Call { id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// Said by a worker.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Reply {
    /// It has begun.
    Ready,
    /// A call has not begun here, and will not.
    GivenBack {
        /// The call's.
        id: u64,
    },
    /// Calls are done.
    Answers(Vec<Answer>),
}

/// A call is done.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Answer {
    /// The call's.
    pub(crate) id: u64,
    /// How long it ran.
    pub(crate) nanoseconds: u64,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of a call.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Outcome {
    /// Its result.
    Returned(Bytes),
    /// Where it panicked, and with what words.
    Panicked {
        message: String,
        file: String,
        line: u32,
    },
    /// Its arguments could not be decoded, or its result not be encoded.
    Uncoded(String),
}

impl Outcome {
    /// Whether it takes more room than many others together.
    pub(crate) fn is_long(&self) -> bool {
        let bytes = match self {
            Outcome::Returned(bytes) => bytes.0.len(),
            Outcome::Panicked { message, .. } => message.len(),
            Outcome::Uncoded(why) => why.len(),
        };
        bytes > LONG_BYTES
    }
}

/// Bytes that travel in one piece, and that several may hold.
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Arc<Vec<u8>>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_byte_buf(InOnePiece)
    }
}

struct InOnePiece;

impl Visitor<'_> for InOnePiece {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes(Arc::new(bytes)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(Arc::new(bytes.to_vec())))
    }
}

/// An outcome that is shorter is cheap to keep for a while.
const LONG_BYTES: usize = 4 << 10;
