//! What a warden and the master say to each other.

use super::{JOB, pid};
use crate::{
    birth::Work,
    control::{Argument, Function, Notice, Request},
    event::Stream,
    exit::{End, Shortage},
    job::{Begin, JobOrder, JobReport, OpenJob},
    relay::{Piece, Relay},
    resources::{Mem, Resources},
    secret::{Role, Seal, Secret},
};

/// One of each kind that a warden is ordered.
pub fn orders() -> Vec<JobOrder> {
    let relay = Relay {
        channel: 5,
        one: 3,
        other: 4,
        seal: Seal {
            secret: Secret::from_bytes([6; 32]),
            role: Role::Responder,
            encrypted: true,
        },
        window: 1 << 20,
    };
    let relayed = pieces().map(|piece| JobOrder::Relayed { channel: 5, piece });
    let open = OpenJob {
        job: JOB,
        key: [5; 32],
        node: "n2".into(),
        args: vec![b"hello".to_vec(), Vec::new()],
        env: vec![(b"NAME".to_vec(), b"value".to_vec())],
        stdout_is_terminal: true,
        stderr_is_terminal: true,
    };
    let work = Work {
        function: Function {
            offset: -4096,
            name: "hello::worker".into(),
        },
        argument: Argument::File { len: 1 << 20 },
        name: "worker".into(),
    };
    let begin = Begin {
        number: 3,
        parent: Some(1),
        asked: None,
        work: Some(work),
        resources: Resources::default(),
    };
    let initial = Begin {
        number: 0,
        parent: None,
        asked: Some(4),
        work: None,
        resources: Resources::default(),
    };
    let others = vec![
        JobOrder::Relay(Box::new(relay)),
        JobOrder::Parted,
        JobOrder::Open(Box::new(open)),
        JobOrder::Begin(Box::new(begin)),
        JobOrder::Begin(Box::new(initial)),
        JobOrder::Tell {
            number: 3,
            notice: Notice::KillSent { id: 4, known: true },
        },
        JobOrder::Connect {
            one: 3,
            other: 4,
            at: Some(([10, 0, 0, 2], 9999).into()),
        },
        JobOrder::Connect {
            one: 3,
            other: 4,
            at: None,
        },
        JobOrder::Accept { hello: vec![1; 96] },
        JobOrder::Kill { number: 3 },
        JobOrder::Signal {
            number: 3,
            signal: 2,
        },
        JobOrder::Input { bytes: Vec::new() },
        JobOrder::Credit { bytes: 1 << 20 },
        JobOrder::Close,
        JobOrder::Vouch { number: 3, to: 2 },
        JobOrder::Cut { number: 3, peer: 2 },
        JobOrder::Unread {
            stream: Stream::Stdout,
        },
    ];
    others.into_iter().chain(relayed).collect()
}

/// One of each kind that it reports.
pub fn reports() -> Vec<JobReport> {
    let relayed = pieces().map(|piece| JobReport::Relayed { channel: 5, piece });
    let others = vec![
        JobReport::Opened,
        JobReport::Failed { why: "no".into() },
        JobReport::Asked {
            from: 3,
            request: Request::Wait { id: 9, pid: pid(2) },
        },
        JobReport::Begun { number: 3 },
        JobReport::NotBegun {
            number: 3,
            why: "no room".into(),
        },
        JobReport::Died {
            number: 3,
            end: End::Signal(9),
            shortage: Some(Shortage {
                limit: 64 * Mem::MIB,
                peak: 63 * Mem::MIB,
            }),
        },
        JobReport::Left { number: 3 },
        JobReport::Output {
            number: 3,
            stream: Stream::Stdout,
            bytes: vec![0, 255],
        },
        JobReport::Packed {
            number: 3,
            stream: Stream::Stderr,
            packed: super::packed(),
        },
        JobReport::Noted {
            number: 3,
            text: "waits".into(),
        },
        JobReport::ConnectFailed {
            one: 3,
            other: 4,
            why: "refused".into(),
        },
        JobReport::Closed,
        JobReport::InputTaken { bytes: 1 << 20 },
        JobReport::Vouched { number: 3, to: 2 },
        JobReport::Cut { one: 3, other: 2 },
        JobReport::CutTold { number: 3, peer: 2 },
        JobReport::Signalled { signal: 2 },
    ];
    others.into_iter().chain(relayed).collect()
}

fn pieces() -> impl Iterator<Item = Piece> {
    let bytes = Piece::Bytes(vec![7; 3]);
    [
        bytes,
        Piece::Credit(9),
        Piece::End,
        Piece::Stop,
        Piece::Over,
        Piece::Broken,
    ]
    .into_iter()
}
