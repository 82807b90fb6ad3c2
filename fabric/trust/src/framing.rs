//! Messages in a stream of bytes: each in parts, and each part behind its length, four bytes, little-endian.
//!
//! # What goes ahead
//! A long message takes its time on a slow line, and so does all that waits before it. What says that somebody is still there
//! must not wait so long: it goes *ahead*, between two parts of whatever else is on its way.
//!
//! Nothing is reserved for a length that was only announced.

use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Bytes that arrived, and the messages in them.
#[derive(Default, Debug)]
pub struct Inbound {
    /// What was not looked at: of an open session at most a piece of a head.
    bytes: Vec<u8>,
    taken: usize,
    part: Option<Part>,
    /// A message of which parts have come. It is put together where it will stay.
    message: Option<Vec<u8>>,
    /// Those that are there as a whole.
    whole: VecDeque<Vec<u8>>,
}

/// A part whose rest has yet to come.
#[derive(Debug)]
struct Part {
    missing: usize,
    kind: Kind,
}

/// What a part is.
#[derive(Debug)]
enum Kind {
    /// More of its message follows.
    More,
    /// The last of its message, or all of it.
    Last,
    /// A message by itself, which goes ahead.
    Ahead(Vec<u8>),
}

/// A message longer than is allowed now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong(pub u32);

impl Inbound {
    /// More bytes have come, of messages that may be so long. One that is longer is told when those before it were polled.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], len_max: u32) {
        let left = self.bytes.len() - self.taken;
        if left > 0 {
            let of_head = HEAD.saturating_sub(left).min(bytes.len());
            self.bytes.extend_from_slice(&bytes[..of_head]);
            bytes = &bytes[of_head..];
            if let Ok(Some(message)) = self.take_kept(len_max) {
                self.whole.push_back(message);
            }
        }
        if self.bytes.is_empty() {
            while let Ok(Some(message)) = self.take_one(&mut bytes, len_max) {
                self.whole.push_back(message);
            }
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// More bytes have come, and how long their messages may be is not known before those before them were looked at.
    pub fn keep_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole.
    pub fn poll_message(&mut self, len_max: u32) -> Result<Option<Vec<u8>>, TooLong> {
        match self.whole.pop_front() {
            None => self.take_kept(len_max),
            whole => Ok(whole),
        }
    }

    /// Looks at what is kept, as far as the end of one message.
    fn take_kept(&mut self, len_max: u32) -> Result<Option<Vec<u8>>, TooLong> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[self.taken..];
        let message = self.take_one(&mut rest, len_max);
        self.taken = bytes.len() - rest.len();
        self.bytes = bytes;
        tidy(&mut self.bytes, &mut self.taken);
        message
    }

    /// Takes bytes off the front, as far as the end of one message.
    fn take_one(&mut self, bytes: &mut &[u8], len_max: u32) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            let Some(part) = &mut self.part else {
                let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
                    return Ok(None);
                };
                let (missing, kind) = self.begin_part(u32::from_le_bytes(*head), len_max)?;
                self.part = Some(Part { missing, kind });
                *bytes = rest;
                continue;
            };
            let (belonging, rest) = bytes.split_at(part.missing.min(bytes.len()));
            let message = match &mut part.kind {
                Kind::Ahead(message) => message,
                Kind::More | Kind::Last => self.message.get_or_insert_default(),
            };
            if message.capacity() - message.len() < belonging.len() {
                let more = GROWTH * (message.len() + belonging.len());
                message.reserve(belonging.len().max(more.min(GROWTH_BYTES_MAX)));
            }
            message.extend_from_slice(belonging);
            part.missing -= belonging.len();
            *bytes = rest;
            if part.missing > 0 {
                return Ok(None);
            }
            match self.part.take().map(|part| part.kind) {
                Some(Kind::Last) => return Ok(Some(self.message.take().unwrap_or_default())),
                Some(Kind::Ahead(message)) => return Ok(Some(message)),
                Some(Kind::More) | None => {}
            }
        }
    }

    /// The length and the kind of a part with this head.
    fn begin_part(&self, head: u32, len_max: u32) -> Result<(usize, Kind), TooLong> {
        let len = head & !(MORE | AHEAD);
        let before = self.message.as_ref().map_or(0, Vec::len);
        let (whole, kind) = match (head & AHEAD != 0, head & MORE != 0) {
            (true, false) => (len as usize, Kind::Ahead(Vec::new())),
            (true, true) => return Err(TooLong(head)), // It has one part, and says that it has several.
            (false, true) => (before + len as usize, Kind::More),
            (false, false) => (before + len as usize, Kind::Last),
        };
        match whole > len_max as usize {
            true => Err(TooLong(u32::try_from(whole).unwrap_or(u32::MAX))),
            false => Ok((len as usize, kind)),
        }
    }

    /// Whether a message has begun and not ended.
    pub fn is_amid_message(&self) -> bool {
        self.taken < self.bytes.len() || self.part.is_some() || self.message.is_some()
    }
}

