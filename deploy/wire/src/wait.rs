//! What a process waits for, as it tells its monitor when it has waited long.
//!
//! Deliberately absent: clocks, and who waits for whom in a circle: a process knows only its own waits.

use crate::{
    bytes::{Malformed, Reader, Writer},
    fields::{read_pid, write_pid},
    pid::Pid,
};
use std::fmt;

/// All that a process has waited for, for longer than a moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Waits {
    /// What each of its threads and tasks waits for, in no order; at most [`WAITS_MAX`].
    pub list: Vec<Wait>,
    /// Whether the process does nothing else: no thread of it runs or will wake by itself, all that it has sent has
    /// arrived, and nothing but one of these waits can end before all else.
    pub is_all: bool,
}

/// One thread or task that waits for another process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// For what.
    pub what: Awaited,
    /// Of whom.
    pub peer: Pid,
    /// The type of the channel's values; empty where there is no channel.
    pub type_name: String,
    /// Where in the source, as `src/main.rs:12`, if that is known.
    pub place: Option<String>,
    /// For how long, in milliseconds, at least.
    pub ms: u64,
}

/// What can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// A value from the peer.
    Value,
    /// Room in the peer's window for a value.
    Room,
    /// Word that the peer's runtime has all that was sent.
    Arrival,
    /// The end of the peer's process.
    End,
    /// The answer to a call that the peer works on.
    Answer,
    /// The same as `Arrival`, at the end of the process that waits.
    Delivery,
}

impl Waits {
    pub(crate) fn write(&self, w: &mut Writer) {
        assert!(self.list.len() <= WAITS_MAX, "whoever tells counts them");
        w.u32(self.list.len() as u32);
        self.list.iter().for_each(|wait| wait.write(w));
        w.bool(self.is_all);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Waits, Malformed> {
        let count = r.u32()?;
        if count as usize > WAITS_MAX {
            return Err(Malformed("a process tells of too many waits"));
        }
        Ok(Waits {
            list: (0..count)
                .map(|_| Wait::read(r))
                .collect::<Result<_, _>>()?,
            is_all: r.bool()?,
        })
    }
}

impl Wait {
    pub(crate) fn write(&self, w: &mut Writer) {
        w.u8(match self.what {
            Awaited::Value => 0,
            Awaited::Room => 1,
            Awaited::Arrival => 2,
            Awaited::End => 3,
            Awaited::Answer => 4,
            Awaited::Delivery => 5,
        });
        write_pid(w, self.peer);
        w.text(cut(&self.type_name))
            .option(self.place.as_deref(), |w, place| {
                w.text(cut(place));
            })
            .u64(self.ms);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Wait, Malformed> {
        Ok(Wait {
            what: match r.u8()? {
                0 => Awaited::Value,
                1 => Awaited::Room,
                2 => Awaited::Arrival,
                3 => Awaited::End,
                4 => Awaited::Answer,
                5 => Awaited::Delivery,
                _ => return Err(Malformed("an unknown kind of wait")),
            },
            peer: read_pid(r)?,
            type_name: words(r)?,
            place: r.option(words)?,
            ms: r.u64()?,
        })
    }
}

/// As much of a name as travels: of a type's the beginning, which says what it is.
fn cut(name: &str) -> &str {
    let fits = |end: &usize| name.is_char_boundary(*end);
    let end = (0..=name.len().min(WORDS_BYTES_MAX)).rev().find(fits);
    &name[..end.unwrap_or(0)]
}

fn words(r: &mut Reader<'_>) -> Result<String, Malformed> {
    match r.text()? {
        words if words.len() <= WORDS_BYTES_MAX => Ok(words.to_string()),
        _ => Err(Malformed("a name is too long")),
    }
}

/// In words that follow "waits", such as `to receive u64 from 3fecd01 (src/main.rs:12)`.
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, type_name) = (self.peer, &self.type_name);
        match self.what {
            Awaited::Value => write!(f, "to receive {type_name} from {peer}"),
            Awaited::Room => write!(f, "to send {type_name} to {peer}"),
            Awaited::Arrival => write!(f, "for {peer} to take in what was sent to it"),
            Awaited::End => write!(f, "for the end of {peer}"),
            Awaited::Answer => write!(f, "for {peer} to answer a call"),
            Awaited::Delivery => write!(f, "to end until {peer} has what was sent to it"),
        }?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

/// A process that waits for more tells of so many. All of them, with the longest names, are a small packet.
pub const WAITS_MAX: usize = 64;

/// The longest name of a type, or of a place, that travels.
const WORDS_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::Job;

    #[test]
    fn each_wait_has_words() {
        let wait = |what| Wait {
            what,
            peer: Pid::new(Job::from_bits(7), 1),
            type_name: "u64".into(),
            place: Some("src/main.rs:12".into()),
            ms: 0,
        };
        let peer = wait(Awaited::Value).peer;
        let check = |what, expected: &str| {
            let expected = expected.replace("PEER", &peer.to_string());
            assert_eq!(wait(what).to_string(), expected);
        };
        check(Awaited::Value, "to receive u64 from PEER (src/main.rs:12)");
        check(Awaited::Room, "to send u64 to PEER (src/main.rs:12)");
        check(Awaited::End, "for the end of PEER (src/main.rs:12)");
        let nowhere = Wait {
            place: None,
            ..wait(Awaited::Answer)
        };
        assert_eq!(nowhere.to_string(), format!("for {peer} to answer a call"));
    }
}
