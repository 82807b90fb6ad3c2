//! Who a process is: the job it belongs to and its number in that job.
//!
//! A `Pid` says nothing of where the process runs, so it stays equal to itself wherever it is sent.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One run of a program: 128 random bits, drawn once by whoever starts the first process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Job(u128);

impl Job {
    /// The job with these random bits.
    pub const fn from_bits(bits: u128) -> Job {
        Job(bits)
    }

    /// The bits given to [`Job::from_bits`].
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({self})")
    }
}

/// The identity of a process, the same on every machine and never given to another.
///
/// It prints as seven hexadecimal digits, unique within the job.
///
/// ```
/// # use deploy_wire::pid::{Job, Pid};
/// let pid = Pid::new(Job::from_bits(7), 0);
/// assert_eq!(pid.to_string().len(), 7);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid {
    job: Job,
    number: u32,
}

impl Pid {
    /// How many processes one job may have over its life: what seven hexadecimal digits can tell apart.
    pub const COUNT_MAX: u32 = 1 << DIGITS_BITS;

    /// The process with this number, counted from 0, the initial process.
    ///
    /// # Panics
    /// If `number` is not below [`Pid::COUNT_MAX`].
    pub const fn new(job: Job, number: u32) -> Pid {
        assert!(
            number < Pid::COUNT_MAX,
            "a job has at most 268,435,456 processes over its life"
        );
        Pid { job, number }
    }

    /// The job it belongs to.
    pub const fn job(self) -> Job {
        self.job
    }

    /// Its number in the job, never given twice.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// The number as people see it: shuffled by a key drawn from the job, so that neighbours look unlike.
    const fn digits(self) -> u32 {
        let mut left = self.number >> HALF_BITS;
        let mut right = self.number & HALF_MASK;
        let mut round = 0;
        while round < ROUNDS {
            let key = (self.job.0 >> (32 * round)) as u32;
            let mixed = left ^ (mix(right ^ key) & HALF_MASK);
            left = right;
            right = mixed;
            round += 1;
        }
        (left << HALF_BITS) | right
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:07x}", self.digits()))
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({self})")
    }
}

/// Spreads the bits of a half over all of them (the finaliser of MurmurHash3).
const fn mix(mut bits: u32) -> u32 {
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x85eb_ca6b);
    bits ^= bits >> 13;
    bits = bits.wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}

/// Seven hexadecimal digits.
const DIGITS_BITS: u32 = 28;
const HALF_BITS: u32 = DIGITS_BITS / 2;
const HALF_MASK: u32 = (1 << HALF_BITS) - 1;
/// A Feistel network of four rounds permutes whatever its round function is; each takes 32 bits of the job.
const ROUNDS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn digits_are_unique_within_a_job() {
        let job = Job::from_bits(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        let seen: HashSet<String> = (0..100_000).map(|n| Pid::new(job, n).to_string()).collect();
        assert_eq!(seen.len(), 100_000);
        assert!(seen.iter().all(|text| text.len() == 7));
    }

    #[test]
    fn the_last_number_still_prints_seven_digits() {
        let pid = Pid::new(Job::from_bits(u128::MAX), Pid::COUNT_MAX - 1);
        assert_eq!(pid.to_string().len(), 7);
    }

    #[test]
    fn another_job_shuffles_otherwise() {
        let digits = |bits| Pid::new(Job::from_bits(bits), 1).to_string();
        assert_ne!(digits(1), digits(2));
    }

    #[test]
    fn serde_carries_the_identity() {
        let pid = Pid::new(Job::from_bits(9), 3);
        let text = serde_json::to_string(&pid).unwrap();
        assert_eq!(serde_json::from_str::<Pid>(&text).unwrap(), pid);
    }
}