/// A part that waits to be sent.
#[derive(Debug)]
struct Leaving {
    head: [u8; HEAD],
    message: Message,
    /// Where it lies in its message.
    range: Range<usize>,
}

/// Messages that wait to be sent. They are kept as they came, since one may be long, and be on its way to several.
#[derive(Default, Debug)]
pub struct Outbound {
    parts: VecDeque<Leaving>,
    /// How much of the first part has gone, its head included.
    begun: usize,
    /// What goes ahead, with its heads.
    ahead: VecDeque<Vec<u8>>,
    ahead_taken: usize,
    /// How many bytes wait in all, with their heads.
    len: usize,
}

/// A message that waits.
pub type Message = Arc<Vec<u8>>;

impl Outbound {
    /// Puts a message behind the others.
    ///
    /// # Panics
    /// If the message has 1 GiB or more: such are refused before.
    pub fn queue(&mut self, message: Message) {
        let parts = message.len().div_ceil(PART_BYTES_MAX).max(1);
        for index in 0..parts {
            let from = index * PART_BYTES_MAX;
            let range = from..message.len().min(from + PART_BYTES_MAX);
            let kind = if index + 1 < parts { MORE } else { 0 };
            self.len += HEAD + range.len();
            self.parts.push_back(Leaving {
                head: head(range.len(), kind),
                message: message.clone(),
                range,
            });
        }
    }

    /// Puts a message before all that are not ahead themselves, and between two parts of one that is on its way.
    ///
    /// # Panics
    /// If the message has 1 GiB or more: such are refused before.
    pub fn queue_ahead(&mut self, message: &[u8]) {
        let part = [&head(message.len(), AHEAD), message].concat();
        self.len += part.len();
        self.ahead.push_back(part);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is to leave next, in order; not always all that waits.
    pub fn waiting(&self) -> Vec<&[u8]> {
        let parts = match self.ahead.front() {
            Some(ahead) if self.begun == 0 => return vec![&ahead[self.ahead_taken..]],
            Some(_) => 1,
            None => PARTS_AT_ONCE,
        };
        let mut gone = self.begun;
        let parts = self.parts.iter().take(parts);
        let slices = parts.flat_map(|part| [&part.head[..], &part.message[part.range.clone()]]);
        let left = slices.filter_map(|slice| {
            let before = gone.min(slice.len());
            gone -= before;
            Some(&slice[before..]).filter(|left| !left.is_empty())
        });
        left.collect()
    }

    /// So many of the bytes that waited have gone.
    pub fn took(&mut self, len: usize) {
        self.len -= len;
        if self.begun == 0
            && let Some(ahead) = self.ahead.front()
        {
            self.ahead_taken += len;
            if self.ahead_taken == ahead.len() {
                self.ahead_taken = 0;
                self.ahead.pop_front();
            }
            return;
        }
        self.begun += len;
        while let Some(part) = self.parts.front()
            && self.begun >= HEAD + part.range.len()
        {
            self.begun -= HEAD + part.range.len();
            self.parts.pop_front();
        }
        if self.parts.is_empty() {
            self.parts.shrink_to(PARTS_AT_ONCE);
        }
    }
}

/// The head of a part of this length.
fn head(len: usize, kind: u32) -> [u8; HEAD] {
    let len = u32::try_from(len).expect("longer messages are refused before");
    assert!(len < AHEAD, "longer messages are refused before");
    (len | kind).to_le_bytes()
}

/// Moves what is left to the front when that is little work, and gives a large buffer back.
fn tidy(bytes: &mut Vec<u8>, taken: &mut usize) {
    if *taken == bytes.len() {
        bytes.clear();
        bytes.shrink_to(KEPT);
    } else if *taken > bytes.len() / 2 {
        bytes.drain(..*taken);
    } else {
        return;
    }
    *taken = 0;
}

const HEAD: usize = 4;

/// In a head: more of the message follows in another part.
const MORE: u32 = 1 << 31;

/// In a head: this is a message by itself, which went ahead of another.
const AHEAD: u32 = 1 << 30;

/// How many times what has come of a message is reserved for its rest, and how much at most: so the usual long ones are seldom
/// moved while they come.
const GROWTH: usize = 3;
const GROWTH_BYTES_MAX: usize = 256 << 10;

/// What is cut no more: a record of TLS holds it, and on a line of 1 Mbit/s it takes an eighth of a second.
const PART_BYTES_MAX: usize = 16 << 10;

/// More than TLS takes at a time of long messages, and enough of short ones.
const PARTS_AT_ONCE: usize = 64;

/// What a connection at rest may keep: enough for its usual messages.
const KEPT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_limit_is_told_before_its_bytes_come() {
        let mut inbound = Inbound::default();
        inbound.keep_bytes(&5u32.to_le_bytes());
        assert_eq!(inbound.poll_message(4), Err(TooLong(5)));
        assert_eq!(inbound.poll_message(5), Ok(None));
        assert!(inbound.is_amid_message());
        inbound.handle_bytes(b"hello", 5);
        assert_eq!(inbound.poll_message(5), Ok(Some(b"hello".to_vec())));
        assert!(!inbound.is_amid_message());
    }

