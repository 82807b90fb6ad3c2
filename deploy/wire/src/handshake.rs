//! How two processes make a connection their own, on the way through which others might read or write it.
//!
//! Deliberately absent: pids, which are in the secret (`secret.rs`: it is drawn for these two); sockets, clocks. A process
//! that is stopped takes as long as it likes, so there is no deadline: the one there is belongs to the nodes' hello.
//!
//! # The story
//! In the terms of the Noise framework it is `NNpsk0` with a confirmation by either side: X25519, HKDF and HMAC-SHA256.
//! 1. The initiator sends whether it has AES in hardware, and a key made for this connection alone, with a proof by the
//!    secret that both were given.
//! 2. The responder, once that proof is right, answers with the cipher to use and a key of its own, and both agree on a
//!    secret that takes the first secret, both keys and both messages to know. The answer bears a proof by that one.
//! 3. The initiator checks it, and proves the same. It may send records right behind.
//! 4. The responder checks that. Nothing else was read from the connection before, and nothing else sent.
//!
//! Keys of either direction are drawn from what was agreed on; neither they nor what both were given tell anything of
//! what another connection carries.

use crate::{
    bytes::Malformed,
    record::{Cipher, Opener, Sealer},
    secret::{PROOF_BYTES, Role, Seal, Secret},
};
use ring::{
    agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519},
    rand::SystemRandom,
};

/// One end of a connection that is not yet its processes' own.
#[derive(Debug)]
pub struct Handshake {
    seal: Seal,
    has_aes: bool,
    stage: Stage,
    received: Vec<u8>,
    outgoing: Option<Vec<u8>>,
}

/// What two processes send each other, once the handshake is done.
#[derive(Debug)]
pub enum Halves {
    /// Bytes as they are: both ends are proved, and that is all that was asked.
    Plain,
    /// Records.
    Sealed(Box<Sealer>, Box<Opener>),
}

#[derive(Debug)]
enum Stage {
    /// The responder waits for the first message.
    Offered,
    /// The initiator has sent it and waits for the second.
    Answered {
        own: EphemeralPrivateKey,
        first: Vec<u8>,
    },
    /// The responder has sent the second and waits for the third.
    Confirmed(Agreed),
    Done(Agreed),
}

/// What both know at the end: the secret they agreed on, and both messages before the proofs.
#[derive(Debug)]
struct Agreed {
    secret: Secret,
    words: Vec<u8>,
    cipher: Cipher,
}

impl Handshake {
    /// The beginning, at either end.
    pub fn new(seal: Seal) -> Handshake {
        Handshake::with_aes(seal, Cipher::aes_is_fast())
    }

    /// The same for a machine that has AES in hardware, or has not.
    fn with_aes(seal: Seal, has_aes: bool) -> Handshake {
        let mut handshake = Handshake {
            seal,
            has_aes,
            stage: Stage::Offered,
            received: Vec::new(),
            outgoing: None,
        };
        if handshake.seal.role == Role::Initiator {
            let (own, public) = key_pair();
            let mut first = vec![u8::from(has_aes)];
            first.extend_from_slice(&public);
            let proof = handshake.seal.secret.draw(FIRST, &[]).prove(&[&first]);
            first.extend_from_slice(&proof);
            handshake.outgoing = Some(first.clone());
            handshake.stage = Stage::Answered { own, first };
        }
        handshake
    }

