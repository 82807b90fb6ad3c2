//! Scenarios of whole clusters, without a session: each test plays the nodes and the clients.

mod elsewhere;
mod flow;
mod lives;
mod losses;
mod owners;
mod relays;
mod room;

use super::{About, Action, ClientId, Cluster};
use crate::scheduler::NodeId;
use deploy_wire::{
    client::{Answer, Ask, GONE_AFTER, GRACE, RunRequest},
    code::OwnCode,
    control::{Argument, Function, Notice, Refusal, Request, SpawnRequest},
    event::{Event, Stream},
    exit::{End, ExitStatus, Reason},
    job::{Begin, JobOrder, JobReport},
    node::{Held, NodeHello, Order, Report, VERSION},
    packed::Packed,
    pid::{Job, Pid},
    relay::{PIECE_BYTES_MAX, Piece, Relay},
    resources::{Cpu, Mem, Resources},
    secret::Secret,
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

const JOB: Job = Job::from_bits(7);
const CLIENT: ClientId = ClientId(1);

struct World {
    cluster: Cluster,
    now: Instant,
    orders: Vec<(NodeId, JobOrder)>,
    answers: Vec<(ClientId, Answer)>,
    /// What whoever looks after the master was told.
    notes: Vec<String>,
    /// What has happened in the job, and who brought it about.
    told: Vec<(Event, Option<String>)>,
    passed: Vec<(Pid, Stream, Packed)>,
    /// Why the job was refused its first process, if it was; once it is over.
    over: Option<Option<(OwnCode, String)>>,
    parted: Vec<ClientId>,
    /// Beats that were not answered.
    beats: Vec<(NodeId, u64)>,
    dismissed: Vec<NodeId>,
    /// How many reports each node has made.
    said: BTreeMap<NodeId, u64>,
}

impl World {
    /// With nodes of so many GiB each, and a client.
    fn new(nodes: &[u64]) -> (World, Vec<NodeId>) {
        let mut world = World {
            cluster: Cluster::new("test".to_string()),
            now: Instant::now(),
            orders: Vec::new(),
            answers: Vec::new(),
            notes: Vec::new(),
            told: Vec::new(),
            passed: Vec::new(),
            over: None,
            parted: Vec::new(),
            beats: Vec::new(),
            dismissed: Vec::new(),
            said: BTreeMap::new(),
        };
        let ids = nodes
            .iter()
            .enumerate()
            .map(|(index, gib)| world.node(index, *gib));
        let ids = ids.collect();
        let now = world.now;
        world.cluster.handle_client(CLIENT, "ada".to_string(), now);
        world.settle();
        (world, ids)
    }

    fn node(&mut self, index: usize, gib: u64) -> NodeId {
        let id = self.hello(index, gib, &[&format!("index={index}")]);
        id.expect("it speaks our version")
    }

    fn hello(&mut self, index: usize, gib: u64, labels: &[&str]) -> Result<NodeId, String> {
        self.greet(index, gib, labels, Vec::new())
    }

    /// Says hello, as a node that holds these jobs.
    fn greet(
        &mut self,
        index: usize,
        gib: u64,
        labels: &[&str],
        held: Vec<Held>,
    ) -> Result<NodeId, String> {
        self.greet_with(index, gib_and_cores(gib, 8), labels, held)
    }

    fn greet_with(
        &mut self,
        index: usize,
        capacity: Resources,
        labels: &[&str],
        held: Vec<Held>,
    ) -> Result<NodeId, String> {
        let hello = NodeHello {
            capacity,
            labels: labels.iter().map(|label| label.to_string()).collect(),
            held,
            ..words(index)
        };
        let name = format!("n{index}");
        self.cluster.handle_hello(name, hello, &[], self.now)
    }

    /// Runs a job whose initial process needs what the person said, if they said it.
    fn run(&mut self, resources: Option<Resources>) {
        self.run_and(resources, false);
    }

    fn run_and(&mut self, resources: Option<Resources>, is_detached: bool) {
        let request = RunRequest {
            image: [9; 32],
            worker: "hello::main".to_string(),
            args: vec![b"hello".to_vec()],
            env: Vec::new(),
            resources,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            is_detached,
            files: None,
            is_here: false,
        };
        let about = About {
            user: "ada".to_string(),
            key: [3; 32],
            request,
        };
        assert!((self.cluster).run(CLIENT, JOB, about, self.now));
        self.cluster.begin(JOB, self.now);
        self.settle();
    }

    fn report(&mut self, node: NodeId, report: JobReport) {
        let file = None;
        let said = self.said.entry(node).or_default();
        // What is relayed has no number.
        *said += u64::from(!matches!(report, JobReport::Relayed { .. }));
        let report = Report::Job {
            job: JOB,
            sequence: *said,
            report,
            file,
        };
        self.cluster.handle_report(node, report, self.now);
        self.settle();
    }

    fn ask(&mut self, node: NodeId, from: u32, request: Request) {
        self.report(node, JobReport::Asked { from, request });
    }

    /// A process comes and goes without a word.
    fn end(&mut self, node: NodeId, number: u32, end: End) {
        let shortage = None;
        self.report(
            node,
            JobReport::Died {
                number,
                end,
                shortage,
            },
        );
        self.report(node, JobReport::Left { number });
    }

    fn settle(&mut self) {
        while let Some(action) = self.cluster.poll_action() {
            match action {
                Action::Keep(..) => {}
                Action::Note(text) => self.notes.push(text),
                Action::Order(node, Order::Job { order, .. }) => self.orders.push((node, order)),
                Action::Order(node, Order::Beat { sequence, .. }) => {
                    self.beats.push((node, sequence))
                }
                Action::Order(..) => {}
                Action::Answer(client, answer) => self.answers.push((client, answer)),
                Action::Told { event, by, .. } => self.told.push((event, by)),
                Action::Passed {
                    pid,
                    stream,
                    packed,
                    ..
                } => self.passed.push((pid, stream, packed)),
                Action::Over(_, refusal) => self.over = Some(refusal),
                Action::Part(client, _) => self.parted.push(client),
                Action::Dismiss(node) => self.dismissed.push(node),
            }
        }
        self.cluster.check_condensed(JOB);
    }

    /// How many orders a node has got of the job.
    fn ordered(&self, node: NodeId) -> u64 {
        let numbered = |(to, order): &&(NodeId, JobOrder)| {
            *to == node && !matches!(order, JobOrder::Relayed { .. })
        };
        self.orders.iter().filter(numbered).count() as u64
    }

    /// The latest process that was ordered to begin, and where.
    fn begun(&self) -> (NodeId, Begin) {
        let begin = |(node, order): &(NodeId, JobOrder)| match order {
            JobOrder::Begin(begin) => Some((*node, (**begin).clone())),
            _ => None,
        };
        let found = self.orders.iter().rev().find_map(begin);
        found.expect("a process was ordered to begin")
    }

    fn events(&self) -> Vec<&Event> {
        self.told.iter().map(|(event, _)| event).collect()
    }

    fn last_answer(&self) -> &Answer {
        &self.answers.last().expect("somebody was answered").1
    }

    /// Whether the job is over, refused for want of room or not.
    fn is_over(&self, is_refused: bool) -> bool {
        match &self.over {
            Some(None) => !is_refused,
            Some(Some((code, _))) => is_refused && *code == OwnCode::NeverFits,
            None => false,
        }
    }

    /// Lets time pass, in which the nodes answer their beats.
    fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.now += Duration::from_secs(1);
            self.cluster.handle_timeout(self.now);
            self.settle();
            for (node, sequence) in std::mem::take(&mut self.beats) {
                let report = Report::Beat { sequence };
                self.cluster.handle_report(node, report, self.now);
            }
            self.settle();
        }
    }

    fn was_told(&self, number: u32, meant: impl Fn(&Notice) -> bool) -> bool {
        self.orders.iter().any(|(_, order)| {
            matches!(order, JobOrder::Tell { number: to, notice } if *to == number && meant(notice))
        })
    }
}

