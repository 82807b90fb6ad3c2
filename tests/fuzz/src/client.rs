//! What a person's client and the bridge say to each other.

use crate::{Target, words};
use deploy_wire::{
    client::{Answer, Ask},
    samples::client::{answers, asks},
};

pub(crate) const ASK: Target = Target {
    name: "ask",
    check: |input| {
        if let Ok(ask) = Ask::decode(input) {
            words::accepted();
            assert_eq!(Ask::decode(&ask.encode()), Ok(ask));
        }
        message_bytes(input)
    },
    seeds: || asks().iter().map(Ask::encode).collect(),
    short: 200_000,
};

pub(crate) const ANSWER: Target = Target {
    name: "answer",
    check: |input| {
        if let Ok(answer) = Answer::decode(input) {
            words::accepted();
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
        message_bytes(input)
    },
    seeds: || answers().iter().map(Answer::encode).collect(),
    short: 200_000,
};

/// Lists of words: one that is empty takes four bytes of a message, and two dozen in a vector that doubles; and all
/// that twice.
fn message_bytes(input: &[u8]) -> usize {
    48 * input.len() + 4096
}
