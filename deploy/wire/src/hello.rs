//! How two nodes prove to each other, on a new connection, that both know the key of the job it is for.
//!
//! Deliberately absent: the processes' own handshake, which follows on the same connection (`handshake.rs`); sockets,
//! deadlines and limits on how many may be half way: those belong to the loop. A message has a fixed length, and at most
//! [`HELLO_BYTES_MAX`] bytes are taken from a stranger.
//!
//! # The story
//! 1. Whoever dials says the version, the job, which process wants which, and a nonce, with a proof of all that.
//! 2. Whoever accepts reads nothing but the version and the job, to find the key; with the proof right, it answers with
//!    its version, a nonce of its own and a proof of both messages.
//! 3. The dialer proves that it has seen that nonce. So what was recorded on another connection proves nothing.
//! 4. Then the connection belongs to the two processes: neither node has read a byte beyond its messages.

use crate::{
    pid::{Job, Pid},
    secret::{PROOF_BYTES, Secret},
};
use thiserror::Error;

/// Which process wants to be connected to which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The process at the node that dials.
    pub from: Pid,
    /// The process at the node that accepts, in the same job.
    pub to: Pid,
}

impl Route {
    /// Of a line: the connection is no process's, and nothing is ever said on it. It is between the two nodes themselves, for as
    /// long as each reaches the other.
    pub fn line(job: Job) -> Route {
        let nobody = Pid::new(job, 0);
        Route {
            from: nobody,
            to: nobody,
        }
    }

    /// Whether it is a line: no process is connected to itself.
    pub fn is_line(&self) -> bool {
        self.from == self.to
    }
}

/// Why a connection is not what it should be: it is closed without a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// The other node speaks another version.
    #[error(
        "failed to greet a node that speaks version {theirs} of the hello, and this one {VERSION}: bring both to the same version"
    )]
    Version {
        /// Its major version.
        theirs: u16,
    },
    /// No such job here.
    #[error("failed to connect a job that is not known here: it may have ended")]
    UnknownJob,
    /// It does not know the job's key, or was changed on its way.
    #[error("failed to prove that the other node knows the key of the job")]
    Unproved,
}

/// The hello at the node that dials.
#[derive(Debug)]
pub struct Dial {
    key: Secret,
    first: Vec<u8>,
    received: Vec<u8>,
    outgoing: Option<Vec<u8>>,
    is_proved: bool,
}

/// The hello at the node that accepts.
#[derive(Debug)]
pub struct Accept {
    nonce: [u8; NONCE_BYTES],
    received: Vec<u8>,
    /// The key, both messages so far, and the route, once the first proof was right.
    heard: Option<(Secret, Vec<u8>, Route)>,
    outgoing: Option<Vec<u8>>,
    is_proved: bool,
}

impl Dial {
    /// For this route; the nonce must never have been used before.
    pub fn new(key: &Secret, route: Route, nonce: [u8; NONCE_BYTES]) -> Dial {
        let job = route.from.job();
        assert_eq!(job, route.to.job(), "no connection leads out of a job");
        let key = key.draw(LABEL, &[]);
        let mut first = Vec::with_capacity(FIRST_BYTES);
        first.extend_from_slice(&MAGIC);
        first.extend_from_slice(&VERSION.to_le_bytes());
        first.extend_from_slice(&0u16.to_le_bytes());
        first.extend_from_slice(&job.bits().to_le_bytes());
        first.extend_from_slice(&route.from.number().to_le_bytes());
        first.extend_from_slice(&route.to.number().to_le_bytes());
        first.extend_from_slice(&nonce);
        let proof = key.prove(&[b"dial", &first]);
        first.extend_from_slice(&proof);
        Dial {
            outgoing: Some(first.clone()),
            key,
            first,
            received: Vec::new(),
            is_proved: false,
        }
    }

    /// What to write next, whole.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.take()
    }

    /// How many bytes to read, and no more: what follows is the processes'.
    pub fn wanted(&self) -> usize {
        match self.is_proved {
            true => 0,
            false => SECOND_BYTES - self.received.len(),
        }
    }

    /// Bytes that were read, at most as many as [`Dial::wanted`].
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        assert!(bytes.len() <= self.wanted(), "no more is read than wanted");
        self.received.extend_from_slice(bytes);
        if self.is_proved || self.received.len() < SECOND_BYTES {
            return Ok(());
        }
        let (said, proof) = self.received.split_at(SECOND_BYTES - PROOF_BYTES);
        check_version(&said[..4])?;
        let words = [b"accept", &self.first[..], said].concat();
        if !self.key.is_proof(&words, proof) {
            return Err(Refused::Unproved);
        }
        let proof = self.key.prove(&[b"agreed", &self.first, said]);
        self.outgoing = Some(proof.to_vec());
        self.is_proved = true;
        Ok(())
    }

    /// Whether the other node is proved: once what is left to write is written, the connection is the processes'.
    pub fn is_proved(&self) -> bool {
        self.is_proved
    }
}

