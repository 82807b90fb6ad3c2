//! What a process and its monitor say to each other after birth.
//!
//! A process asks with a [`Request`], the monitor answers or tells with a [`Notice`], each one packet on the socket
//! that the process was born with. Requests carry an id and their answers repeat it. Descriptors travel beside the
//! packet: at most one each, named in the variant's sentence.

mod notice;
mod request;

pub use crate::refusal::{NodeResources, Refusal};
pub use notice::Notice;
pub use request::{ARGUMENT_INLINE_BYTES_MAX, Argument, Function, Request, SpawnRequest};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Malformed;
    use crate::samples::process::{notices, requests};
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_whole_and_with_a_newer_tail() {
        for request in requests() {
            let mut bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Ok(request.clone()));
            bytes.extend_from_slice(b"a later field");
            assert_eq!(Request::decode(&bytes), Ok(request));
        }
        for notice in notices() {
            let mut bytes = notice.encode();
            assert_eq!(Notice::decode(&bytes), Ok(notice.clone()));
            bytes.extend_from_slice(b"a later field");
            assert_eq!(Notice::decode(&bytes), Ok(notice));
        }
    }

    #[test]
    fn messages_cut_anywhere_are_malformed() {
        for bytes in requests().iter().map(Request::encode) {
            assert!((0..bytes.len()).all(|cut| Request::decode(&bytes[..cut]).is_err()));
        }
        for bytes in notices().iter().map(Notice::encode) {
            assert!((0..bytes.len()).all(|cut| Notice::decode(&bytes[..cut]).is_err()));
        }
    }

    /// A monitor that passed it on made a certificate that it could not write, and the job ended with it.
    #[test]
    fn an_argument_longer_than_any_packet_should_be_is_refused() {
        let Request::Spawn(mut spawn) = requests().swap_remove(0) else {
            panic!("the first request is a spawn");
        };
        spawn.argument = Argument::Inline(vec![7; ARGUMENT_INLINE_BYTES_MAX]);
        let bytes = Request::Spawn(spawn).encode();
        assert!(Request::decode(&bytes).is_ok());
        let length = (ARGUMENT_INLINE_BYTES_MAX as u32).to_le_bytes();
        let at = bytes.windows(4).position(|four| four == length).unwrap();
        let mut longer = bytes[..at].to_vec();
        longer.extend((ARGUMENT_INLINE_BYTES_MAX as u32 + 1).to_le_bytes());
        longer.push(7);
        longer.extend_from_slice(&bytes[at + 4..]);
        let refused = Err(Malformed("an argument is too long to travel inside"));
        assert_eq!(Request::decode(&longer), refused);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&bytes);
            let _ = Notice::decode(&bytes);
        }
    }
}
