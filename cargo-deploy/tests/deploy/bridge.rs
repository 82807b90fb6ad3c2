//! A bridge for tests: an authority in a directory of its own, and each client's session in a thread that follows a
//! script, one line after the other.

use crate::frame::{Frame, unpacked};
use deploy_sys::random;
use deploy_trust::{
    authority::{Authority, AuthorityError},
    door::{Arrival, Door},
    endpoint::Acceptor,
    insecure,
    join::answer,
    session::Session,
    state::StateDir,
    subject::Role,
    tokens::LIFETIME,
};
use deploy_wire::{
    client::{Answer, Ask, Position, RunRequest, VERSION},
    event::{Event, Stream},
    exit::ExitStatus,
    packed::Packed,
    pid::{Job, Pid},
    resources::Resources,
};
use mio::{Events, Poll, Token, Waker};
use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

/// Ends and clears up when dropped, and fails the test if a script failed.
pub struct Bridge {
    pub address: SocketAddr,
    authority: Arc<Authority>,
    path: PathBuf,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

/// One client's session.
pub struct Client {
    session: Session,
    poll: Poll,
    events: Events,
    job: Job,
    /// The number of the next event.
    sequence: u64,
}

type Script = Arc<dyn Fn(Client) + Send + Sync>;

impl Bridge {
    /// Each client that comes is given to `script`, in a thread of its own.
    pub fn start(script: impl Fn(Client) + Send + Sync + 'static) -> Bridge {
        let open = |dir: &StateDir| Authority::open(dir, SystemTime::now());
        Bridge::start_of(open, &[Role::User], script)
    }

    /// The same, but that nodes only are let in.
    pub fn start_for_nodes(script: impl Fn(Client) + Send + Sync + 'static) -> Bridge {
        let open = |dir: &StateDir| Authority::open(dir, SystemTime::now());
        Bridge::start_of(open, &[Role::Node], script)
    }

    /// The same, of a cluster without authentication.
    pub fn start_insecure(script: impl Fn(Client) + Send + Sync + 'static) -> Bridge {
        Bridge::start_of(
            |dir| insecure::authority(dir, &[], SystemTime::now()),
            &[Role::User],
            script,
        )
    }

    fn start_of(
        authority: impl FnOnce(&StateDir) -> Result<Authority, AuthorityError>,
        roles: &'static [Role],
        script: impl Fn(Client) + Send + Sync + 'static,
    ) -> Bridge {
        let path =
            std::env::temp_dir().join(format!("deploy-test-{:032x}", random::bits().unwrap()));
        let dir = StateDir::open(&path).unwrap();
        let authority = Arc::new(authority(&dir).unwrap());
        let name = "master".parse().unwrap();
        let own = authority
            .identity(Role::Master, &name, "", SystemTime::now())
            .unwrap();
        let tls = Acceptor::new(&own, roles, authority.revocations(), true).unwrap();
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let any = "127.0.0.1:0".parse().unwrap();
        let door = Door::open(any, poll.registry(), 1, Some(tls), None).unwrap();
        let address = door.address().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (stop, authority, script) = (stop.clone(), authority.clone(), Arc::new(script));
            move || welcome(poll, door, &authority, script, &stop)
        });
        Bridge {
            address,
            authority,
            path,
            stop,
            waker,
            thread: Some(thread),
        }
    }

    /// A token with which somebody may join.
    pub fn token(&self, role: Role) -> String {
        self.token_with(role, &self.address.to_string())
    }

    /// The same, with another address in it than that of this bridge.
    pub fn token_with(&self, role: Role, address: &str) -> String {
        let token = self
            .authority
            .new_token(role, address, LIFETIME, false, SystemTime::now())
            .unwrap();
        token.to_string()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake().unwrap();
        let ended = self.thread.take().unwrap().join();
        let _ = fs::remove_dir_all(&self.path);
        if !thread::panicking() {
            ended.expect("the script failed");
        }
    }
}

fn welcome(
    mut poll: Poll,
    mut door: Door,
    authority: &Authority,
    script: Script,
    stop: &AtomicBool,
) {
    let mut events = Events::with_capacity(64);
    let mut scripts = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let now = Instant::now();
        let wait = door.deadline().map(|at| at.saturating_duration_since(now));
        wait_for(&mut poll, &mut events, wait);
        for event in &events {
            door.handle_ready(event.token(), Instant::now());
        }
        door.handle_timeout(Instant::now());
        while let Some(arrival) = door.poll_arrival() {
            match arrival {
                Arrival::Member(session) => {
                    let script = script.clone();
                    scripts.push(thread::spawn(move || script(Client::new(*session))));
                }
                Arrival::Stranger(mut session, message) => {
                    answer(&mut session, &message, authority, SystemTime::now()).unwrap();
                    session.flush().unwrap();
                }
                Arrival::Data(..) => unreachable!("no connection for data is let in"),
            }
        }
    }
    for script in scripts {
        script.join().expect("the script failed");
    }
}

impl Client {
    fn new(mut session: Session) -> Client {
        let poll = Poll::new().unwrap();
        session.register(poll.registry(), Token(0)).unwrap();
        Client {
            session,
            poll,
            events: Events::with_capacity(4),
            job: Job::from_bits(random::bits().unwrap()),
            sequence: 0,
        }
    }

    /// What it asks next, but whether somebody is here; nothing when it has gone, or for longer than `patience` nothing has come.
    pub fn hear_within(&mut self, patience: Duration) -> Option<Ask> {
        let deadline = Instant::now() + patience;
        loop {
            match self.session.poll_message() {
                Ok(Some(message)) => match Ask::decode(&message).unwrap() {
                    Ask::Beat => self.tell(&Answer::Beat),
                    ask => return Some(ask),
                },
                Ok(None) => {}
                Err(_) => return None,
            }
            if !self.wait(deadline) {
                return None;
            }
        }
    }

