//! Nodes and master, as far as wardens can tell: each node is a socket and a data port, the master a roster.
//!
//! Deliberately absent: resources. Whoever names a node gets it, and everybody else the first.

use deploy_monitor::{Action, Roster};
use deploy_parcel::talk::Unpacker;
use deploy_sys::{packet, process, stream};
use deploy_wire::{
    birth::Work,
    control::{Notice, Request},
    event::Stream,
    exit::{ExitStatus, Reason},
    hello,
    job::{Begin, JobOrder, JobReport, OpenJob},
    pid::Job,
    resources::Resources,
};
use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What a process wrote, as it wrote it.
fn unpacked(report: JobReport) -> JobReport {
    let JobReport::Packed {
        number,
        stream,
        packed,
    } = report
    else {
        return report;
    };
    let bytes = Unpacker::new().and_then(|mut one| one.unpack(packed.bytes(), packed.stands_for()));
    JobReport::Output {
        number,
        stream,
        bytes: bytes.expect("wardens pack well"),
    }
}

pub const JOB: Job = Job::from_bits(0x5eed << 64);
pub const KEY: [u8; 32] = [3; 32];

/// A node with the warden of the one job.
pub struct Node {
    pub socket: OwnedFd,
    pub warden: Child,
    data_port: TcpListener,
}

impl Node {
    /// Starts a warden and opens the job: its processes live as `program` says.
    pub fn start(program: &str) -> Node {
        let variable = (b"PROGRAM".to_vec(), program.into());
        Node::open(Path::new("/proc/self/exe"), &["program"], vec![variable])
    }

    /// The same, but that the initial process is a shell that knows nothing of us, with this script.
    pub fn start_shell(script: &str) -> Node {
        Node::open(Path::new("/bin/sh"), &["sh", "-c", script], Vec::new())
    }

    fn open(program: &Path, args: &[&str], env: Vec<(Vec<u8>, Vec<u8>)>) -> Node {
        let node = Node::start_unopened();
        let open = OpenJob {
            job: JOB,
            key: KEY,
            node: "n".into(),
            args: args.iter().map(|word| word.as_bytes().to_vec()).collect(),
            env,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
        };
        let image = File::open(program).unwrap();
        node.order(&JobOrder::Open(Box::new(open)), Some(image.into()));
        assert_eq!(node.report().unwrap().0, JobReport::Opened);
        node
    }

    /// The same, without a first order.
    pub fn start_unopened() -> Node {
        let (socket, theirs) = packet::pair().unwrap();
        let warden = Command::new("sh")
            .args(["-c", "trap '' INT QUIT HUP; exec \"$0\" \"$1\""])
            .arg(env::current_exe().unwrap())
            .arg(fabric::warden::WORD)
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let data_port = TcpListener::bind("127.0.0.1:0").unwrap();
        data_port.set_nonblocking(true).unwrap();
        Node {
            socket,
            warden,
            data_port,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.data_port.local_addr().unwrap()
    }

    pub fn order(&self, order: &JobOrder, beside: Option<OwnedFd>) {
        self.send(&order.encode(), beside);
    }

    pub fn send(&self, bytes: &[u8], beside: Option<OwnedFd>) {
        let beside: Vec<_> = beside.iter().map(AsFd::as_fd).collect();
        packet::send(self.socket.as_fd(), bytes, &beside).expect("the warden lives");
    }

    /// What the warden says next; nothing, once it has ended.
    pub fn report(&self) -> Option<(JobReport, Option<OwnedFd>)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(reported) = self.try_report() {
                return reported;
            }
            assert!(Instant::now() < deadline, "a warden says nothing");
            stream::wait(self.socket.as_fd(), false, Some(PATIENCE));
        }
    }

    /// The same, or nothing if it has said nothing.
    fn try_report(&self) -> Option<Option<(JobReport, Option<OwnedFd>)>> {
        let mut bytes = Vec::new();
        match packet::try_receive(self.socket.as_fd(), &mut bytes) {
            Ok(Some(beside)) => {
                let report = unpacked(JobReport::decode(&bytes).expect("wardens write well"));
                Some(Some((report, beside.into_iter().next())))
            }
            Ok(None) => Some(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("the socket to a warden fails: {error}"),
        }
    }

    /// Passes on a connection that another node made.
    pub fn accept(&self) {
        let Ok((mut dialed, _)) = self.data_port.accept() else {
            return;
        };
        let mut hello = vec![0; hello::FIRST_BYTES];
        dialed.set_nonblocking(false).unwrap();
        match dialed.read_exact(&mut hello) {
            Ok(()) => self.pass_on(dialed, hello),
            // Called off before a word was said: the process for whom it was dialed is not connected there any more.
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
        }
    }

    pub fn pass_on(&self, dialed: TcpStream, hello: Vec<u8>) {
        self.order(&JobOrder::Accept { hello }, Some(dialed.into()));
    }

    /// Closes the job, and waits until the warden has ended well.
    pub fn close(mut self) {
        self.order(&JobOrder::Close, None);
        while self
            .report()
            .is_some_and(|(report, _)| report != JobReport::Closed)
        {}
        assert!(self.report().is_none(), "Closed is the last word");
        assert!(self.warden.wait().unwrap().success());
    }
}

