//! What a client and the bridge say to each other.

use super::{JOB, pid, waits};
use crate::{
    client::{Answer, Ask, JobView, LifeView, NodeView, Position, RunRequest, VERSION},
    event::{Event, Stream},
    exit::{End, ExitStatus, Reason},
    job::{JobOrder, JobReport},
    pid::Pid,
    resources::Resources,
};

/// One of each kind that a client asks.
pub fn asks() -> Vec<Ask> {
    let run = RunRequest {
        image: [7; 32],
        worker: "hello::main".into(),
        args: vec![b"hello".to_vec(), vec![0xff], Vec::new()],
        env: vec![(b"NAME".to_vec(), b"value".to_vec())],
        resources: Some(Resources::default()),
        stdout_is_terminal: true,
        stderr_is_terminal: false,
        is_detached: true,
        files: Some([6; 32]),
        is_here: false,
    };
    let job = "ab12".to_string();
    let from = Position {
        sequence: 7,
        output: 1 << 40,
    };
    vec![
        Ask::Hello { version: VERSION },
        Ask::Image {
            digest: [9; 32],
            len: 1 << 33,
            bases: vec![[8; 32]],
        },
        Ask::Chunk {
            bytes: vec![1, 2, 3],
        },
        Ask::Run(Box::new(run)),
        Ask::Input { bytes: Vec::new() },
        Ask::Signal { signal: 2 },
        Ask::Credit { bytes: 1 << 20 },
        Ask::Nodes,
        Ask::Jobs,
        Ask::Kill {
            job: "ab12".into(),
            process: Some("3fecd01".into()),
        },
        Ask::Drain {
            node: "10.0.0.2:9999".into(),
            on: true,
        },
        Ask::Renew,
        Ask::Attach {
            job: job.clone(),
            from,
        },
        Ask::Logs {
            job: job.clone(),
            from,
            follow: true,
        },
        Ask::Why {
            job,
            process: Some("3fecd01".into()),
        },
        Ask::Unread {
            stream: Stream::Stderr,
        },
        Ask::Beat,
        Ask::Stopped,
        Ask::Past,
        Ask::Report {
            report: Box::new(JobReport::Opened),
            file: Some(vec![1]),
        },
    ]
}

/// One of each kind that a client is told.
pub fn answers() -> Vec<Answer> {
    let (job, pid) = (JOB, pid(3));
    let node = NodeView {
        name: "n2".into(),
        address: "10.0.0.2:9999".into(),
        state: "up".into(),
        capacity: Resources::default(),
        free: Resources::default(),
        processes: 3,
        isolation: "own user, control group".into(),
        labels: vec!["gpu".into()],
        glibc: "2.36".into(),
        lost_seconds: Some(7),
    };
    let view = JobView {
        job,
        worker: "hello::main".into(),
        user: "ada".into(),
        processes: 2,
        seconds: 60,
        state: "runs".into(),
    };
    let life = LifeView {
        pid,
        parent: None,
        node: "n2".into(),
        worker: "hello::worker".into(),
        resources: Resources::default(),
        status: Some(ExitStatus::new(End::Signal(9)).because(Reason::Killed)),
        by: Some("ada".into()),
        is_blamed: true,
        waits: waits(),
    };
    let mut answers = vec![
        Answer::Order {
            order: Box::new(JobOrder::Close),
            file: None,
        },
        Answer::Hello {
            version: VERSION,
            cluster: "c0ffee".into(),
        },
        Answer::ImageKnown,
        Answer::ImageWanted {
            offset: 5,
            base: Some([8; 32]),
        },
        Answer::ImageTaken,
        Answer::Started { job },
        Answer::Finished,
        Answer::Refused {
            code: 72,
            why: "no room".into(),
        },
        Answer::Nodes(vec![node.clone(), node]),
        Answer::Jobs(vec![view]),
        Answer::Done,
        Answer::Renewed {
            certified: vec![4, 5],
        },
        Answer::Attached {
            job,
            input: 5,
            is_detached: true,
        },
        Answer::Missed { bytes: 1 << 33 },
        Answer::InputTaken { bytes: 9 },
        Answer::Lives(vec![life]),
        Answer::Beat,
    ];
    let sequence = 1 << 40;
    answers.push(Answer::Packed {
        pid,
        stream: Stream::Stdout,
        packed: super::packed(),
        sequence,
    });
    answers.extend(events(pid).map(|event| Answer::Event { event, sequence }));
    answers
}

/// One of each kind that can happen to a process.
fn events(pid: Pid) -> [Event; 4] {
    [
        Event::Spawned {
            pid,
            parent: Some(super::pid(0)),
            node: "n2".into(),
            worker: "hello::worker".into(),
            resources: Resources::default(),
        },
        Event::Output {
            pid,
            stream: Stream::Stderr,
            bytes: vec![0, 255],
        },
        Event::Noted {
            pid,
            text: "waits".into(),
        },
        Event::Exited {
            pid,
            status: ExitStatus::new(End::Signal(9)).because(Reason::Killed),
        },
    ]
}