    #[test]
    fn parts_together_are_no_longer_than_a_message_may_be() {
        let mut inbound = Inbound::default();
        inbound.handle_bytes(&[0; HEAD], 5);
        inbound.handle_bytes(&(3 | MORE).to_le_bytes(), 5);
        inbound.handle_bytes(b"abc", 5);
        inbound.handle_bytes(&(3 | MORE).to_le_bytes(), 5);
        assert_eq!(inbound.poll_message(5), Ok(Some(Vec::new())), "before it");
        assert_eq!(inbound.poll_message(5), Err(TooLong(6)));
        let mut inbound = Inbound::default();
        inbound.handle_bytes(&(1 | MORE | AHEAD).to_le_bytes(), 5);
        assert!(inbound.poll_message(5).is_err());
    }

    #[test]
    fn what_goes_ahead_waits_for_one_part_at_most() {
        let mut outbound = Outbound::default();
        outbound.queue(Arc::new(vec![1; 10 * PART_BYTES_MAX]));
        let (mut inbound, mut sent) = (Inbound::default(), 0);
        inbound.handle_bytes(&outbound.waiting().concat()[..100], 1 << 20);
        outbound.took(100);
        outbound.queue_ahead(b"now");
        while inbound.poll_message(1 << 20).unwrap() != Some(b"now".to_vec()) {
            let leaving = outbound.waiting().concat();
            sent += leaving.len();
            inbound.handle_bytes(&leaving, 1 << 20);
            outbound.took(leaving.len());
        }
        assert!(sent <= PART_BYTES_MAX + 2 * HEAD, "{sent}");
    }

    proptest! {
        /// Whatever goes ahead, and wherever the bytes are cut, each message comes whole, and in order among its like.
        #[test]
        fn messages_come_back_however_they_are_cut(
            messages in proptest::collection::vec((any::<bool>(), 0usize..40_000), 0..8),
            cut in 1usize..20_000,
            is_known in any::<bool>(),
        ) {
            let mut outbound = Outbound::default();
            let (mut inbound, mut came) = (Inbound::default(), [Vec::new(), Vec::new()]);
            let mut expected = [Vec::new(), Vec::new()];
            let mut left = messages.into_iter().enumerate();
            loop {
                // One more each time that something leaves.
                let next = left.next();
                if let Some((index, (is_ahead, len))) = next {
                    let message = vec![2 * index as u8 + u8::from(is_ahead); len + 1];
                    expected[usize::from(is_ahead)].push(message.clone());
                    match is_ahead {
                        true => outbound.queue_ahead(&message),
                        false => outbound.queue(Arc::new(message)),
                    }
                } else if outbound.is_empty() {
                    break;
                }
                let leaving = outbound.waiting().concat();
                let part = leaving.len().min(cut);
                match is_known {
                    true => inbound.handle_bytes(&leaving[..part], 40_000),
                    false => inbound.keep_bytes(&leaving[..part]),
                }
                outbound.took(part);
                while let Some(message) = inbound.poll_message(40_000).unwrap() {
                    came[usize::from(message[0] % 2 == 1)].push(message);
                }
            }
            prop_assert_eq!(came, expected);
            prop_assert!(!inbound.is_amid_message());
        }
    }
}
