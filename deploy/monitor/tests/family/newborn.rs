//! A process's side of its birth and of the talk with its monitor, by hand and blocking.

use crate::scenarios;
use deploy_sys::{fd, packet, pidfd::Process, process};
use deploy_wire::{
    birth::{BIRTH_VARIABLE, Birth},
    control::{Argument, Function, Notice, Refusal, Request, SpawnRequest},
    exit::{End, ExitStatus},
    pid::Pid,
    resources::Resources,
};
use std::{
    env,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// A process of the job.
pub struct Me {
    pub birth: Birth,
    parent: Option<UnixStream>,
    /// What came beside the certificate, after that.
    pub files: Vec<OwnedFd>,
    socket: OwnedFd,
    next_id: u64,
}

/// Lives as the process that the certificate says.
pub fn live() -> ! {
    process::die_with_parent().expect("the kernel allows it");
    let number = env::var(BIRTH_VARIABLE).expect("looked at before");
    let socket = fd::adopt(birth_number(&number)).expect("a packet socket");
    if let Ok(greeting) = env::var("GREETING") {
        println!("{greeting}"); // As a program does before `init`.
    }
    let mut packet = Vec::new();
    let beside = packet::receive(socket.as_fd(), &mut packet).expect("a packet socket");
    let Some(beside) = beside else {
        std::process::exit(0); // The monitor ended before it had a use for this process.
    };
    let mut descriptors = beside.descriptors.into_iter();
    let birth = Birth::decode(&packet).expect("the certificate is well made");
    assert!(process::is_ancestor(birth.monitor));
    process::set_blocked_signals(birth.signals_blocked);
    let parent = birth.parent.and_then(|_| descriptors.next());
    let mut me = Me {
        parent: parent.map(UnixStream::from),
        files: descriptors.collect(),
        birth,
        socket,
        next_id: 0,
    };
    match &me.birth.work {
        Some(work) => scenarios::worker(&work.function.name)(&mut me),
        None => {
            let name = env::var("SCENARIO").expect("the scenario's monitor sets it");
            let scenario = scenarios::find(&name).expect("the driver knows the names");
            (scenario.main)(&mut me);
        }
    }
    std::process::exit(0)
}

impl Me {
    /// A request for a worker with nothing special.
    pub fn worker(&mut self, name: &str) -> SpawnRequest {
        self.next_id += 1;
        SpawnRequest {
            id: self.next_id,
            function: Function {
                offset: 0,
                name: name.into(),
            },
            argument: Argument::Inline(Vec::new()),
            name: None,
            resources: Resources::default(),
            node: None,
            wait: false,
            link: false,
        }
    }

    /// Starts such a worker, which must succeed.
    pub fn spawn(&mut self, name: &str) -> (Pid, UnixStream) {
        let request = self.worker(name);
        self.try_spawn(request).expect("it can be started")
    }

    /// Starts a process.
    pub fn try_spawn(&mut self, request: SpawnRequest) -> Result<(Pid, UnixStream), Refusal> {
        self.try_spawn_with(request, &[])
    }

    /// The same with a file beside the request.
    pub fn try_spawn_with(
        &mut self,
        request: SpawnRequest,
        files: &[BorrowedFd<'_>],
    ) -> Result<(Pid, UnixStream), Refusal> {
        self.send_spawn(&request, files);
        self.spawned(request.id)
    }

    /// Asks for a process.
    pub fn send_spawn(&mut self, request: &SpawnRequest, files: &[BorrowedFd<'_>]) {
        let request = Request::Spawn(Box::new(request.clone()));
        packet::send(self.socket.as_fd(), &request.encode(), files).expect("the monitor lives");
    }

    /// The answer to that.
    pub fn spawned(&mut self, asked: u64) -> Result<(Pid, UnixStream), Refusal> {
        match self.answer() {
            (Notice::Spawned { id, result, .. }, descriptor) => {
                assert_eq!(id, asked);
                result.map(|pid| {
                    (
                        pid,
                        descriptor.expect("the connection comes with it").into(),
                    )
                })
            }
            other => panic!("not an answer: {other:?}"),
        }
    }

    /// The connection to the parent.
    pub fn parent(&mut self) -> &mut UnixStream {
        self.parent
            .as_mut()
            .expect("only the initial process has none")
    }

    /// The process with that number.
    pub fn pid(&self, number: u32) -> Pid {
        Pid::new(self.birth.pid.job(), number)
    }

    /// Sends itself a signal.
    pub fn signal_self(&self, signal: i32) {
        let own = Process::open(std::process::id()).expect("it is alive");
        own.signal(signal).expect("it may");
    }

    /// The next connection, whoever is at the other end.
    pub fn any_connection(&mut self) -> UnixStream {
        match self.answer() {
            (Notice::Connected { .. }, Some(connection)) => connection.into(),
            other => panic!("not a connection: {other:?}"),
        }
    }

    /// How that process ends.
    pub fn wait(&mut self, pid: Pid) -> Option<ExitStatus> {
        self.next_id += 1;
        let asked = self.next_id;
        self.ask(&Request::Wait { id: asked, pid });
        match self.answer().0 {
            Notice::Waited { id, status } if id == asked => status,
            other => panic!("not an answer: {other:?}"),
        }
    }

    /// Kills that process; whether there ever was one.
    pub fn kill(&mut self, pid: Pid) -> bool {
        self.next_id += 1;
        let asked = self.next_id;
        self.ask(&Request::Kill { id: asked, pid });
        match self.answer().0 {
            Notice::KillSent { id, known } if id == asked => known,
            other => panic!("not an answer: {other:?}"),
        }
    }

    /// Asks for a connection and takes the first notice about that peer.
    pub fn connect(&mut self, peer: Pid) -> Result<UnixStream, Option<ExitStatus>> {
        self.ask(&Request::Connect { peer });
        self.met(peer)
    }

    /// The first notice about that peer.
    pub fn met(&mut self, peer: Pid) -> Result<UnixStream, Option<ExitStatus>> {
        loop {
            match self.hear() {
                (Notice::Connected { peer: other, .. }, Some(end)) if other == peer => {
                    return Ok(end.into());
                }
                (
                    Notice::Ended {
                        peer: other,
                        status,
                    },
                    _,
                ) if other == peer => return Err(status),
                (Notice::Ended { .. }, _) => {}
                other => panic!("not about {peer}: {other:?}"),
            }
        }
    }

    /// The next notice that is not about the end of a peer, which may come at any time.
    fn answer(&mut self) -> (Notice, Option<OwnedFd>) {
        loop {
            match self.hear() {
                (Notice::Ended { .. }, _) => {}
                other => return other,
            }
        }
    }

    /// Says something to the monitor.
    pub fn ask(&self, request: &Request) {
        self.say_bytes(&request.encode());
    }

    /// Says anything to the monitor.
    pub fn say_bytes(&self, bytes: &[u8]) {
        packet::send(self.socket.as_fd(), bytes, &[]).expect("the monitor lives");
    }

    /// The same, with anything beside it. False if the monitor listens no more.
    pub fn try_say_bytes(&self, bytes: &[u8], beside: &[BorrowedFd<'_>]) -> bool {
        packet::send(self.socket.as_fd(), bytes, beside).is_ok()
    }

    /// What the monitor says next.
    pub fn hear(&mut self) -> (Notice, Option<OwnedFd>) {
        let mut bytes = Vec::new();
        let beside = packet::receive(self.socket.as_fd(), &mut bytes).expect("the monitor lives");
        let descriptor = beside.expect("the monitor lives").descriptors.pop();
        (
            Notice::decode(&bytes).expect("the monitor writes well"),
            descriptor,
        )
    }
}

/// The number of the descriptor in the variable.
fn birth_number(variable: &str) -> i32 {
    let (number, _) = variable.split_once(',').expect("a number and a process");
    number.parse().expect("a number")
}

/// An end that nobody else brought about, as it is answered.
pub fn ended(end: End) -> Option<ExitStatus> {
    Some(ExitStatus::new(end))
}
