//! What a select received, until whoever selected takes it.
//!
//! Deliberately absent: which operation is chosen (`select.rs`).

use super::Receiver;
use crate::{aside::Slot, error::ChannelError, link::Link};
use deploy_sys::fork;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A value or an end that was received. Dropped before it is taken, it is there for the next who receives.
pub(crate) struct Received<T> {
    result: Option<Result<T, ChannelError>>,
    slot: Arc<Slot<T>>,
    link: Arc<Link>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// Receives a value or an end for somebody who takes it soon, if that can be had without waiting.
    pub(crate) fn receive_for_later(&self) -> Option<Received<T>> {
        Some(Received {
            result: Some(self.find()?),
            slot: self.slot.clone(),
            link: self.link.clone(),
        })
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Received<T> {
    /// Takes it; nothing, if it came from another receiver.
    pub(crate) fn take_from(mut self, receiver: &Receiver<T>) -> Option<Result<T, ChannelError>> {
        match Arc::ptr_eq(&self.slot, &receiver.slot) {
            true => self.result.take(),
            false => None,
        }
    }
}

impl<T> Drop for Received<T> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else {
            return;
        };
        if fork::happened() {
            return; // The value is the parent's, and a lock may be held by a thread that is not here.
        }
        self.slot.put_back(result);
        self.link.turn.ring();
    }
}