/// Decides for a job.
pub struct Master {
    pub nodes: Vec<Node>,
    pub roster: Roster,
    /// On which node each process is, and how it ended.
    pub processes: BTreeMap<u32, (usize, Option<ExitStatus>)>,
    /// What each wrote to standard output.
    pub output: BTreeMap<u32, Vec<u8>>,
    pub failed: Vec<JobReport>,
    spawns: BTreeMap<u32, (u32, u64)>,
    input_taken: u64,
    connections_asked: usize,
}

impl Master {
    /// With so many nodes, and the initial process on the first of them.
    pub fn start(program: &str, nodes: usize) -> Master {
        let mut master = Master {
            nodes: (0..nodes).map(|_| Node::start(program)).collect(),
            roster: Roster::new(JOB),
            processes: BTreeMap::new(),
            output: BTreeMap::new(),
            failed: Vec::new(),
            input_taken: 0,
            connections_asked: 0,
            spawns: BTreeMap::new(),
        };
        for node in &master.nodes {
            node.order(&JobOrder::Credit { bytes: 1 << 30 }, None);
        }
        master.begin(0, None, None, None, None, Resources::default());
        master
    }

    /// Plays on until all processes have ended, then closes.
    pub fn finish(mut self) -> Finished {
        while self.processes.values().any(|(_, status)| status.is_none()) {
            self.step();
        }
        self.nodes.drain(..).for_each(Node::close);
        assert_alone();
        Finished {
            output: self.output,
            statuses: self
                .processes
                .values()
                .map(|(_, status)| status.expect("all have ended"))
                .collect(),
            failed: self.failed,
            input_taken: self.input_taken,
            connections_asked: self.connections_asked,
        }
    }