impl Accept {
    /// A connection that somebody made to us; the nonce must never have been used before.
    pub fn new(nonce: [u8; NONCE_BYTES]) -> Accept {
        Accept {
            nonce,
            received: Vec::new(),
            heard: None,
            outgoing: None,
            is_proved: false,
        }
    }

    /// What to write next, whole.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.take()
    }

    /// How many bytes to read, and no more: what follows is the processes'.
    pub fn wanted(&self) -> usize {
        match (self.is_proved, &self.heard) {
            (true, _) => 0,
            (false, Some(_)) => PROOF_BYTES - self.received.len(),
            (false, None) => FIRST_BYTES - self.received.len(),
        }
    }

    /// Bytes that were read, at most as many as [`Accept::wanted`]. `key_of` knows the jobs that run here.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        key_of: impl FnOnce(Job) -> Option<Secret>,
    ) -> Result<(), Refused> {
        assert!(bytes.len() <= self.wanted(), "no more is read than wanted");
        self.received.extend_from_slice(bytes);
        if self.is_proved || self.wanted() > 0 {
            return Ok(());
        }
        let received = std::mem::take(&mut self.received);
        match &self.heard {
            None => self.hear(received, key_of),
            Some((key, words, _)) => {
                let words = [b"agreed", &words[..]].concat();
                self.is_proved = key.is_proof(&words, &received);
                self.is_proved.then_some(()).ok_or(Refused::Unproved)
            }
        }
    }

    /// Who is to be connected, once the other node is proved.
    pub fn proved(&self) -> Option<Route> {
        let (_, _, route) = self.heard.as_ref().filter(|_| self.is_proved)?;
        Some(*route)
    }

    fn hear(
        &mut self,
        first: Vec<u8>,
        key_of: impl FnOnce(Job) -> Option<Secret>,
    ) -> Result<(), Refused> {
        if first[..4] != MAGIC {
            return Err(Refused::Unproved);
        }
        check_version(&first[4..8])?;
        let job = Job::from_bits(u128::from_le_bytes(array(&first[8..24])));
        let key = key_of(job).ok_or(Refused::UnknownJob)?.draw(LABEL, &[]);
        let (said, proof) = first.split_at(FIRST_BYTES - PROOF_BYTES);
        if !key.is_proof(&[b"dial", said].concat(), proof) {
            return Err(Refused::Unproved);
        }
        let number = |at: usize| u32::from_le_bytes(array(&first[at..at + 4]));
        let pid = |number: u32| {
            let fits = number < Pid::COUNT_MAX;
            fits.then(|| Pid::new(job, number)).ok_or(Refused::Unproved)
        };
        let route = Route {
            from: pid(number(24))?,
            to: pid(number(28))?,
        };
        let mut second = Vec::with_capacity(SECOND_BYTES);
        second.extend_from_slice(&VERSION.to_le_bytes());
        second.extend_from_slice(&0u16.to_le_bytes());
        second.extend_from_slice(&self.nonce);
        let proof = key.prove(&[b"accept", &first, &second]);
        let words = [&first[..], &second].concat();
        second.extend_from_slice(&proof);
        self.outgoing = Some(second);
        self.heard = Some((key, words, route));
        Ok(())
    }
}

/// The job that a dialer's first message is said to be for, before anything of it is proved; of no use but to find who
/// has the key.
pub fn job_of(first: &[u8]) -> Option<Job> {
    let bits = first.get(8..24)?;
    Some(Job::from_bits(u128::from_le_bytes(array(bits))))
}

