//! What a select received, until whoever selected takes it.
//!
//! It is taken out of the window and not decoded: so it costs no memory of its own, and says nothing of its type, which is
//! its receiver's.
//!
//! Deliberately absent: which operation is chosen (`select.rs`).

use super::Receiver;
use crate::{aside, codec, error::ChannelError, scratch};
use deploy_sys::fork;
use serde::{Serialize, de::DeserializeOwned};
use std::any::Any;

/// A value or an end that was received. It is to be taken or put back.
#[derive(Debug)]
pub(crate) enum Received {
    /// A value that is yet to be decoded, in a buffer that was lent.
    Record(Vec<u8>),
    /// An end, an error or what came another way: the receiver's `Result`.
    Done(Box<dyn Any + Send>),
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// Receives a value or an end for somebody who takes it soon, if that can be had without waiting.
    pub(crate) fn receive_for_later(&self) -> Option<Received> {
        let mut record = scratch::lend();
        if self.take_ready(&mut record) {
            return Some(Received::Record(record));
        }
        scratch::give_back(record);
        Some(Received::Done(Box::new(self.find()?)))
    }

    /// Takes what was received here.
    pub(crate) fn take_received(&self, received: Received) -> Result<T, ChannelError> {
        match received {
            Received::Record(record) => {
                let value = codec::decode(&record).map_err(ChannelError::Codec);
                scratch::give_back(record);
                value
            }
            Received::Done(any) => *any
                .downcast()
                .expect("what a receiver received has its type"),
        }
    }

    /// What was received here is there for the next who receives.
    pub(crate) fn put_back(&self, received: Received) {
        if fork::happened() {
            return; // The value is the parent's, and a lock may be held by a thread that is not here.
        }
        let value = aside::help(|| self.take_received(received));
        self.slot.put_back(value.and_then(|value| value));
        self.link.turn.ring();
    }
}