    /// What to write next, whole.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.take()
    }

    /// How many bytes to read, and no more; none once it is done.
    pub fn wanted(&self) -> usize {
        let whole = match &self.stage {
            Stage::Offered | Stage::Answered { .. } => MESSAGE_BYTES,
            Stage::Confirmed(_) => PROOF_BYTES,
            Stage::Done(_) => 0,
        };
        whole - self.received.len()
    }

    /// Bytes that were read, at most as many as [`Handshake::wanted`]. After an error the connection is to be closed.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        assert!(bytes.len() <= self.wanted(), "no more is read than wanted");
        self.received.extend_from_slice(bytes);
        if self.wanted() > 0 {
            return Ok(());
        }
        let received = std::mem::take(&mut self.received);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Offered) {
            Stage::Offered => self.answer(received)?,
            Stage::Answered { own, first } => self.confirm(own, first, received)?,
            Stage::Confirmed(agreed) => {
                agreed.check(INITIATOR, &received)?;
                Stage::Done(agreed)
            }
            Stage::Done(agreed) => Stage::Done(agreed),
        };
        Ok(())
    }

    /// What follows on the connection, once it is done.
    ///
    /// # Panics
    /// If it is not: more is [wanted](Handshake::wanted).
    pub fn finish(self) -> Halves {
        let Stage::Done(agreed) = self.stage else {
            panic!("a handshake that wants more is not done");
        };
        if !self.seal.encrypted {
            return Halves::Plain;
        }
        let key = |label| agreed.secret.draw(label, &[&agreed.words]);
        let (ours, theirs) = match self.seal.role {
            Role::Initiator => (INITIATOR_KEY, RESPONDER_KEY),
            Role::Responder => (RESPONDER_KEY, INITIATOR_KEY),
        };
        Halves::Sealed(
            Box::new(Sealer::new(agreed.cipher, &key(ours))),
            Box::new(Opener::new(agreed.cipher, &key(theirs))),
        )
    }

    /// The responder has the first message.
    fn answer(&mut self, first: Vec<u8>) -> Result<Stage, Malformed> {
        let (said, proof) = first.split_at(MESSAGE_BYTES - PROOF_BYTES);
        if !self.seal.secret.draw(FIRST, &[]).is_proof(said, proof) {
            return Err(NOT_PROVED);
        }
        let cipher = match (said[0], self.has_aes) {
            (1, true) => Cipher::Aes,
            _ => Cipher::ChaCha,
        };
        let (own, public) = key_pair();
        let mut second = vec![cipher.code()];
        second.extend_from_slice(&public);
        let agreed = self.agree(own, &said[1..], [&first[..], &second].concat(), cipher)?;
        second.extend_from_slice(&agreed.prove(RESPONDER));
        self.outgoing = Some(second);
        Ok(Stage::Confirmed(agreed))
    }

    /// The initiator has the second message.
    fn confirm(
        &mut self,
        own: EphemeralPrivateKey,
        first: Vec<u8>,
        second: Vec<u8>,
    ) -> Result<Stage, Malformed> {
        let (said, proof) = second.split_at(MESSAGE_BYTES - PROOF_BYTES);
        let cipher = Cipher::from_code(said[0]).ok_or(NOT_PROVED)?;
        let agreed = self.agree(own, &said[1..], [&first[..], said].concat(), cipher)?;
        agreed.check(RESPONDER, proof)?;
        self.outgoing = Some(agreed.prove(INITIATOR).to_vec());
        Ok(Stage::Done(agreed))
    }

    fn agree(
        &self,
        own: EphemeralPrivateKey,
        theirs: &[u8],
        words: Vec<u8>,
        cipher: Cipher,
    ) -> Result<Agreed, Malformed> {
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        let chain = self.seal.secret.draw(CHAIN, &[]);
        // It fails for keys with which anybody would agree.
        agreement::agree_ephemeral(own, &theirs, |shared| chain.mix(shared))
            .map(|secret| Agreed {
                secret,
                words,
                cipher,
            })
            .map_err(|_| NOT_PROVED)
    }
}

impl Agreed {
    fn prove(&self, label: &str) -> [u8; PROOF_BYTES] {
        self.secret.draw(label, &[]).prove(&[&self.words])
    }

    fn check(&self, label: &str, proof: &[u8]) -> Result<(), Malformed> {
        let is_proof = self.secret.draw(label, &[]).is_proof(&self.words, proof);
        is_proof.then_some(()).ok_or(NOT_PROVED)
    }
}

/// A key for one connection, and what the peer is told of it.
fn key_pair() -> (EphemeralPrivateKey, Vec<u8>) {
    let key = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())
        .expect("the kernel has random bits for every process that runs");
    let public = key.compute_public_key().expect("a key has a public half");
    (key, public.as_ref().to_vec())
}

const NOT_PROVED: Malformed =
    Malformed("the other end of the connection does not prove that it is this process");

/// Whether there is AES or which cipher; a key; a proof.
const MESSAGE_BYTES: usize = 1 + 32 + PROOF_BYTES;