fn check_version(version: &[u8]) -> Result<(), Refused> {
    let theirs = u16::from_le_bytes(array(&version[..2]));
    match theirs == VERSION {
        true => Ok(()),
        false => Err(Refused::Version { theirs }),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a slice of just that length")
}

/// The length of a nonce.
pub const NONCE_BYTES: usize = 32;

/// All that is ever taken from a node that has not proved itself.
pub const HELLO_BYTES_MAX: usize = FIRST_BYTES + PROOF_BYTES;

const MAGIC: [u8; 4] = *b"DPLY";

/// Two nodes must have the same; the two bytes behind it are free for what both can do without.
const VERSION: u16 = 1;

const LABEL: &str = "deploy node hello 1";

/// Every hello begins with it, and no TLS session does.
pub const FIRST_BYTE: u8 = MAGIC[0];

/// Magic, version, job, two processes, nonce, proof: what a dialer says first.
pub const FIRST_BYTES: usize = 4 + 4 + 16 + 4 + 4 + NONCE_BYTES + PROOF_BYTES;

/// Version, nonce, proof.
const SECOND_BYTES: usize = 4 + NONCE_BYTES + PROOF_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Secret = Secret::from_bytes([1; 32]);
    const JOB: Job = Job::from_bits(5);

    fn route() -> Route {
        Route {
            from: Pid::new(JOB, 3),
            to: Pid::new(JOB, 9),
        }
    }

    fn dial() -> Dial {
        Dial::new(&KEY, route(), [2; 32])
    }

    fn key_of(job: Job) -> Option<Secret> {
        (job == JOB).then_some(KEY)
    }

    fn accept(accept: &mut Accept, bytes: &[u8]) -> Result<(), Refused> {
        accept.handle_bytes(bytes, key_of)
    }

    #[test]
    fn two_that_know_the_key_agree_however_the_bytes_are_cut() {
        for chunk in 1..=FIRST_BYTES {
            let (mut one, mut other) = (dial(), Accept::new([4; 32]));
            let first = one.poll_transmit().unwrap();
            for bytes in first.chunks(chunk) {
                accept(&mut other, bytes).unwrap();
            }
            assert_eq!(other.proved(), None);
            for bytes in other.poll_transmit().unwrap().chunks(chunk) {
                one.handle_bytes(bytes).unwrap();
            }
            assert!(one.is_proved() && one.wanted() == 0);
            for bytes in one.poll_transmit().unwrap().chunks(chunk) {
                accept(&mut other, bytes).unwrap();
            }
            assert_eq!((other.proved(), other.wanted()), (Some(route()), 0));
            assert_eq!((one.poll_transmit(), other.poll_transmit()), (None, None));
        }
    }

    #[test]
    fn another_key_another_job_and_another_version_are_refused() {
        let first = dial().poll_transmit().unwrap();
        let other_key = |_| Some(Secret::from_bytes([9; 32]));
        let refused = Accept::new([4; 32]).handle_bytes(&first, other_key);
        assert_eq!(refused, Err(Refused::Unproved));
        let refused = Accept::new([4; 32]).handle_bytes(&first, |_| None);
        assert_eq!(refused, Err(Refused::UnknownJob));
        let mut newer = first.clone();
        newer[4] = 2;
        let refused = accept(&mut Accept::new([4; 32]), &newer);
        assert_eq!(refused, Err(Refused::Version { theirs: 2 }));
    }

    #[test]
    fn a_recorded_hello_proves_nothing_to_another() {
        let (mut one, mut other) = (dial(), Accept::new([4; 32]));
        let first = one.poll_transmit().unwrap();
        accept(&mut other, &first).unwrap();
        one.handle_bytes(&other.poll_transmit().unwrap()).unwrap();
        let third = one.poll_transmit().unwrap();
        accept(&mut other, &third).unwrap();

        let mut later = Accept::new([5; 32]);
        accept(&mut later, &first).unwrap();
        assert_eq!(accept(&mut later, &third), Err(Refused::Unproved));
        assert_eq!(later.proved(), None);
    }

    #[test]
    fn what_comes_back_as_it_was_sent_is_refused() {
        let mut one = dial();
        let first = one.poll_transmit().unwrap();
        assert!(one.handle_bytes(&first[..SECOND_BYTES]).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_bit_anywhere_is_refused(at in 0..(FIRST_BYTES + SECOND_BYTES + PROOF_BYTES) * 8) {
            let (mut one, mut other) = (dial(), Accept::new([4; 32]));
            let mut left = at;
            let mut flip = |mut bytes: Vec<u8>| {
                if left < bytes.len() * 8 {
                    bytes[left / 8] ^= 1 << (left % 8);
                }
                left = left.wrapping_sub(bytes.len() * 8);
                bytes
            };
            let first = flip(one.poll_transmit().unwrap());
            let result = accept(&mut other, &first).and_then(|()| {
                let second = flip(other.poll_transmit().unwrap());
                one.handle_bytes(&second)
            }).and_then(|()| {
                let third = flip(one.poll_transmit().unwrap());
                accept(&mut other, &third)
            });
            prop_assert!(result.is_err());
            prop_assert_eq!(other.proved(), None);
        }

        #[test]
        fn any_bytes_are_refused_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), FIRST_BYTES)) {
            prop_assert!(accept(&mut Accept::new([4; 32]), &bytes).is_err());
            prop_assert!(dial().handle_bytes(&bytes[..SECOND_BYTES]).is_err());
        }
    }
}
