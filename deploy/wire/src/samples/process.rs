//! What a process and its monitor say to each other.

use super::{pid, waits};
use crate::{
    birth::{Birth, Work},
    control::{
        ARGUMENT_INLINE_BYTES_MAX, Argument, Function, NodeResources, Notice, Refusal, Request,
        SpawnRequest,
    },
    exit::{End, ExitStatus, Reason},
    resources::Resources,
    secret::{Seal, Secret},
    wait::Waits,
};

/// The certificate of a process that runs a function on this argument; of the initial one, if none.
pub fn birth(argument: Option<Argument>) -> Birth {
    Birth {
        pid: pid(1),
        parent: argument.as_ref().map(|_| pid(0)),
        monitor: 4321,
        wrapped: false,
        image: 99,
        work: argument.map(|argument| Work {
            function: function(),
            argument,
            name: "worker".into(),
        }),
        resources: Resources::default(),
        signals_blocked: 1 << 12,
        stdout_is_terminal: true,
        stderr_is_terminal: false,
        seal: None,
    }
}

/// One of each kind that a process asks.
pub fn requests() -> Vec<Request> {
    let spawn = SpawnRequest {
        id: 7,
        function: function(),
        argument: Argument::Inline(b"argument".to_vec()),
        name: Some("one".into()),
        resources: Resources::default(),
        node: None,
        wait: true,
        link: false,
    };
    let file = SpawnRequest {
        argument: Argument::File { len: 1 << 40 },
        node: Some("n2".into()),
        ..spawn.clone()
    };
    let long = SpawnRequest {
        argument: Argument::Inline(vec![1; ARGUMENT_INLINE_BYTES_MAX / 32]),
        name: None,
        ..spawn.clone()
    };
    vec![
        Request::Spawn(Box::new(spawn)),
        Request::Spawn(Box::new(long)),
        Request::Spawn(Box::new(file)),
        Request::Connect { peer: pid(3) },
        Request::Wait { id: 1, pid: pid(4) },
        Request::Kill { id: 2, pid: pid(5) },
        Request::Need {
            id: 8,
            resources: Resources::default(),
        },
        Request::Withdraw { id: 7, of: None },
        Request::Withdraw {
            id: 9,
            of: Some(pid(5)),
        },
        Request::Doubt { peer: pid(6) },
        Request::Waits(waits()),
        Request::Waits(Waits::default()),
    ]
}

fn seal() -> Seal {
    Secret::from_bytes([3; 32]).seals(pid(1), pid(9), true).1
}

/// One of each kind that a process is told.
pub fn notices() -> Vec<Notice> {
    let asked = Resources::default();
    let nodes = vec![NodeResources {
        name: "local".into(),
        resources: Resources::default(),
    }];
    let status = ExitStatus::new(End::Signal(9)).because(Reason::Killed);
    vec![
        Notice::Spawned {
            id: 1,
            result: Ok(pid(2)),
            seal: Some(seal()),
        },
        Notice::Spawned {
            id: 1,
            result: Err(Refusal::OutOfResources {
                asked,
                nodes: nodes.clone(),
                others: 0,
            }),
            seal: None,
        },
        Notice::Spawned {
            id: 1,
            result: Err(Refusal::NeverFits {
                asked,
                nodes,
                others: 5,
            }),
            seal: None,
        },
        Notice::Spawned {
            id: 1,
            result: Err(Refusal::Launch { why: "no".into() }),
            seal: None,
        },
        Notice::Connected {
            peer: pid(9),
            seal: None,
        },
        Notice::Connected {
            peer: pid(9),
            seal: Some(seal()),
        },
        Notice::Ended {
            peer: pid(9),
            status: Some(status),
        },
        Notice::Ended {
            peer: pid(9),
            status: None,
        },
        Notice::Waited {
            id: 3,
            status: Some(ExitStatus::new(End::Code(101))),
        },
        Notice::KillSent { id: 4, known: true },
        Notice::Granted {
            id: 5,
            resources: Resources::default(),
        },
        Notice::Lives { peer: pid(6) },
        Notice::Cut { peer: pid(6) },
        Notice::Broken { peer: pid(6) },
    ]
}

fn function() -> Function {
    Function {
        offset: -42,
        name: "hello::worker".into(),
    }
}