const FIRST: &str = "deploy handshake first 1";
const CHAIN: &str = "deploy handshake chain 1";
const RESPONDER: &str = "deploy handshake responder 1";
const INITIATOR: &str = "deploy handshake initiator 1";
const RESPONDER_KEY: &str = "deploy records of the responder 1";
const INITIATOR_KEY: &str = "deploy records of the initiator 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::{Job, Pid};
    use proptest::prelude::*;

    fn seals(key: u8, encrypted: bool) -> (Seal, Seal) {
        let pid = |number| Pid::new(Job::from_bits(1), number);
        Secret::from_bytes([key; 32]).seals(pid(0), pid(1), encrypted)
    }

    fn pair() -> (Handshake, Handshake) {
        let (one, other) = seals(1, true);
        (Handshake::new(one), Handshake::new(other))
    }

    /// All that waits at one end, cut, to the other.
    fn carry(
        from: &mut Handshake,
        to: &mut Handshake,
        chunk: usize,
        change: &mut impl FnMut(&mut Vec<u8>),
    ) -> Result<(), Malformed> {
        let Some(mut bytes) = from.poll_transmit() else {
            return Ok(());
        };
        change(&mut bytes);
        bytes
            .chunks(chunk)
            .try_for_each(|bytes| to.handle_bytes(bytes))
    }

    fn run(
        one: &mut Handshake,
        other: &mut Handshake,
        chunk: usize,
        mut change: impl FnMut(&mut Vec<u8>),
    ) -> Result<(), Malformed> {
        carry(one, other, chunk, &mut change)?;
        carry(other, one, chunk, &mut change)?;
        carry(one, other, chunk, &mut change)
    }

    fn ciphers(one_has_aes: bool, other_has_aes: bool) -> Cipher {
        let (one, other) = seals(1, true);
        let mut one = Handshake::with_aes(one, one_has_aes);
        let mut other = Handshake::with_aes(other, other_has_aes);
        run(&mut one, &mut other, 7, |_| ()).unwrap();
        let (Stage::Done(one), Stage::Done(other)) = (one.stage, other.stage) else {
            panic!("both are done");
        };
        assert_eq!(one.cipher, other.cipher);
        one.cipher
    }

    #[test]
    fn both_agree_however_the_bytes_are_cut_and_can_read_each_other() {
        for chunk in [1, 2, 31, 64, MESSAGE_BYTES] {
            let (mut one, mut other) = pair();
            run(&mut one, &mut other, chunk, |_| ()).unwrap();
            assert_eq!((one.wanted(), other.wanted()), (0, 0));
            let (
                Halves::Sealed(mut one_seals, mut one_opens),
                Halves::Sealed(mut seals, mut opens),
            ) = (one.finish(), other.finish())
            else {
                panic!("it was to be encrypted");
            };
            for (sealer, opener) in [(&mut one_seals, &mut opens), (&mut seals, &mut one_opens)] {
                sealer.queue_record(b"hello world");
                opener.handle_bytes(sealer.pending());
                assert_eq!(opener.take(usize::MAX), Ok(Some(&b"hello world"[..])));
            }
        }
    }

    #[test]
    fn aes_is_used_where_both_have_it() {
        assert_eq!(ciphers(true, true), Cipher::Aes);
        assert_eq!(ciphers(true, false), Cipher::ChaCha);
        assert_eq!(ciphers(false, true), Cipher::ChaCha);
    }

    #[test]
    fn without_encryption_both_are_proved_all_the_same() {
        let (one, other) = seals(1, false);
        let (mut one, mut other) = (Handshake::new(one), Handshake::new(other));
        run(&mut one, &mut other, 9, |_| ()).unwrap();
        assert!(matches!(
            (one.finish(), other.finish()),
            (Halves::Plain, Halves::Plain)
        ));
    }

    #[test]
    fn another_secret_another_way_of_sealing_and_another_role_are_refused() {
        let refused = |one: Seal, other: Seal| {
            let (mut one, mut other) = (Handshake::new(one), Handshake::new(other));
            run(&mut one, &mut other, 100, |_| ()).unwrap_err();
        };
        refused(seals(1, true).0, seals(2, true).1);
        refused(seals(1, true).0, seals(1, false).1);
        let seal = seals(1, true).0;
        refused(seal.clone(), seal); // Two initiators.
    }

    #[test]
    fn what_comes_back_as_it_was_sent_is_refused() {
        let (mut one, _) = pair();
        let first = one.poll_transmit().unwrap();
        assert_eq!(one.handle_bytes(&first), Err(NOT_PROVED));
    }

    #[test]
    fn a_recorded_handshake_proves_nothing_later() {
        let (mut one, mut other) = pair();
        let mut recorded = Vec::new();
        run(&mut one, &mut other, 100, |bytes| {
            recorded.push(bytes.clone())
        })
        .unwrap();
        let (_, mut later) = pair();
        later.handle_bytes(&recorded[0]).unwrap();
        assert_eq!(later.handle_bytes(&recorded[2]), Err(NOT_PROVED));
        let (mut later, _) = pair();
        assert_eq!(later.handle_bytes(&recorded[1]), Err(NOT_PROVED));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_bit_anywhere_is_refused(at in 0..(2 * MESSAGE_BYTES + PROOF_BYTES) * 8) {
            let (mut one, mut other) = pair();
            let mut left = at;
            let result = run(&mut one, &mut other, 100, |bytes| {
                if let Some(byte) = bytes.get_mut(left / 8) {
                    *byte ^= 1 << (left % 8);
                }
                left = left.wrapping_sub(bytes.len() * 8);
            });
            prop_assert_eq!(result, Err(NOT_PROVED));
        }

        #[test]
        fn any_bytes_are_refused_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), MESSAGE_BYTES)) {
            let (mut one, mut other) = pair();
            prop_assert!(one.handle_bytes(&bytes).is_err());
            prop_assert!(other.handle_bytes(&bytes).is_err());
        }
    }
}
