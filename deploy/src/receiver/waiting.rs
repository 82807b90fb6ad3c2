//! How a thread waits for a value: it reads the socket itself, and a long value that is expected straight to its place.
//!
//! Deliberately absent: what counts as found (`looking.rs`), and tasks (`future.rs`).

use super::{
    Receiver,
    looking::{Found, Polled, Short, finish, replace},
};
use crate::{
    carrier::Came,
    codec::{self, Bulk},
    link::{Look, Who},
    long, scratch,
    waits::{Line, Waiting},
};
use deploy_wire::wait::Awaited;
use serde::{Serialize, de::DeserializeOwned};
use std::{any::type_name, cell::RefCell, time::Instant};

impl<T: Serialize + DeserializeOwned + Send + 'static> Receiver<T> {
    /// Blocks until something is found, or until the deadline. It waits in this line. Returns the length of a value that was
    /// left in `short`; all else is left in `found`. So what may be large is moved once, and not with each short value.
    pub(super) fn wait(
        &self,
        deadline: Option<Instant>,
        at: Option<Line>,
        short: &mut Short,
        found: &mut Option<Found<T>>,
    ) -> Option<u8> {
        scratch::with(|scratch| {
            let mut room = None;
            let (scratch, polled) = (RefCell::new(scratch), RefCell::new(None));
            let look = || {
                let look = self.look(&mut scratch.borrow_mut());
                leave(look, &mut polled.borrow_mut())
            };
            let read = |who| match deadline {
                _ if who == Who::Sleeper => {
                    room = None; // Who sleeps has no room for what may come.
                    self.link.read_as(who).into()
                }
                None if codec::is_bulk::<T>() => {
                    let look = self.read_ahead(who, &mut room);
                    leave(look, &mut polled.borrow_mut())
                }
                _ if codec::is_bulk::<T>() || codec::is_byte::<T>() => {
                    self.link.read_as(who).into()
                }
                _ => self.read_and_take(who, short, &mut scratch.borrow_mut()),
            };
            let waiting = Some(self.waiting(at));
            let short_len = self.link.wait_reading(deadline, waiting, look, read)?;
            if short_len.is_none() {
                let polled = polled.into_inner().unwrap_or(Polled::Record);
                *found = Some(finish(polled, scratch.into_inner()));
            }
            short_len
        })
    }

    /// Reads once, and takes the value that came, under one lock: most often it is what this thread waits for. Where it is not
    /// short it is left in `scratch`.
    fn read_and_take(
        &self,
        who: Who,
        short: &mut Short,
        scratch: &mut Vec<u8>,
    ) -> Look<Option<u8>> {
        let mut taken = None;
        let read = self.link.read_by(who == Who::Owner, |rx, socket| {
            let came = rx.way.read(socket, &mut rx.inbound);
            if let Came::Something = came {
                taken = self.take_record(rx, |record| {
                    let len = short.put(record);
                    if len.is_none() {
                        replace(scratch, record);
                    }
                    len
                });
            }
            came
        });
        match taken {
            Some(short_len) => Look::Found(short_len),
            None => read.into(),
        }
    }

    /// Reads once; where a long value like the last ones is expected, with room for it, so that its bytes come with its
    /// header.
    fn read_ahead(&self, who: Who, room: &mut Option<Bulk>) -> Look<Polled<T>> {
        let mut begun = None;
        let read = self.link.read_by(who == Who::Owner, |rx, socket| {
            let expected = rx.inbound.expects_whole();
            // A value of another type is none, and one that a helper has comes before.
            let expected = expected.filter(|_| self.is_plain(rx));
            let room = expected.and_then(|expected| long::room::<T>(expected, room));
            let Some(room) = room else {
                return rx.way.read(socket, &mut rx.inbound);
            };
            let came;
            (came, begun) = long::read_ahead(socket, rx, self.generation, room);
            rx.long = begun.is_some();
            came
        });
        match begun {
            Some(total) => Look::Found(Polled::Long {
                total,
                begun: room.take(),
            }),
            None => read.into(),
        }
    }

    /// What one who receives waits for, in this line.
    pub(crate) fn waiting(&self, at: Option<Line>) -> Waiting {
        Waiting {
            what: Awaited::Value,
            type_name: type_name::<T>(),
            at,
        }
    }
}

/// Leaves what was found here; nothing of it is short.
fn leave<R>(look: Look<R>, found: &mut Option<R>) -> Look<Option<u8>> {
    match look {
        Look::Found(something) => {
            *found = Some(something);
            Look::Found(None)
        }
        Look::Something => Look::Something,
        Look::Nothing => Look::Nothing,
        Look::Idle => Look::Idle,
    }
}
