//! Messages in a stream of bytes: each in parts, and each part behind its length, four bytes, little-endian.
//!
//! # What goes ahead
//! A long message takes its time on a slow line, and so does all that waits before it. What says that somebody is still there
//! must not wait so long: it goes *ahead*, between two parts of whatever else is on its way.
//!
//! Nothing is reserved for a length that was only announced.

use std::collections::VecDeque;

/// Bytes that arrived, and the messages in them.
#[derive(Default, Debug)]
pub struct Inbound {
    bytes: Vec<u8>,
    taken: usize,
    part: Option<Part>,
    /// A message of which parts have come. It is put together where it will stay.
    message: Option<Vec<u8>>,
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
    /// More bytes have come.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) {
        if let Some(part) = &mut self.part {
            let (belonging, rest) = bytes.split_at(part.missing.min(bytes.len()));
            let message = match &mut part.kind {
                Kind::Ahead(message) => message,
                Kind::More | Kind::Last => self.message.get_or_insert_default(),
            };
            message.extend_from_slice(belonging);
            part.missing -= belonging.len();
            bytes = rest;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole.
    pub fn poll_message(&mut self, len_max: u32) -> Result<Option<Vec<u8>>, TooLong> {
        loop {
            match self.part.take_if(|part| part.missing == 0) {
                Some(Part { kind, .. }) => match kind {
                    Kind::More => {}
                    Kind::Last => return Ok(Some(self.message.take().unwrap_or_default())),
                    Kind::Ahead(message) => return Ok(Some(message)),
                },
                None if self.part.is_some() => return Ok(None),
                None => {}
            }
            let rest = &self.bytes[self.taken..];
            let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else {
                return Ok(None);
            };
            let (len, kind) = self.begin_part(u32::from_le_bytes(*head), len_max)?;
            let here = rest.len().min(len);
            let bytes = std::mem::take(&mut self.bytes);
            let at = self.taken + HEAD;
            self.part = Some(Part { missing: len, kind });
            self.handle_bytes(&bytes[at..at + here]);
            (self.bytes, self.taken) = (bytes, at + here);
            tidy(&mut self.bytes, &mut self.taken);
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

/// Messages that wait to be sent, as the bytes that they become.
#[derive(Default, Debug)]
pub struct Outbound {
    bytes: Vec<u8>,
    taken: usize,
    /// How much is left of the part that was begun.
    left: usize,
    /// What goes ahead, with its heads.
    ahead: VecDeque<Vec<u8>>,
    ahead_taken: usize,
}

impl Outbound {
    /// Puts a message behind the others.
    ///
    /// # Panics
    /// If the message has 1 GiB or more: such are refused before.
    pub fn queue(&mut self, message: &[u8]) {
        self.bytes.reserve(HEAD + message.len());
        let mut parts = message.chunks(PART_BYTES_MAX).peekable();
        let mut part = parts.next().unwrap_or_default();
        while parts.peek().is_some() {
            self.bytes.extend_from_slice(&head(part, MORE));
            self.bytes.extend_from_slice(part);
            part = parts.next().unwrap_or_default();
        }
        self.bytes.extend_from_slice(&head(part, 0));
        self.bytes.extend_from_slice(part);
    }

    /// Puts a message before all that are not ahead themselves, and between two parts of one that is on its way.
    ///
    /// # Panics
    /// If the message has 1 GiB or more: such are refused before.
    pub fn queue_ahead(&mut self, message: &[u8]) {
        let part = [&head(message, AHEAD), message].concat();
        self.ahead.push_back(part);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        let ahead: usize = self.ahead.iter().map(Vec::len).sum();
        self.bytes.len() - self.taken + ahead - self.ahead_taken
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is to leave next; not always all that waits.
    pub fn waiting(&self) -> &[u8] {
        let rest = &self.bytes[self.taken..];
        match self.ahead.front() {
            Some(ahead) if self.left == 0 => &ahead[self.ahead_taken..],
            Some(_) => &rest[..self.left],
            None => rest,
        }
    }

    /// So many of the bytes that waited have gone.
    pub fn took(&mut self, len: usize) {
        if self.left == 0
            && let Some(ahead) = self.ahead.front()
        {
            self.ahead_taken += len;
            if self.ahead_taken == ahead.len() {
                self.ahead_taken = 0;
                self.ahead.pop_front();
            }
            return;
        }
        let mut gone = len;
        while gone > self.left {
            gone -= self.left;
            let head = &self.bytes[self.taken + len - gone..];
            let head = head.first_chunk().expect("a part begins with its head");
            self.left = HEAD + (u32::from_le_bytes(*head) & !MORE) as usize;
        }
        self.left -= gone;
        self.taken += len;
        tidy(&mut self.bytes, &mut self.taken);
    }
}

/// The head of a part.
fn head(part: &[u8], kind: u32) -> [u8; HEAD] {
    let len = u32::try_from(part.len()).expect("longer messages are refused before");
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

/// What is cut no more: a record of TLS holds it, and on a line of 1 Mbit/s it takes an eighth of a second.
const PART_BYTES_MAX: usize = 16 << 10;

/// What a connection at rest may keep: enough for its usual messages.
const KEPT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_limit_is_told_before_its_bytes_come() {
        let mut inbound = Inbound::default();
        inbound.handle_bytes(&5u32.to_le_bytes());
        assert_eq!(inbound.poll_message(4), Err(TooLong(5)));
        assert_eq!(inbound.poll_message(5), Ok(None));
        assert!(inbound.is_amid_message());
        inbound.handle_bytes(b"hello");
        assert_eq!(inbound.poll_message(5), Ok(Some(b"hello".to_vec())));
        assert!(!inbound.is_amid_message());
    }

    #[test]
    fn parts_together_are_no_longer_than_a_message_may_be() {
        let mut inbound = Inbound::default();
        inbound.handle_bytes(&(3 | MORE).to_le_bytes());
        inbound.handle_bytes(b"abc");
        assert_eq!(inbound.poll_message(5), Ok(None));
        inbound.handle_bytes(&(3 | MORE).to_le_bytes());
        assert_eq!(inbound.poll_message(5), Err(TooLong(6)));
        let mut inbound = Inbound::default();
        inbound.handle_bytes(&(1 | MORE | AHEAD).to_le_bytes());
        assert!(inbound.poll_message(5).is_err());
    }

    #[test]
    fn what_goes_ahead_waits_for_one_part_at_most() {
        let mut outbound = Outbound::default();
        outbound.queue(&[1; 10 * PART_BYTES_MAX]);
        outbound.took(100);
        outbound.queue_ahead(b"now");
        let (mut inbound, mut sent) = (Inbound::default(), 0);
        inbound.handle_bytes(&outbound.bytes[..100]);
        while inbound.poll_message(1 << 20).unwrap() != Some(b"now".to_vec()) {
            sent += outbound.waiting().len();
            inbound.handle_bytes(outbound.waiting());
            outbound.took(outbound.waiting().len());
        }
        assert!(sent <= PART_BYTES_MAX + 2 * HEAD, "{sent}");
    }

    proptest! {
        /// Whatever goes ahead, and wherever the bytes are cut, each message comes whole, and in order among its like.
        #[test]
        fn messages_come_back_however_they_are_cut(
            messages in proptest::collection::vec((any::<bool>(), 0usize..40_000), 0..8),
            cut in 1usize..20_000,
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
                        false => outbound.queue(&message),
                    }
                } else if outbound.is_empty() {
                    break;
                }
                let part = outbound.waiting().len().min(cut);
                inbound.handle_bytes(&outbound.waiting()[..part]);
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