    pub fn hear(&mut self) -> Option<Ask> {
        self.hear_within(PATIENCE)
    }

    pub fn tell(&mut self, answer: &Answer) {
        let deadline = Instant::now() + PATIENCE;
        // It may have gone; whoever minds hears it.
        let _ = self.session.send(answer.encode());
        while self.session.flush().is_ok() && !self.session.is_flushed() {
            if !self.wait(deadline) {
                return;
            }
        }
    }

    fn wait(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        wait_for(&mut self.poll, &mut self.events, Some(left));
        self.session.handle_ready().is_ok()
    }

    /// Answers until a program is to be run, takes its file in, and returns the request and the file.
    pub fn take_program(&mut self) -> (RunRequest, Vec<u8>) {
        let mut program = Vec::new();
        loop {
            match self.hear().expect("the client goes on until it has asked") {
                Ask::Hello { .. } => self.greet(),
                Ask::Image { len, .. } => {
                    let (offset, base) = (0, None);
                    self.tell(&Answer::ImageWanted { offset, base });
                    program = unpacked(Frame::of(self), len).unwrap();
                    self.tell(&Answer::ImageKnown);
                }
                Ask::Nodes => self.tell(&Answer::Nodes(Vec::new())),
                Ask::Run(request) => {
                    let job = self.job;
                    self.tell(&Answer::Started { job });
                    return (*request, program);
                }
                other => panic!("{other:?} comes too early"),
            }
        }
    }

    /// Greets a client that comes back to its job, and returns from where on it wants to be told.
    pub fn attached(&mut self) -> Position {
        loop {
            match self.hear().expect("the client goes on until it has asked") {
                Ask::Hello { .. } => self.greet(),
                Ask::Attach { from, .. } => return from,
                other => panic!("{other:?} comes too early"),
            }
        }
    }

    /// What is told is of this job.
    pub fn be(&mut self, job: Job) {
        self.job = job;
    }

    /// The next event has this number.
    pub fn go_on(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    pub fn greet(&mut self) {
        self.tell(&Answer::Hello {
            version: VERSION,
            cluster: "test".into(),
        });
    }

    pub fn pid(&self) -> Pid {
        Pid::new(self.job, 0)
    }

    pub fn born(&mut self, request: &RunRequest) {
        self.born_as(&request.worker);
    }

    pub fn born_as(&mut self, worker: &str) {
        let event = Event::Spawned {
            pid: self.pid(),
            parent: None,
            node: "n1".into(),
            worker: worker.to_string(),
            resources: Resources::default(),
        };
        self.happened(event);
    }

    /// The process has written something that travels in fewer bytes.
    pub fn wrote_packed(&mut self, stream: Stream, packed: Packed) {
        let (pid, sequence) = (self.pid(), self.sequence);
        self.sequence += 1;
        self.tell(&Answer::Packed {
            pid,
            stream,
            packed,
            sequence,
        });
    }

    fn happened(&mut self, event: Event) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.tell(&Answer::Event { event, sequence });
    }

    pub fn wrote(&mut self, stream: Stream, bytes: &[u8]) {
        self.wrote_as(0, stream, bytes);
    }

    pub fn died(&mut self, status: ExitStatus) {
        self.died_as(0, status);
        self.finished();
    }

    /// The first process starts another, which has this number.
    pub fn spawned(&mut self, number: u32, worker: &str) {
        let event = Event::Spawned {
            pid: Pid::new(self.job, number),
            parent: Some(self.pid()),
            node: "n2".into(),
            worker: worker.to_string(),
            resources: Resources::default(),
        };
        self.happened(event);
    }

    pub fn wrote_as(&mut self, number: u32, stream: Stream, bytes: &[u8]) {
        let (pid, bytes) = (Pid::new(self.job, number), bytes.to_vec());
        self.happened(Event::Output { pid, stream, bytes });
    }

    pub fn died_as(&mut self, number: u32, status: ExitStatus) {
        let pid = Pid::new(self.job, number);
        self.happened(Event::Exited { pid, status });
    }

    pub fn finished(&mut self) {
        self.tell(&Answer::Finished);
        // The client says goodbye, but for one that was killed.
        while self.hear().is_some() {}
    }

    /// Greets a client that looks on at its job, which this session then is.
    pub fn looked_on(&mut self) {
        loop {
            match self.hear().expect("the client goes on until it has asked") {
                Ask::Hello { .. } => self.greet(),
                Ask::Logs { .. } => break,
                other => panic!("{other:?} comes too early"),
            }
        }
        self.tell_attached(0, true);
    }

    /// Goes on with that job where a client that comes back to it has stopped.
    pub fn resumed(&mut self, job: Job) {
        self.be(job);
        let from = self.attached();
        self.tell_attached(0, false);
        self.go_on(from.sequence);
    }

    /// The client is with its job now, of whose input so many bytes have arrived.
    pub fn tell_attached(&mut self, input: u64, is_detached: bool) {
        self.tell(&Answer::Attached {
            job: self.job,
            input,
            is_detached,
        });
    }
}

/// What is in a frame.
/// Whoever looks on with a debugger interrupts it: then there may be nothing.
fn wait_for(poll: &mut Poll, events: &mut Events, limit: Option<Duration>) {
    match poll.poll(events, limit) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        polled => polled.unwrap(),
    }
}

pub const PATIENCE: Duration = Duration::from_secs(20);
