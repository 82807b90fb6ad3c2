//! What a person's client and the bridge say to each other.

use crate::Target;
use deploy_wire::{
    client::{Answer, Ask, JobView, LifeView, NodeView, Position, RunRequest, VERSION},
    event::{Event, Stream},
    exit::{End, ExitStatus, Reason},
    pid::{Job, Pid},
    resources::Resources,
    wait::{Awaited, Wait, Waits},
};

pub(crate) const ASK: Target = Target {
    name: "ask",
    check: |input| {
        if let Ok(ask) = Ask::decode(input) {
            assert_eq!(Ask::decode(&ask.encode()), Ok(ask));
        }
        message_bytes(input)
    },
    seeds: || asks().iter().map(Ask::encode).collect(),
    short: 200_000,
};

pub(crate) const ANSWER: Target = Target {
    name: "answer",
    check: |input| {
        if let Ok(answer) = Answer::decode(input) {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
        message_bytes(input)
    },
    seeds: || answers().iter().map(Answer::encode).collect(),
    short: 200_000,
};

/// Lists of words: one that is empty takes four bytes of a message, and two dozen in a vector that doubles; and all
/// that twice.
fn message_bytes(input: &[u8]) -> usize {
    48 * input.len() + 4096
}

fn asks() -> Vec<Ask> {
    let run = RunRequest {
        image: [7; 32],
        worker: "hello::main".into(),
        args: vec![b"hello".to_vec(), vec![0xff], Vec::new()],
        env: vec![(b"NAME".to_vec(), b"value".to_vec())],
        resources: Some(Resources::default()),
        stdout_is_terminal: true,
        stderr_is_terminal: false,
        is_detached: true,
        files: None,
        is_here: false,
    };
    let (job, process) = ("ab12".to_string(), Some("3fecd01".to_string()));
    let from = Position {
        sequence: 7,
        output: 1 << 40,
    };
    let kill = Ask::Kill {
        job: "ab12".into(),
        process: Some("3fecd01".into()),
    };
    vec![
        Ask::Hello { version: VERSION },
        Ask::Image {
            digest: [9; 32],
            len: 1 << 33,
            bases: vec![[8; 32]],
        },
        Ask::Chunk {
            bytes: vec![1; 300],
        },
        Ask::Run(Box::new(run)),
        Ask::Signal { signal: 2 },
        kill,
        Ask::Drain {
            node: "10.0.0.2:9999".into(),
            on: true,
        },
        Ask::Attach {
            job: job.clone(),
            from,
        },
        Ask::Logs {
            job: job.clone(),
            from,
            follow: true,
        },
        Ask::Why { job, process },
        Ask::Unread {
            stream: Stream::Stderr,
        },
        Ask::Beat,
    ]
}

fn answers() -> Vec<Answer> {
    let job = Job::from_bits(1 << 99);
    let pid = Pid::new(job, 3);
    let (parent, status) = (
        Some(pid),
        ExitStatus::new(End::Signal(9)).because(Reason::Killed),
    );
    let (capacity, free) = (Resources::default(), Resources::default());
    let node = NodeView {
        name: "n2".into(),
        address: "10.0.0.2:9999".into(),
        state: "up".into(),
        capacity,
        free,
        processes: 3,
        isolation: "own user".into(),
        labels: vec!["gpu".into()],
        glibc: "2.36".into(),
    };
    let (worker, user) = ("hello::main".to_string(), "ada".to_string());
    let view = JobView {
        job,
        worker: worker.clone(),
        user,
        processes: 2,
        seconds: 60,
        state: "runs".into(),
    };
    let node_name = node.name.clone();
    let bytes = vec![0, 255];
    let life = LifeView {
        pid,
        parent,
        node: node_name.clone(),
        worker: worker.clone(),
        resources: free,
        status: Some(status),
        by: Some("ada".into()),
        is_blamed: true,
        waits: Waits {
            list: vec![Wait {
                what: Awaited::End,
                peer: pid,
                type_name: String::new(),
                place: None,
                ms: 2000,
            }],
            is_all: true,
        },
    };
    let events = [
        Event::Spawned {
            pid,
            parent,
            node: node_name,
            worker,
            resources: free,
        },
        Event::Output {
            pid,
            stream: Stream::Stderr,
            bytes,
        },
        Event::Noted {
            pid,
            text: "waits".into(),
        },
        Event::Exited { pid, status },
    ];
    let sequence = 1 << 40;
    let mut answers = vec![
        Answer::Hello {
            version: VERSION,
            cluster: "c0ffee".into(),
        },
        Answer::ImageWanted {
            offset: 5,
            base: Some([8; 32]),
        },
        Answer::ImageTaken,
        Answer::Started { job },
        Answer::Refused {
            code: 72,
            why: "no room".into(),
        },
        Answer::Nodes(vec![node.clone(), node]),
        Answer::Jobs(vec![view]),
        Answer::Attached {
            job,
            input: 9,
            is_detached: true,
        },
        Answer::Missed { bytes: 1 << 33 },
        Answer::InputTaken { bytes: 9 },
        Answer::Lives(vec![life]),
    ];
    answers.extend(events.map(|event| Answer::Event { event, sequence }));
    answers
}
