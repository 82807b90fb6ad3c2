//! A value for many calls: it goes to each worker once, and the calls only name it.
//!
//! Deliberately absent: which worker has it (`hand.rs`).
//!
//! 1. The value is encoded once, and has a name that no other value of the job has.
//! 2. Where a call's arguments are encoded its handle writes the name, and leaves the value in the call's list.
//! 3. A worker is sent what is in the list of a call that is handed to it, unless it has it.
//! 4. There the handle is decoded by looking the name up; the value is decoded when that happens first.
//! 5. A worker forgets it when the last handle here, and the last call that names it, is gone.

use super::{Pool, arguments::Able, message::Bytes};
use crate::{
    codec::{self, CodecError},
    process,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::{
    any::{Any, type_name},
    cell::RefCell,
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::*},
    },
};

impl Pool {
    /// A value for many calls, as a handle to be passed to them: it is sent once to each worker, and not with each call.
    ///
    /// ```no_run
    /// use deploy::*;
    ///
    /// static POOL: Pool = Pool::new();
    ///
    /// #[on(POOL)]
    /// fn count(words: Broadcast<Vec<String>>, letter: char) -> usize {
    ///     words.iter().filter(|word| word.starts_with(letter)).count()
    /// }
    ///
    /// fn main() {
    ///     init(Resources::default());
    ///     let words = POOL.broadcast(vec!["apple".to_string(), "pear".to_string()]);
    ///     for counted in POOL.map(|letter| count(words.clone(), letter), 'a'..='z') {
    ///         println!("{counted:?}");
    ///     }
    /// }
    /// ```
    ///
    /// A value that cannot be encoded is the error of each call that it is passed to.
    ///
    /// # Panics
    /// If `init` was not called.
    #[track_caller]
    pub fn broadcast<T: Able + Sync>(&self, value: T) -> Broadcast<T> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = u64::from(process::current().pid.number());
        let mut bytes = Vec::new();
        let coded = codec::encode_part(&value, &mut bytes);
        let sent = Arc::new(Sent {
            name: (number << 32) | u64::from(COUNT.fetch_add(1, Relaxed)),
            value: coded.map(|()| Bytes(Arc::new(bytes))),
        });
        Broadcast {
            sent,
            value: Arc::new(value),
        }
    }
}

/// A value that many calls are passed: see [`Pool::broadcast`]. It dereferences to the value, and is cloned without it.
///
/// It travels as an argument of a call, or within one, and not by a channel.
pub struct Broadcast<T> {
    sent: Arc<Sent>,
    value: Arc<T>,
}

/// The value as it goes to workers.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) name: u64,
    pub(crate) value: Result<Bytes, CodecError>,
}

thread_local! {
    /// The values that the arguments name which this thread is encoding.
    static NAMED: RefCell<Option<Vec<Arc<Sent>>>> = const { RefCell::new(None) };
}

/// Encodes arguments, and says which values they name.
pub(crate) fn naming<R>(encode: impl FnOnce() -> R) -> (R, Vec<Arc<Sent>>) {
    let before = NAMED.replace(Some(Vec::new()));
    let encoded = encode();
    let named = NAMED.replace(before);
    (encoded, named.unwrap_or_default())
}

/// What this worker was sent: as bytes, and decoded, once somebody wanted it.
struct Known {
    sent: Arc<Sent>,
    value: Option<Arc<dyn Any + Send + Sync>>,
}

static KNOWN: Mutex<Option<HashMap<u64, Known>>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<HashMap<u64, Known>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This worker was sent a value.
pub(crate) fn learn(name: u64, value: Bytes) {
    let sent = Arc::new(Sent {
        name,
        value: Ok(value),
    });
    let known_before = known()
        .get_or_insert_default()
        .insert(name, Known { sent, value: None });
    drop(known_before); // With no lock held: its own code may run.
}

/// No call names it any more.
pub(crate) fn forget(name: u64) {
    let forgotten = known().as_mut().and_then(|known| known.remove(&name));
    drop(forgotten); // As above.
}

fn look_up<T: Able + Sync>(name: u64) -> Result<Broadcast<T>, String> {
    let missing = || "a broadcast value travels only as an argument of a call".to_string();
    let sent = {
        let known = known();
        let found = known.as_ref().and_then(|known| known.get(&name));
        let Known { sent, value } = found.ok_or_else(missing)?;
        if let Some(value) = value.clone().and_then(|value| value.downcast().ok()) {
            return Ok(Broadcast {
                sent: sent.clone(),
                value,
            });
        }
        sent.clone()
    };
    // With no lock held: the value's own code runs, and may look up another.
    let bytes = sent.value.clone()?;
    let value: Arc<T> = Arc::new(codec::decode_part(&mut bytes.0.as_slice())?);
    if let Some(known) = known().as_mut().and_then(|known| known.get_mut(&name)) {
        known.value = Some(value.clone());
    }
    Ok(Broadcast { sent, value })
}

impl<T> Serialize for Broadcast<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Err(why) = &self.sent.value {
            return Err(ser::Error::custom(why));
        }
        let is_named = NAMED.with_borrow_mut(|named| match named {
            Some(named) => {
                named.push(self.sent.clone());
                true
            }
            None => false,
        });
        match is_named {
            true => serializer.serialize_u64(self.sent.name),
            false => Err(ser::Error::custom(
                "a broadcast value travels only as an argument of a call",
            )),
        }
    }
}

impl<'de, T: Able + Sync> Deserialize<'de> for Broadcast<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Broadcast<T>, D::Error> {
        look_up(u64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<T> Deref for Broadcast<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Broadcast<T> {
        Broadcast {
            sent: self.sent.clone(),
            value: self.value.clone(),
        }
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broadcast<{}>", type_name::<T>())
    }
}