/// What a node says of itself.
fn words(index: usize) -> NodeHello {
    NodeHello {
        version: VERSION,
        address: address(index),
        capacity: Resources::default(),
        incarnation: index as u128,
        arch: "x86_64".to_string(),
        isolation: String::new(),
        labels: Vec::new(),
        glibc: "2.36".into(),
        held: Vec::new(),
        secret: Secret::from_bytes([index as u8; 32]),
    }
}

fn address(index: usize) -> SocketAddr {
    ([10, 0, 0, index as u8 + 1], 9999).into()
}

fn gib_and_cores(gib: u64, cores: u64) -> Resources {
    Resources {
        mem: gib * Mem::GIB,
        cpu: Cpu::CORE * cores,
        gpu: 0,
    }
}

fn spawn(id: u64, resources: Resources, node: Option<&str>) -> Request {
    Request::Spawn(Box::new(SpawnRequest {
        id,
        function: Function {
            offset: 1,
            name: "hello::worker".to_string(),
        },
        argument: Argument::Inline(Vec::new()),
        name: None,
        resources,
        node: node.map(str::to_string),
        wait: false,
        link: false,
    }))
}

fn pid(number: u32) -> Pid {
    Pid::new(JOB, number)
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Spawned { .. } => "spawned",
        Event::Output { .. } => "output",
        Event::Noted { .. } => "noted",
        Event::Exited { .. } => "exited",
    }
}

fn who(event: &Event) -> Pid {
    match event {
        Event::Spawned { pid, .. }
        | Event::Output { pid, .. }
        | Event::Noted { pid, .. }
        | Event::Exited { pid, .. } => *pid,
    }
}

/// A job of one process that runs.
fn running(is_detached: bool) -> (World, NodeId) {
    let (mut world, _) = World::new(&[4]);
    world.run_and(None, is_detached);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    (world, node)
}

fn output(bytes: usize) -> JobReport {
    JobReport::Output {
        number: 0,
        stream: Stream::Stdout,
        bytes: vec![b'x'; bytes],
    }
}
