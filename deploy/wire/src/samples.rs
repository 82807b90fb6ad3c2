//! Messages of every kind, for whoever tests what reads them: this crate and the fuzzer.
//!
//! Deliberately absent: what no decoder of messages reads, such as frames and handshakes.

pub mod client;
pub mod job;
pub mod node;
pub mod process;

use crate::{
    packed::Packed,
    pid::{Job, Pid},
    wait::{Awaited, Wait, Waits},
};

const JOB: Job = Job::from_bits(1 << 101 | 0x1234_5678);

fn pid(number: u32) -> Pid {
    Pid::new(JOB, number)
}

/// What a frame of zstd might be.
fn packed() -> Packed {
    Packed::new(4096, vec![0x28, 0xb5, 0x2f, 0xfd]).expect("it is shorter")
}

/// What a process waits for, with everything that is known of it.
fn waits() -> Waits {
    Waits {
        list: vec![Wait {
            what: Awaited::Value,
            peer: pid(2),
            type_name: "u64".into(),
            place: Some("src/main.rs:12".into()),
            ms: 2000,
        }],
        is_all: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        birth::Birth,
        bytes::Malformed,
        client::{Answer, Ask},
        control::{Argument, Notice, Request},
        job::{JobOrder, JobReport},
        node::{Order, Report},
    };

    #[test]
    fn every_kind_is_among_them() {
        let asks = client::asks().iter().map(Ask::encode).collect();
        check("Ask", asks, |bytes| Ask::decode(bytes).err());
        let answers = client::answers().iter().map(Answer::encode).collect();
        check("Answer", answers, |bytes| Answer::decode(bytes).err());
        let orders = node::orders().iter().map(Order::encode).collect();
        check("Order", orders, |bytes| Order::decode(bytes).err());
        let reports = node::reports().iter().map(Report::encode).collect();
        check("Report", reports, |bytes| Report::decode(bytes).err());
        let orders = job::orders().iter().map(JobOrder::encode).collect();
        check("JobOrder", orders, |bytes| JobOrder::decode(bytes).err());
        let reports = job::reports().iter().map(JobReport::encode).collect();
        check("JobReport", reports, |bytes| JobReport::decode(bytes).err());
        let requests = process::requests().iter().map(Request::encode).collect();
        check("Request", requests, |bytes| Request::decode(bytes).err());
        let notices = process::notices().iter().map(Notice::encode).collect();
        check("Notice", notices, |bytes| Notice::decode(bytes).err());
    }

    /// A kind that is known has more to say than its first byte, or nothing more; it is never unknown.
    fn check(what: &str, samples: Vec<Vec<u8>>, error: impl Fn(&[u8]) -> Option<Malformed>) {
        let is_known = |kind: u8| error(&[kind]).is_none_or(|error| !error.0.contains("unknown"));
        let is_sampled = |kind: &u8| samples.iter().any(|sample| sample[0] == *kind);
        let missing: Vec<u8> = (0..=255)
            .filter(|kind| is_known(*kind) && !is_sampled(kind))
            .collect();
        assert!(
            missing.is_empty(),
            "{what} has no sample of the kinds {missing:?}"
        );
        assert!(!is_known(255), "{what} calls an unknown kind so");
    }

    #[test]
    fn certificates_come_back_whole() {
        for argument in [None, Some(Argument::File { len: 1 << 40 })] {
            let birth = process::birth(argument);
            assert_eq!(Birth::decode(&birth.encode()), Ok(birth));
        }
    }
}
