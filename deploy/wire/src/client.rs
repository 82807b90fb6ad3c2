//! What a person's client and the bridge say to each other.
//!
//! The client speaks first, with `Hello`, and is answered in kind or refused. What it asks after that is answered in
//! the order of asking, but that a program's answers come when the disk has done its part. Once it runs a job or is
//! attached to one, the job's events come unasked until `Finished`; output is sent only as far as the client has granted
//! credit for, so a slow terminal slows its own job and nobody else.
//!
//! A job's events are numbered from 0 on. A client that has lost its connection attaches from where it was, on another; one
//! client at a time has a job, and the latest is the one.

mod answer;
mod ask;
mod view;

pub use self::{
    answer::Answer,
    ask::{Ask, Position, RunRequest},
    view::{JobView, LifeView, NodeView},
};
use crate::bytes::{Malformed, Reader, Writer};
use std::time::Duration;

/// The BLAKE3 digest of a program's file: its name on the cluster.
pub type Digest = [u8; 32];

/// The version of this protocol: a newer minor only adds fields at the end, and messages that nobody is told who does not ask
/// for them.
pub const VERSION: (u16, u16) = (1, 0);

/// The most that one `Chunk` carries: large enough for full speed, small enough to stay behind nothing for long.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Chunks that wait to be taken in: 2 MiB, enough for 20 MB/s at a distance of 100 ms, and on their way within the time
/// that an answer may take on a line of 1 Mbit/s.
pub const CHUNKS_UNDER_WAY_MAX: usize = 8;

/// A program larger than that is no change of another, nor another of it, since both lie in the client's memory for it.
pub const CHANGE_BYTES_MAX: u64 = 512 << 20;

/// What a client grants at first, before it has written anything: some tens of milliseconds at full speed.
pub const CREDIT_BYTES_FIRST: u64 = 4 << 20;

/// How much standard input may be on its way, sent and not taken: what is lost with a connection is sent again from the
/// client's memory.
pub const INPUT_BYTES_MAX: u64 = 1 << 20;

/// How long a job that is not detached goes on when its client is gone: time to wake a laptop, to change networks, and to
/// type `cargo deploy attach`; and little enough that nobody's forgotten job keeps others waiting.
pub const GRACE: Duration = Duration::from_secs(60);

/// How often a client that has a job says something.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// A client that has said nothing for so long, and has not said that it would, is gone: three beats, one of which is late.
pub const GONE_AFTER: Duration = Duration::from_secs(15);

pub(crate) fn write_version(w: &mut Writer, (major, minor): (u16, u16)) {
    w.u32(u32::from(major)).u32(u32::from(minor));
}

pub(crate) fn read_version(r: &mut Reader<'_>) -> Result<(u16, u16), Malformed> {
    let mut part = || u16::try_from(r.u32()?).map_err(|_| Malformed("a version has 16 bits"));
    Ok((part()?, part()?))
}

pub(crate) fn read_digest(r: &mut Reader<'_>) -> Result<Digest, Malformed> {
    r.bytes()?
        .try_into()
        .map_err(|_| Malformed("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::client::{answers, asks};
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_whole_and_never_cut() {
        for ask in asks() {
            let bytes = ask.encode();
            assert!((0..bytes.len()).all(|cut| Ask::decode(&bytes[..cut]).is_err()));
            assert_eq!(Ask::decode(&bytes), Ok(ask));
        }
        for answer in answers() {
            let bytes = answer.encode();
            assert!((0..bytes.len()).all(|cut| Answer::decode(&bytes[..cut]).is_err()));
            assert_eq!(Answer::decode(&bytes), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ask::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }
    }
}