    /// Waits for something to happen, and does what has to follow.
    pub fn step(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut is_idle = true;
            for at in 0..self.nodes.len() {
                self.nodes[at].accept();
                while let Some(reported) = self.nodes[at].try_report() {
                    let (report, file) = reported.expect("the warden lives");
                    self.handle(at, report, file);
                    is_idle = false;
                }
            }
            if !is_idle {
                return;
            }
            assert!(Instant::now() < deadline, "nothing happens any more");
            let first = self.nodes[0].socket.as_fd();
            stream::wait(first, false, Some(Duration::from_millis(2))); // The others are asked after that.
        }
    }

    fn handle(&mut self, at: usize, report: JobReport, file: Option<OwnedFd>) {
        match report {
            JobReport::Asked { from, request } => self.handle_request(at, from, request, file),
            JobReport::Begun { number } => {
                if let Some((parent, id)) = self.spawns.remove(&number) {
                    let result = Ok(self.roster.pid(number));
                    self.tell(
                        parent,
                        Notice::Spawned {
                            id,
                            result,
                            seal: None,
                        },
                    );
                    self.connect(number, parent);
                }
            }
            JobReport::Died {
                number,
                end,
                shortage: Some(shortage),
            } => (self.roster).handle_death_because(number, end, Reason::OutOfMemory(shortage)),
            JobReport::Died { number, end, .. } => self.roster.handle_death(number, end),
            JobReport::Left { number } => {
                let status = self.roster.handle_farewell(number);
                self.processes.get_mut(&number).unwrap().1 = Some(status);
            }
            JobReport::Output {
                number,
                stream: Stream::Stdout,
                bytes,
            } => self.output.entry(number).or_default().extend(bytes),
            JobReport::InputTaken { bytes } => self.input_taken += bytes,
            JobReport::Vouched { number, to } => self.roster.handle_vouched(number, to),
            JobReport::Output { bytes, .. } => eprint!("{}", String::from_utf8_lossy(&bytes)),
            other => self.failed.push(other),
        }
        while let Some(action) = self.roster.poll_action() {
            match action {
                Action::Tell(number, notice) => self.tell(number, notice),
                Action::Connect(one, other) => self.connect(one, other),
                Action::Kill(number) => self.order(number, &JobOrder::Kill { number }),
                Action::Signal(number, signal) => {
                    self.order(number, &JobOrder::Signal { number, signal });
                }
                Action::Vouch(number, to) => self.order(number, &JobOrder::Vouch { number, to }),
            }
        }
        let _ = at;
    }

    fn handle_request(&mut self, at: usize, from: u32, request: Request, file: Option<OwnedFd>) {
        match request {
            Request::Spawn(request) => {
                let named = request.node.as_deref().map(|name| name.parse().unwrap());
                let node = named.unwrap_or(0);
                let (id, resources) = (request.id, request.resources);
                let asked = (node == at).then_some(id);
                let work = Some((*request).into());
                let number = self.begin(node, Some(from), asked, work, file, resources);
                if asked.is_none() {
                    self.spawns.insert(number, (from, id));
                }
            }
            Request::Need { id, resources } => {
                self.tell(from, Notice::Granted { id, resources });
            }
            // From who has waited for seconds: for people, of whom there are none here.
            Request::Waits(_) => {}
            other => {
                self.connections_asked += usize::from(matches!(other, Request::Connect { .. }));
                self.roster.handle_request(from, &other).unwrap();
            }
        }
    }

    fn begin(
        &mut self,
        node: usize,
        parent: Option<u32>,
        asked: Option<u64>,
        work: Option<Work>,
        file: Option<OwnedFd>,
        resources: Resources,
    ) -> u32 {
        let number = self.roster.handle_birth(parent, false);
        self.processes.insert(number, (node, None));
        let begin = Begin {
            number,
            parent,
            asked,
            work,
            resources,
        };
        self.nodes[node].order(&JobOrder::Begin(Box::new(begin)), file);
        number
    }

    fn connect(&mut self, one: u32, other: u32) {
        let (here, there) = (self.processes[&one].0, self.processes[&other].0);
        let at = (here != there).then(|| self.nodes[there].address());
        self.order(one, &JobOrder::Connect { one, other, at });
    }

    fn tell(&mut self, number: u32, notice: Notice) {
        self.order(number, &JobOrder::Tell { number, notice });
    }

    pub fn order(&self, number: u32, order: &JobOrder) {
        self.nodes[self.processes[&number].0].order(order, None);
    }
}

/// What came of a job.
pub struct Finished {
    output: BTreeMap<u32, Vec<u8>>,
    pub statuses: Vec<ExitStatus>,
    pub failed: Vec<JobReport>,
    /// How much standard input was taken.
    pub input_taken: u64,
    /// How often a process has asked to be connected.
    pub connections_asked: usize,
}

impl Finished {
    pub fn text(&self, number: u32) -> &str {
        let bytes = self.output.get(&number);
        str::from_utf8(bytes.map_or(&[], Vec::as_slice)).unwrap()
    }
}

/// What wardens leave behind would be this process's children by now.
pub fn assert_alone() {
    assert_eq!(process::children(), Vec::<u32>::new());
}

/// Longer than anything takes here that does not hang.
pub const PATIENCE: Duration = Duration::from_secs(20);
