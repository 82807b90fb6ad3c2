//! What a receiver finds without waiting: a value, an end, or the beginning of a long value.
//!
//! A look takes what lies in the window, under the receiving lock and with none of the user's code; what has to be decoded
//! is copied out and decoded after it.
//!
//! Deliberately absent: waiting (`waiting.rs`), and the pieces of a long value (`long.rs`).

use super::Receiver;
use crate::{
    aside,
    codec::{self, Bulk},
    error::{ChannelError, TryRecvError},
    link::{self, Look, Rx},
    long::{self, Claim},
    outlet::Refusal,
    scratch,
};
use deploy_sys::fork;
use deploy_wire::{
    bytes::Malformed,
    frame::{Kind, Stop},
    inbound::{Inbound, Taken},
    type_name::travelling,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, sync::atomic::Ordering::*, thread};

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// Receives a value that has been read already: whoever listens for the bell is told of what is read later.
    pub(crate) fn take_arrived(&self) -> Result<T, TryRecvError> {
        let found = scratch::with(|scratch| Some(finish(self.look(scratch).found()?, scratch)));
        self.without_waiting(found)
    }

    /// What can be had without waiting.
    pub(crate) fn try_find(&self) -> Option<Found<T>> {
        scratch::with(|scratch| {
            let mut look = self.look(scratch);
            if let Look::Nothing = look {
                self.link.read(false);
                look = self.look(scratch);
            }
            Some(finish(look.found()?, scratch))
        })
    }

    /// Takes a short value, where one lies ready and there is nothing else to look at: most often so, where many come.
    /// Returns its length. Without it, what any of them may be (an end, a long value, an error) would be moved for each.
    #[inline]
    pub(super) fn take_short(&self, short: &mut Short) -> Option<u8> {
        let is_plain = !codec::is_bulk::<T>() && !codec::is_byte::<T>();
        if !is_plain || !self.matched.load(Acquire) || fork::happened() {
            return None;
        }
        let mut rx = self.link.rx();
        if rx.long || self.slot.is_full() {
            return None;
        }
        let record = rx.inbound.take_short(self.generation, short.0.len())?;
        let len = short.put(record);
        self.link.settle_taken(rx);
        len
    }

    /// Whether what comes next is to be had as it comes: of our type, and with no long value before it.
    pub(super) fn is_plain(&self, rx: &Rx) -> bool {
        self.matched.load(Acquire) && !rx.long && !self.slot.is_full()
    }

    /// Takes a value by `keep`, where a whole one has come and there is nothing else to look at.
    pub(super) fn take_record<R>(&self, rx: &mut Rx, keep: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if !self.is_plain(rx) {
            return None;
        }
        match self.take_next(&mut rx.inbound) {
            Ok(Taken::Record(record)) => Some(keep(record)),
            _ => None,
        }
    }

    /// The same, by itself, to `scratch`: what is yet to be decoded.
    pub(super) fn take_ready(&self, scratch: &mut Vec<u8>) -> bool {
        if codec::is_bulk::<T>() || fork::happened() {
            return false;
        }
        let mut rx = self.link.rx();
        let taken = self.take_record(&mut rx, |record| replace(scratch, record));
        if taken.is_some() {
            self.link.settle_taken(rx);
        }
        taken.is_some()
    }

    /// What lies next in the window.
    fn take_next<'a>(&self, inbound: &'a mut Inbound) -> Result<Taken<'a>, Malformed> {
        match codec::is_byte::<T>() {
            true => inbound.take_run(self.generation, 1),
            false => inbound.take(self.generation),
        }
    }

    /// What there is without waiting. A value that must be decoded by the user's code is left in `scratch`.
    pub(super) fn look(&self, scratch: &mut Vec<u8>) -> Look<Polled<T>> {
        if let Some(error) = link::end_of_fork() {
            return Look::Found(Polled::Value(Err(error)));
        }
        let mut rx = self.link.rx();
        // Under the lock: before it, the helper could fill the slot and let us take what was sent after.
        if let Some(value) = self.slot.take() {
            return Look::Found(Polled::Value(value));
        }
        if rx.long {
            return Look::Idle; // Until the thread that receives the long value rings.
        }
        let polled = match self.take_next(&mut rx.inbound) {
            Ok(Taken::Record(record)) if codec::is_bulk::<T>() => {
                let value =
                    codec::from_bulk(record.to_vec()).expect("the type goes as it lies in memory");
                Some(Polled::Value(value.map_err(ChannelError::Codec)))
            }
            Ok(Taken::Record(record)) => {
                replace(scratch, record);
                Some(Polled::Record)
            }
            Ok(Taken::Long { total }) => Some(Polled::Long { total, begun: None }),
            other => self.end_of(other).map(|end| match end {
                Refusal::Error(error) => Polled::Value(Err(error)),
                Refusal::Panicked => Polled::Panicked,
            }),
        };
        if let Some(sent) = self.mismatched(&rx) {
            drop(rx);
            return Look::Found(Polled::Value(Err(self.refuse(sent))));
        }
        if let Some(Polled::Record) = polled {
            self.link.settle_taken(rx);
        } else {
            rx.long = matches!(polled, Some(Polled::Long { .. }));
            self.link.settle(rx);
        }
        Look::of(polled)
    }

    /// Why nothing more comes, where no value was taken; nothing, if more may come.
    pub(crate) fn end_of(&self, taken: Result<Taken<'_>, Malformed>) -> Option<Refusal> {
        let error = match taken {
            Ok(Taken::Ended(Kind::Abort)) => return Some(Refusal::Panicked),
            Ok(Taken::Ended(Kind::Fin)) => Some(ChannelError::Closed),
            Ok(Taken::Ended(_)) => self.link.fate_error(), // Once it is known.
            Ok(_) => self.link.end(),
            Err(malformed) => {
                self.link.handle_violation(malformed);
                self.link.end()
            }
        };
        error.map(Refusal::Error)
    }

    /// The name of the sender's type, if it is known and another.
    pub(crate) fn mismatched(&self, rx: &Rx) -> Option<String> {
        if self.matched.load(Acquire) {
            return None;
        }
        let sent = rx.inbound.opened(self.generation)?;
        if sent == travelling(type_name::<T>()) {
            self.matched.store(true, Release);
            return None;
        }
        Some(sent.to_string())
    }

    /// The sender sends another type.
    pub(crate) fn refuse(&self, sent: String) -> ChannelError {
        let expected = type_name::<T>().to_string();
        if self.mismatch.set(sent.clone()).is_ok() {
            self.link
                .stop_receiver(self.generation, Stop::Mismatch, &expected);
        }
        ChannelError::TypeMismatch { sent, expected }
    }

    /// Has a helper thread receive a long value, for a caller that will not wait for all of it.
    pub(crate) fn receive_aside(&self, total: u64) {
        let (claim, generation) = (Claim(self.link.clone()), self.generation);
        let slot = self.slot.clone();
        let receive = move || {
            // In the slot before the claim is dropped: nobody finds the channel's end before its last value.
            let received = aside::help(|| long::receive(&claim, generation, total, None));
            if let Some(value) = received.transpose() {
                slot.put(value.and_then(|value| value));
            }
        };
        // Without a thread the claim is dropped, the value stays where it is, and the next caller tries again.
        let _ = thread::Builder::new()
            .name("deploy-long".to_string())
            .spawn(receive);
    }
}

