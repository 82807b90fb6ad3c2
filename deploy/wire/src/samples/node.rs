//! What a node and the master say to each other.

use super::{JOB, job};
use crate::{
    node::{Held, NodeHello, Order, Report, VERSION},
    resources::Resources,
    secret::Secret,
};

/// One of each kind that a node is ordered, and one for each order to a warden.
pub fn orders() -> Vec<Order> {
    let mut all = vec![
        Order::Welcome {
            version: VERSION,
            name: "n2".into(),
            held: vec![(JOB, 7)],
        },
        Order::Beat {
            sequence: 8,
            heard: 7,
        },
        Order::Chunk {
            len: 1 << 33,
            bytes: vec![1, 2, 3],
        },
        Order::Source {
            len: 1 << 33,
            address: ([10, 0, 0, 2], 9999).into(),
            pass: Secret::from_bytes([6; 32]),
        },
        Order::Refused { why: "old".into() },
        Order::Renewed {
            certified: vec![4, 5],
        },
        Order::Dismissed { why: "gone".into() },
        Order::Taken {
            job: JOB,
            reports: 6,
        },
        Order::Forget { job: JOB },
    ];
    all.extend(job::orders().into_iter().map(|order| Order::Job {
        job: JOB,
        sequence: 5,
        order,
        image: Some([7; 32]),
        file: Some(vec![3; 30]),
        files: Some(Box::new([6; 32])),
    }));
    all
}

/// One of each kind that a node reports, and one for each report of a warden.
pub fn reports() -> Vec<Report> {
    let hello = NodeHello {
        version: VERSION,
        address: ([10, 0, 0, 2], 9999).into(),
        capacity: Resources::default(),
        incarnation: 1 << 120,
        arch: "x86_64".into(),
        isolation: "own user".into(),
        labels: vec!["gpu".into(), "disk=ssd".into()],
        glibc: "2.36".into(),
        held: vec![Held {
            job: JOB,
            orders: 3,
            reports: 1 << 33,
        }],
        secret: Secret::from_bytes([5; 32]),
    };
    let mut all = vec![
        Report::Hello(Box::new(hello)),
        Report::Beat { sequence: 8 },
        Report::Fetch {
            digest: [8; 32],
            offset: 1 << 40,
            tries: 2,
            failed: Some(([10, 0, 0, 2], 9999).into()),
        },
        Report::Holds {
            digest: [8; 32],
            is_here: true,
        },
        Report::Leave,
        Report::Renew,
        Report::Taken {
            job: JOB,
            orders: 9,
        },
    ];
    all.extend(job::reports().into_iter().map(|report| Report::Job {
        job: JOB,
        sequence: 4,
        report,
        file: Some(vec![1, 2]),
    }));
    all
}
