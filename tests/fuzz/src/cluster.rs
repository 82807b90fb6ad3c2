//! What the master, the nodes and the wardens of a cluster say to each other.

use crate::Target;
use deploy_wire::{
    birth::Work,
    control::{Argument, Function, Notice, Request},
    event::Stream,
    exit::{End, Shortage},
    job::{Begin, JobOrder, JobReport, OpenJob},
    node::{Held, NodeHello, Order, Report, VERSION},
    pid::{Job, Pid},
    resources::{Mem, Resources},
    secret::Secret,
};

pub(crate) const JOB_ORDER: Target = Target {
    name: "joborder",
    check: |input| {
        if let Ok(order) = JobOrder::decode(input) {
            assert_eq!(JobOrder::decode(&order.encode()), Ok(order));
        }
        message_bytes(input)
    },
    seeds: || job_orders().iter().map(JobOrder::encode).collect(),
    short: 100_000,
};

pub(crate) const JOB_REPORT: Target = Target {
    name: "jobreport",
    check: |input| {
        if let Ok(report) = JobReport::decode(input) {
            assert_eq!(JobReport::decode(&report.encode()), Ok(report));
        }
        message_bytes(input)
    },
    seeds: || job_reports().iter().map(JobReport::encode).collect(),
    short: 100_000,
};

pub(crate) const ORDER: Target = Target {
    name: "order",
    check: |input| {
        if let Ok(order) = Order::decode(input) {
            assert_eq!(Order::decode(&order.encode()), Ok(order));
        }
        message_bytes(input)
    },
    seeds: || orders().iter().map(Order::encode).collect(),
    short: 100_000,
};

pub(crate) const REPORT: Target = Target {
    name: "report",
    check: |input| {
        if let Ok(report) = Report::decode(input) {
            assert_eq!(Report::decode(&report.encode()), Ok(report));
        }
        message_bytes(input)
    },
    seeds: || reports().iter().map(Report::encode).collect(),
    short: 100_000,
};

/// Lists of pairs of words: two that are empty take eight bytes of a message, and four dozen in a vector that doubles;
/// and all that twice.
fn message_bytes(input: &[u8]) -> usize {
    48 * input.len() + 4096
}

const JOB: Job = Job::from_bits(1 << 101);

fn job_orders() -> Vec<JobOrder> {
    let open = OpenJob {
        job: JOB,
        key: [5; 32],
        node: "n2".into(),
        args: vec![b"hello".to_vec(), Vec::new()],
        env: vec![(b"NAME".to_vec(), b"value".to_vec())],
        stdout_is_terminal: true,
        stderr_is_terminal: false,
    };
    let work = Work {
        function: Function {
            offset: -4096,
            name: "hello::worker".into(),
        },
        argument: Argument::Inline(vec![1; 99]),
        name: "worker".into(),
    };
    let begin = Begin {
        number: 3,
        parent: Some(1),
        asked: Some(8),
        work: Some(work),
        resources: Resources::default(),
    };
    vec![
        JobOrder::Open(Box::new(open)),
        JobOrder::Begin(Box::new(begin)),
        JobOrder::Tell {
            number: 3,
            notice: Notice::KillSent { id: 4, known: true },
        },
        JobOrder::Connect {
            one: 3,
            other: 4,
            at: Some(([10, 0, 0, 2], 9999).into()),
        },
        JobOrder::Accept { hello: vec![1; 96] },
        JobOrder::Signal {
            number: 3,
            signal: 2,
        },
        JobOrder::Input {
            bytes: vec![7; 100],
        },
        JobOrder::Close,
        JobOrder::Unread {
            stream: Stream::Stdout,
        },
    ]
}

fn job_reports() -> Vec<JobReport> {
    let pid = Pid::new(JOB, 2);
    let why = String::from("no room");
    vec![
        JobReport::Failed { why: why.clone() },
        JobReport::Asked {
            from: 3,
            request: Request::Wait { id: 9, pid },
        },
        JobReport::NotBegun {
            number: 3,
            why: why.clone(),
        },
        JobReport::Died {
            number: 3,
            end: End::Signal(9),
            shortage: Some(Shortage {
                limit: 64 * Mem::MIB,
                peak: 63 * Mem::MIB,
            }),
        },
        JobReport::Output {
            number: 3,
            stream: Stream::Stdout,
            bytes: vec![0, 255],
        },
        JobReport::ConnectFailed {
            one: 3,
            other: 4,
            why,
        },
        JobReport::Closed,
        JobReport::InputTaken { bytes: 1 << 20 },
        JobReport::Vouched { number: 3, to: 4 },
    ]
}

fn orders() -> Vec<Order> {
    let welcome = Order::Welcome {
        version: VERSION,
        name: "n2".into(),
        held: vec![(JOB, 7)],
    };
    let chunk = Order::Chunk {
        len: 1 << 33,
        bytes: vec![1, 2, 3],
    };
    let of_job = |order| Order::Job {
        job: JOB,
        sequence: 5,
        order,
        image: Some([7; 32]),
        file: Some(vec![3; 30]),
        files: Some(Box::new([6; 32])),
    };
    let beat = Order::Beat {
        sequence: 8,
        heard: 7,
    };
    let taken = Order::Taken {
        job: JOB,
        reports: 6,
    };
    let source = Order::Source {
        len: 1 << 33,
        address: ([10, 0, 0, 2], 9999).into(),
        pass: Secret::from_bytes([6; 32]),
    };
    let forget = Order::Forget { job: JOB };
    let mut all = vec![welcome, chunk, source, beat, taken, forget];
    all.extend(job_orders().into_iter().map(of_job));
    all
}

fn reports() -> Vec<Report> {
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
    let of_job = |report| Report::Job {
        job: JOB,
        sequence: 4,
        report,
        file: Some(vec![1, 2]),
    };
    let mut all = vec![
        Report::Hello(Box::new(hello)),
        Report::Taken {
            job: JOB,
            orders: 9,
        },
        Report::Fetch {
            digest: [8; 32],
            offset: 1 << 20,
            tries: 1,
            failed: Some(([10, 0, 0, 3], 9999).into()),
        },
        Report::Holds {
            digest: [8; 32],
            is_here: true,
        },
    ];
    all.extend(job_reports().into_iter().map(of_job));
    all
}