/// What a caller gets.
pub(crate) enum Found<T> {
    Value(Result<T, ChannelError>),
    Panicked,
    /// Only where a caller waits for as long as it takes something of it may have begun.
    Long {
        total: u64,
        begun: Option<Bulk>,
    },
}

/// What there is without waiting.
pub(super) enum Polled<T> {
    Value(Result<T, ChannelError>),
    /// A value that is yet to be decoded.
    Record,
    /// A long value, and of one that was expected the bytes that came with its header.
    Long {
        total: u64,
        begun: Option<Bulk>,
    },
    /// The sender was dropped by a panic: how its process ends may be known soon.
    Panicked,
}

/// What was found, once the user's code has decoded it.
pub(super) fn finish<T: DeserializeOwned>(polled: Polled<T>, scratch: &[u8]) -> Found<T> {
    match polled {
        Polled::Value(value) => Found::Value(value),
        Polled::Record => Found::Value(codec::decode(scratch).map_err(ChannelError::Codec)),
        Polled::Long { total, begun } => Found::Long { total, begun },
        Polled::Panicked => Found::Panicked,
    }
}

/// The record, and nothing else.
pub(super) fn replace(scratch: &mut Vec<u8>, record: &[u8]) {
    scratch.clear();
    scratch.extend_from_slice(record);
}

/// Where the bytes of a short value are until it is decoded. Its length alone goes from hand to hand.
pub(super) struct Short([u8; SHORT_RECORD_BYTES]);

impl Short {
    pub(super) fn new() -> Short {
        Short([0; SHORT_RECORD_BYTES])
    }

    /// Keeps the record, if it is short; says how long it is.
    #[inline]
    pub(super) fn put(&mut self, record: &[u8]) -> Option<u8> {
        self.0.get_mut(..record.len())?.copy_from_slice(record);
        Some(record.len() as u8)
    }

    /// The value in the record that was kept, which is so long.
    pub(super) fn decode<T: DeserializeOwned>(&self, len: u8) -> Result<T, ChannelError> {
        codec::decode(&self.0[..usize::from(len)]).map_err(ChannelError::Codec)
    }
}

/// A number, or a few: what is worth a way of its own.
const SHORT_RECORD_BYTES: usize = 64;
