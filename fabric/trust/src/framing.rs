//! Messages in a stream of bytes: each behind its length, four bytes, little-endian.
//!
//! Nothing is reserved for a length that was only announced.

/// Bytes that arrived, and the messages in them.
#[derive(Default, Debug)]
pub struct Inbound {
    bytes: Vec<u8>,
    taken: usize,
    partial: Option<Partial>,
}

/// A message whose rest has yet to come. It is put together where it will stay.
#[derive(Debug)]
struct Partial {
    message: Vec<u8>,
    missing: usize,
}

/// A message longer than is allowed now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong(pub u32);

impl Inbound {
    /// More bytes have come.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) {
        if let Some(partial) = &mut self.partial {
            let (belonging, rest) = bytes.split_at(partial.missing.min(bytes.len()));
            partial.message.extend_from_slice(belonging);
            partial.missing -= belonging.len();
            bytes = rest;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is there as a whole.
    pub fn poll_message(&mut self, len_max: u32) -> Result<Option<Vec<u8>>, TooLong> {
        if let Some(partial) = self.partial.take_if(|partial| partial.missing == 0) {
            return Ok(Some(partial.message));
        }
        let rest = &self.bytes[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*head);
        if len > len_max {
            return Err(TooLong(len));
        }
        let here = rest.len().min(len as usize);
        let message = rest[..here].to_vec();
        self.taken += HEAD + here;
        tidy(&mut self.bytes, &mut self.taken);
        let missing = len as usize - here;
        if missing == 0 {
            return Ok(Some(message));
        }
        self.partial = Some(Partial { message, missing });
        Ok(None)
    }

    /// Whether a message has begun and not ended.
    pub fn is_amid_message(&self) -> bool {
        self.taken < self.bytes.len() || self.partial.is_some()
    }
}

/// Messages that wait to be sent, as the bytes that they become.
#[derive(Default, Debug)]
pub struct Outbound {
    bytes: Vec<u8>,
    taken: usize,
}

impl Outbound {
    /// Puts a message behind the others.
    ///
    /// # Panics
    /// If the message has 4 GiB or more: such are refused before.
    pub fn queue(&mut self, message: &[u8]) {
        let len = u32::try_from(message.len()).expect("longer messages are refused before");
        self.bytes.reserve(HEAD + message.len());
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(message);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that wait.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// So many of the bytes that waited have gone.
    pub fn took(&mut self, len: usize) {
        self.taken += len;
        tidy(&mut self.bytes, &mut self.taken);
    }
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

    proptest! {
        #[test]
        fn messages_come_back_however_they_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10),
            cut in 1usize..50,
        ) {
            let mut outbound = Outbound::default();
            messages.iter().for_each(|message| outbound.queue(message));
            let (mut inbound, mut came) = (Inbound::default(), Vec::new());
            while !outbound.is_empty() {
                let part = outbound.len().min(cut);
                inbound.handle_bytes(&outbound.waiting()[..part]);
                outbound.took(part);
                while let Some(message) = inbound.poll_message(40).unwrap() {
                    came.push(message);
                }
            }
            prop_assert_eq!(came, messages);
            prop_assert!(!inbound.is_amid_message());
        }
    }
}
