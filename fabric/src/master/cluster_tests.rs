//! Scenarios of whole clusters, without a session: each test plays the nodes and the clients.

use super::cluster::{About, Action, ClientId, Cluster};
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
            version: VERSION,
            address: address(index),
            capacity,
            incarnation: index as u128,
            arch: "x86_64".to_string(),
            isolation: String::new(),
            labels: labels.iter().map(|label| label.to_string()).collect(),
            glibc: "2.36".into(),
            held,
            secret: Secret::from_bytes([index as u8; 32]),
        };
        let name = format!("n{index}");
        self.cluster.handle_hello(name, hello, self.now)
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

#[test]
fn a_job_of_one_process_begins_speaks_and_ends() {
    let (mut world, nodes) = World::new(&[4]);
    world.run(None);
    assert!(matches!(world.orders[0], (_, JobOrder::Open(_))));
    let (node, begin) = world.begun();
    assert_eq!((node, begin.number, begin.parent), (nodes[0], 0, None));
    world.report(node, JobReport::Opened);
    world.report(node, JobReport::Begun { number: 0 });
    let stream = Stream::Stdout;
    let bytes = b"hello\n".to_vec();
    world.report(
        node,
        JobReport::Output {
            number: 0,
            stream,
            bytes,
        },
    );
    world.end(node, 0, End::Code(3));
    let kinds: Vec<&str> = world.events().iter().map(|event| kind(event)).collect();
    assert_eq!(kinds, ["spawned", "output", "exited"]);
    assert_eq!(world.orders.last(), Some(&(node, JobOrder::Close)));
    assert!(world.is_over(false));
    world.report(node, JobReport::Closed);
    let asked = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Jobs, asked);
    world.settle();
    assert_eq!(world.last_answer(), &Answer::Jobs(Vec::new()));
}

/// What a job takes of the master once that is written down, without the orders that are on their way.
fn condensed_bytes(world: &mut World, node: NodeId) -> usize {
    let orders = world.ordered(node);
    let job = JOB;
    (world.cluster).handle_report(node, Report::Taken { job, orders }, world.now);
    world.settle();
    let condensed = world.cluster.condense(JOB);
    condensed.expect("nothing is relayed").len()
}

#[test]
fn of_who_is_gone_eight_bytes_are_kept() {
    let (mut world, nodes) = World::new(&[4]);
    let node = nodes[0];
    world.run(None);
    world.report(node, JobReport::Begun { number: 0 });
    let mut bytes = Vec::new();
    for number in 1..=500 {
        let id = u64::from(number);
        world.ask(node, 0, spawn(2 * id, Resources::default(), None));
        world.report(node, JobReport::Begun { number });
        // Some that are waited for and some that wait, linked or late as they may be, in all ways to end that there are.
        let (waiter, awaited) = if number % 2 == 0 {
            (0, number)
        } else {
            (number, 0)
        };
        let wait = Request::Wait {
            id: 2 * id + 1,
            pid: pid(awaited),
        };
        world.ask(node, waiter, wait);
        if number == 7 {
            let signal = Ask::Signal { signal: 1 };
            world.cluster.handle_ask(CLIENT, signal, world.now);
            world.settle();
        }
        let end = match number % 3 {
            0 => End::Signal(9),
            _ => End::Code(number as i32 % 8),
        };
        world.end(node, number, end);
        if number % 100 == 0 {
            bytes.push(condensed_bytes(&mut world, node));
        }
    }
    assert!(bytes.is_sorted());
    assert_eq!(bytes[4] - bytes[0], 8 * 400, "{bytes:?}");
    // Whoever waits for one of them, however late, is told.
    let (id, late) = (7, pid(14));
    world.ask(node, 0, Request::Wait { id, pid: late });
    assert!(world.was_told(0, |notice| {
        let code = |status: &ExitStatus| status.code() == Some(6);
        matches!(notice, Notice::Waited { id: 7, status } if status.as_ref().is_some_and(code))
    }));
}

#[test]
fn a_child_elsewhere_is_announced_and_connected_from_here() {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    let second = nodes.into_iter().find(|node| *node != first).unwrap();
    world.report(first, JobReport::Begun { number: 0 });
    let there = if first == world.begun().0 { "n1" } else { "n0" };
    world.ask(first, 0, spawn(5, Resources::default(), Some(there)));
    let (node, begin) = world.begun();
    assert_eq!((node, begin.number, begin.asked), (second, 1, None));
    world.report(second, JobReport::Begun { number: 1 });
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Spawned { id: 5, result: Ok(child), .. } if *child == pid(1))
    }));
    let connect = JobOrder::Connect {
        one: 1,
        other: 0,
        at: Some(address(0)),
    };
    assert!(world.orders.contains(&(second, connect)));
}

/// Two processes on two nodes, neither of which can dial the other. Also the ends that were given out, the latest last.
fn apart() -> (World, [NodeId; 2], Vec<Relay>) {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    let second = nodes.into_iter().find(|node| *node != first).unwrap();
    world.report(first, JobReport::Begun { number: 0 });
    let there = if second < first { "n0" } else { "n1" };
    world.ask(first, 0, spawn(5, Resources::default(), Some(there)));
    world.report(second, JobReport::Begun { number: 1 });
    let failed = |one, other| {
        let why = "no route".to_string();
        JobReport::ConnectFailed { one, other, why }
    };
    world.report(second, failed(1, 0));
    let dialed = |order: &JobOrder| {
        matches!(
            order,
            JobOrder::Connect {
                one: 0,
                other: 1,
                ..
            }
        )
    };
    let last = world.orders.last().unwrap();
    assert!(last.0 == first && dialed(&last.1), "{last:?}");
    world.report(first, failed(0, 1));
    let relays = world.orders.iter().filter_map(|(_, order)| match order {
        JobOrder::Relay(relay) => Some((**relay).clone()),
        _ => None,
    });
    let relays = relays.collect();
    (world, [first, second], relays)
}

#[test]
fn who_cannot_be_dialed_either_way_is_connected_through_here() {
    let (mut world, [first, second], relays) = apart();
    let [one, other] = &relays[..] else {
        panic!("two ends were given out, and not {relays:?}");
    };
    assert_eq!((one.one, one.other, other.one, other.other), (0, 1, 1, 0));
    assert!(one.channel == other.channel && one.window == other.window);
    assert!(one.seal.secret == other.seal.secret && one.seal.role != other.seal.role);
    let channel = one.channel;
    let last = |world: &World| world.orders.last().cloned().unwrap();
    for piece in [Piece::Bytes(vec![1; 9]), Piece::End] {
        let (there, sent) = (second, piece.clone());
        world.report(first, JobReport::Relayed { channel, piece });
        let piece = sent;
        assert_eq!(last(&world), (there, JobOrder::Relayed { channel, piece }));
    }
    // One end is gone with its word, the other with its node.
    let over = |channel| JobReport::Relayed {
        channel,
        piece: Piece::Over,
    };
    world.report(first, over(channel));
    let told = JobOrder::Relayed {
        channel,
        piece: Piece::Over,
    };
    assert_eq!(last(&world), (second, told));
    world.report(second, over(channel));
    let count = world.orders.len();
    world.report(second, over(channel));
    assert_eq!(world.orders.len(), count);
    assert!(world.dismissed.is_empty());
}

#[test]
fn whoever_relays_more_than_was_granted_is_not_to_be_trusted() {
    let (mut world, [first, second], relays) = apart();
    let (channel, window) = (relays[0].channel, relays[0].window);
    let bytes = |count: usize| JobReport::Relayed {
        channel,
        piece: Piece::Bytes(vec![0; count]),
    };
    let mut left = window as usize;
    while left > 0 {
        let count = left.min(PIECE_BYTES_MAX);
        world.report(first, bytes(count));
        left -= count;
    }
    let piece = Piece::Credit(1);
    world.report(second, JobReport::Relayed { channel, piece });
    world.report(first, bytes(1));
    assert!(world.dismissed.is_empty());
    world.report(first, bytes(1));
    assert_eq!(world.dismissed, [first]);
    // Who is left hears that nothing follows.
    let over = JobOrder::Relayed {
        channel,
        piece: Piece::Over,
    };
    assert!(world.orders.contains(&(second, over)));
}

/// A node with an end of a relayed connection: its warden is killed and another begins, its session breaks and is made again,
/// and what is relayed leaves it whenever there is nothing else to say.
struct Relaying {
    world: World,
    /// Where it is, and where the process lives that goes on.
    node: NodeId,
    base: NodeId,
    channel: u32,
    /// What of the window the warden has not used.
    room: u64,
    has_warden: bool,
    /// What the warden has relayed and the node has not passed on.
    bulk: Vec<Piece>,
    asked: u64,
}

impl Relaying {
    fn new() -> Relaying {
        let (world, [base, node], relays) = apart();
        Relaying {
            world,
            node,
            base,
            channel: relays[0].channel,
            room: relays[0].window,
            has_warden: true,
            bulk: Vec::new(),
            asked: 100,
        }
    }

    fn step(&mut self, step: u8) {
        match step {
            0 if self.room >= 100 && self.has_warden => {
                self.room -= 100;
                self.bulk.push(Piece::Bytes(vec![7; 100]));
            }
            1 if self.has_warden => self.bulk.push(Piece::Over),
            2 | 3 if !self.bulk.is_empty() => {
                let (piece, channel) = (self.bulk.remove(0), self.channel);
                let relayed = JobReport::Relayed { channel, piece };
                self.world.report(self.node, relayed);
            }
            4 if self.has_warden => {
                self.has_warden = false;
                let why = "the job's warden has ended unexpectedly".to_string();
                self.world.report(self.node, JobReport::Failed { why });
            }
            5 if !self.has_warden => {
                self.asked += 1;
                let there = format!("n{}", self.index());
                self.world.ask(
                    self.base,
                    0,
                    spawn(self.asked, Resources::default(), Some(&there)),
                );
                let (at, begin) = self.world.begun();
                assert_eq!(at, self.node);
                self.world.report(
                    at,
                    JobReport::Begun {
                        number: begin.number,
                    },
                );
                self.has_warden = true;
            }
            // What its warden has said and the node has not read is still there in the next session.
            6 => self.resume(),
            _ => {}
        }
    }

    fn index(&self) -> usize {
        usize::from(self.node > self.base)
    }

    fn resume(&mut self) {
        let held = Held {
            job: JOB,
            orders: self.world.ordered(self.node),
            reports: 0,
        };
        let greeted = self.world.greet(self.index(), 4, &[], vec![held]);
        assert_eq!(greeted, Ok(self.node));
        self.world.settle();
    }
}

proptest! {
    /// A node is lost only by what it cannot honestly have said.
    #[test]
    fn what_is_relayed_may_come_late(steps in proptest::collection::vec(0u8..7, 0..60)) {
        let mut relaying = Relaying::new();
        for step in steps {
            relaying.step(step);
            prop_assert!(relaying.world.dismissed.is_empty(), "{:?}", relaying.world.notes);
        }
    }
}

#[test]
fn a_child_beside_its_parent_is_left_to_the_warden() {
    let (mut world, _) = World::new(&[4]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    world.ask(node, 0, spawn(5, Resources::default(), None));
    assert_eq!(world.begun().1.asked, Some(5));
    world.report(node, JobReport::Begun { number: 1 });
    assert!(!world.was_told(0, |notice| matches!(notice, Notice::Spawned { .. })));
}

#[test]
fn what_does_not_fit_is_refused_and_room_comes_back() {
    let (mut world, _) = World::new(&[4]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    world.ask(node, 0, spawn(1, gib_and_cores(3, 1), None));
    world.report(node, JobReport::Begun { number: 1 });
    world.ask(node, 0, spawn(2, gib_and_cores(3, 1), None));
    world.ask(node, 0, spawn(3, gib_and_cores(5, 1), None));
    let refused = |id: u64, never: bool| {
        world.was_told(0, |notice| match notice {
            Notice::Spawned {
                id: to,
                result: Err(refusal),
                ..
            } => *to == id && matches!(refusal, Refusal::NeverFits { .. }) == never,
            _ => false,
        })
    };
    assert!(refused(2, false) && refused(3, true));
    world.end(node, 1, End::Code(0));
    world.ask(node, 0, spawn(4, gib_and_cores(3, 1), None));
    assert_eq!(world.begun().1.number, 2);
}

#[test]
fn a_child_goes_where_the_label_is() {
    let (mut world, nodes) = World::new(&[4, 4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    world.report(first, JobReport::Begun { number: 0 });
    for (index, node) in nodes.iter().enumerate() {
        let label = format!("index={index}");
        world.ask(first, 0, spawn(1, Resources::default(), Some(&label)));
        assert_eq!(world.begun().0, *node);
    }
    world.ask(first, 0, spawn(9, Resources::default(), Some("index=3")));
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Spawned { id: 9, result: Err(Refusal::Launch { why }), .. }
            if why.starts_with("no node is called \"index=3\" or has that label"))
    }));
}

#[test]
fn local_is_the_node_of_whoever_asks_as_it_is_alone() {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (first, _) = world.begun();
    let other = if first == nodes[0] { 1 } else { 0 };
    world.report(first, JobReport::Begun { number: 0 });
    let label = format!("index={other}");
    world.ask(first, 0, spawn(1, Resources::default(), Some(&label)));
    assert_eq!(world.begun().0, nodes[other]);
    world.report(nodes[other], JobReport::Begun { number: 1 });
    for (node, process) in [(nodes[other], 1), (first, 0)] {
        world.ask(node, process, spawn(2, Resources::default(), Some("local")));
        assert_eq!(world.begun().0, node);
    }
}

#[test]
fn nodes_whose_labels_nobody_can_have_given_are_refused() {
    let (mut world, _) = World::new(&[]);
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for labels in [&["a b"][..], &["\u{1b}[2J"], &many] {
        assert!(world.hello(0, 1, labels).is_err(), "{labels:?}");
    }
    assert!(world.hello(0, 1, &many[..64]).is_ok());
}

#[test]
fn who_was_announced_gives_at_most_what_was_said_and_all_its_gpus() {
    let (mut world, _) = World::new(&[]);
    let said = [Some((2 * Mem::GIB, Cpu::CORE)), None];
    for (index, most) in said.into_iter().enumerate() {
        world.cluster.expect(address(index).to_string(), most);
    }
    let has = Resources {
        gpu: 3,
        ..gib_and_cores(4, 8)
    };
    for index in 0..2 {
        world.greet_with(index, has, &[], Vec::new()).unwrap();
    }
    let now = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Nodes, now);
    world.settle();
    let Some((_, Answer::Nodes(nodes))) = world.answers.last() else {
        panic!("{:?}", world.answers);
    };
    let bounded = Resources {
        gpu: 3,
        ..gib_and_cores(2, 1)
    };
    assert_eq!(nodes.len(), 2);
    for (node, capacity) in nodes.iter().zip([bounded, has]) {
        assert_eq!((node.capacity, node.free), (capacity, capacity));
    }
}

#[test]
fn a_refusal_counts_the_nodes_that_it_does_not_name() {
    let (mut world, _) = World::new(&[4; 11]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    world.ask(node, 0, spawn(1, gib_and_cores(5, 1), None));
    assert!(world.was_told(0, |notice| {
        match notice {
            Notice::Spawned {
                result: Err(refusal),
                ..
            } => refusal
                .to_string()
                .ends_with(" (3 other nodes are not named)"),
            _ => false,
        }
    }));
}

#[test]
fn a_job_that_never_fits_is_refused_with_its_code() {
    let (mut world, _) = World::new(&[4]);
    world.run(Some(gib_and_cores(64, 1)));
    assert!(world.is_over(true));
    let Some(Some((_, why))) = &world.over else {
        panic!("it was refused");
    };
    assert!(why.contains("64GiB"), "{why}");
}

#[test]
fn an_initial_process_that_needs_more_is_moved_unseen() {
    let (mut world, nodes) = World::new(&[1, 16]);
    world.run(None);
    let (small, _) = world.begun();
    assert_eq!(small, nodes[0], "the fullest that it fits on");
    world.report(small, JobReport::Begun { number: 0 });
    let resources = gib_and_cores(8, 1);
    world.ask(small, 0, Request::Need { id: 1, resources });
    assert!(
        world
            .orders
            .contains(&(small, JobOrder::Kill { number: 0 }))
    );
    let (large, begin) = world.begun();
    assert_eq!((large, begin.number, begin.parent), (nodes[1], 1, None));
    world.end(small, 0, End::Signal(9));
    world.report(large, JobReport::Begun { number: 1 });
    world.ask(large, 1, Request::Need { id: 1, resources });
    assert!(world.was_told(1, |notice| matches!(notice, Notice::Granted { id: 1, .. })));
    world.end(large, 1, End::Code(0));
    let told: Vec<Pid> = world.events().iter().map(|event| who(event)).collect();
    assert_eq!(told, [pid(1), pid(1)], "nobody hears of the first");
}

#[test]
fn an_initial_process_that_needs_too_much_ends_the_job() {
    let (mut world, _) = World::new(&[4]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    let resources = gib_and_cores(64, 1);
    world.ask(node, 0, Request::Need { id: 1, resources });
    assert!(world.orders.contains(&(node, JobOrder::Kill { number: 0 })));
    world.end(node, 0, End::Signal(9));
    assert!(world.is_over(true));
    assert!(world.events().is_empty());
}

#[test]
fn a_silent_node_is_suspected_then_lost_and_its_processes_with_it() {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (here, _) = world.begun();
    let there = nodes.iter().copied().find(|node| *node != here).unwrap();
    world.report(here, JobReport::Begun { number: 0 });
    world.ask(here, 0, spawn(1, Resources::default(), Some("n1")));
    world.report(there, JobReport::Begun { number: 1 });
    let start = world.now;
    let mut beat = 0;
    while world.dismissed.is_empty() {
        world.now += Duration::from_secs(1);
        beat += 1;
        let now = world.now;
        world.cluster.handle_timeout(now);
        let sequence = beat;
        world
            .cluster
            .handle_report(here, Report::Beat { sequence }, now);
        world.settle();
    }
    assert_eq!(world.dismissed, [there]);
    assert_eq!(world.now - start, Duration::from_secs(12));
    let lost = |event: &&Event| match event {
        Event::Exited { pid: who, status } => {
            *who == pid(1) && status.reason() == Some(Reason::NodeLost)
        }
        _ => false,
    };
    assert!(world.events().iter().any(lost));
    let by = world.told.iter().filter_map(|(_, by)| by.as_deref());
    assert_eq!(by.collect::<Vec<_>>(), ["12 s of silence"]);
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Ended { peer, .. } if *peer == pid(1))
    }));
    // What it still says is not heard.
    world.report(there, JobReport::Left { number: 1 });
}

#[test]
fn who_loses_a_warden_hears_of_each_end() {
    let (mut world, nodes) = World::new(&[4, 4]);
    world.run(None);
    let (here, _) = world.begun();
    let there = nodes.iter().copied().find(|node| *node != here).unwrap();
    world.report(here, JobReport::Begun { number: 0 });
    world.ask(here, 0, spawn(1, Resources::default(), Some("n1")));
    world.report(there, JobReport::Begun { number: 1 });
    let why = "the job's warden has ended unexpectedly".to_string();
    world.report(there, JobReport::Failed { why });
    let orphaned = |event: &&Event| match event {
        Event::Exited { pid: who, status } => {
            *who == pid(1) && status.reason() == Some(Reason::Orphaned)
        }
        _ => false,
    };
    assert!(world.events().iter().any(orphaned));
    assert!(world.was_told(0, |notice| {
        matches!(notice, Notice::Ended { peer, .. } if *peer == pid(1))
    }));
    // Another begins there, under a warden of its own.
    world.ask(here, 0, spawn(2, Resources::default(), Some("n1")));
    let opened =
        |(node, order): &&(NodeId, JobOrder)| *node == there && matches!(order, JobOrder::Open(_));
    assert_eq!(world.orders.iter().filter(opened).count(), 2);
}

#[test]
fn credit_goes_back_where_the_output_came_from() {
    let (mut world, _) = World::new(&[4]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    for _ in 0..2 {
        let stream = Stream::Stdout;
        let bytes = vec![b'x'; 100];
        world.report(
            node,
            JobReport::Output {
                number: 0,
                stream,
                bytes,
            },
        );
    }
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Credit { bytes: 150 }, now);
    world.settle();
    assert_eq!(
        world.orders.last(),
        Some(&(node, JobOrder::Credit { bytes: 150 }))
    );
}

#[test]
fn what_is_packed_is_passed_on_and_counts_as_what_it_stands_for() {
    let (mut world, node) = running(false);
    let stream = Stream::Stderr;
    let packed = Packed::new(1000, vec![1; 10]).unwrap();
    let told = packed.clone();
    world.report(
        node,
        JobReport::Packed {
            number: 0,
            stream,
            packed,
        },
    );
    assert_eq!(world.passed, [(pid(0), stream, told)]);
    let now = world.now;
    let credit = Ask::Credit { bytes: 2000 };
    world.cluster.handle_ask(CLIENT, credit, now);
    world.settle();
    let granted = JobOrder::Credit { bytes: 1000 };
    assert_eq!(world.orders.last(), Some(&(node, granted)));
}

#[test]
fn a_node_that_makes_no_sense_is_dismissed() {
    let (mut world, _) = World::new(&[4]);
    world.run(None);
    let (node, _) = world.begun();
    world.report(node, JobReport::Begun { number: 0 });
    world.report(node, JobReport::Left { number: 0 });
    assert_eq!(world.dismissed, [node]);
    assert!(world.over.is_some());
    let by = "a report that makes no sense, which is an error in Deploy: of job";
    let why = "Left { number: 0 }: that process lives";
    let says = |text: &str| text.contains(by) && text.ends_with(why);
    let exited = world.told.last().and_then(|(_, by)| by.as_deref());
    assert!(says(exited.unwrap()) && says(world.notes.last().unwrap()));
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

#[test]
fn a_job_that_is_left_alone_ends_after_its_grace() {
    let (mut world, node) = running(false);
    let now = world.now;
    world.cluster.handle_client_gone(CLIENT, now);
    world.pass(GRACE - Duration::from_secs(1));
    let kill = (node, JobOrder::Kill { number: 0 });
    assert!(!world.orders.contains(&kill));
    world.pass(Duration::from_secs(1));
    assert!(world.orders.contains(&kill));
    world.report(node, output(1));
    world.end(node, 0, End::Signal(9));
    let (event, by) = world.told.last().unwrap();
    assert_eq!(kind(event), "exited");
    assert!(
        by.as_deref()
            .unwrap()
            .contains("its person was gone for 60 s")
    );
}

#[test]
fn a_job_that_is_detached_goes_on_and_so_does_one_that_is_come_back_to() {
    let (mut world, node) = running(true);
    let input = JobOrder::Input { bytes: Vec::new() };
    assert!(world.orders.contains(&(node, input)), "nobody will type");
    let now = world.now;
    world.cluster.handle_client_gone(CLIENT, now);
    world.pass(GRACE * 2);

    let other = ClientId(2);
    let now = world.now;
    world.cluster.handle_client(other, "ada".to_string(), now);
    let handed = world.cluster.attach(other, JOB).unwrap();
    assert!(handed.is_detached);
    world.cluster.handle_client_gone(other, now);
    world.pass(GRACE * 2);
    assert!(!world.orders.contains(&(node, JobOrder::Kill { number: 0 })));
}

#[test]
fn one_client_has_a_job_the_latest() {
    let (mut world, node) = running(false);
    let bytes = b"typed".to_vec();
    let now = world.now;
    world.cluster.handle_ask(CLIENT, Ask::Input { bytes }, now);
    let other = ClientId(2);
    world.cluster.handle_client(other, "ada".to_string(), now);
    world.report(node, JobReport::InputTaken { bytes: 3 });
    let handed = world.cluster.attach(other, JOB).unwrap();
    assert_eq!((handed.input, handed.input_taken), (5, 3));
    world.settle();
    assert_eq!(world.parted, [CLIENT]);
    // Whoever had it before does nothing to it any more, also not by going.
    world
        .cluster
        .handle_ask(CLIENT, Ask::Signal { signal: 9 }, now);
    world.cluster.handle_client_gone(CLIENT, now);
    for _ in 0..GRACE.as_secs() {
        world.pass(Duration::from_secs(1));
        let now = world.now;
        world.cluster.handle_heard(other, now);
    }
    assert!(!world.orders.contains(&(node, JobOrder::Kill { number: 0 })));
    let signal = |signal| (node, JobOrder::Signal { number: 0, signal });
    let now = world.now;
    for said in [i32::MIN, 0, 65, 15] {
        let ask = Ask::Signal { signal: said };
        world.cluster.handle_ask(other, ask, now);
    }
    world.settle();
    assert!(world.orders.contains(&signal(15)));
    let is_none = |said: i32| world.orders.contains(&signal(said));
    assert!(![i32::MIN, 0, 65].into_iter().any(is_none), "no signals");
}

#[test]
fn a_client_that_says_nothing_is_gone_unless_it_said_so() {
    for is_stopped in [false, true] {
        let (mut world, node) = running(false);
        if is_stopped {
            let now = world.now;
            world.cluster.handle_ask(CLIENT, Ask::Stopped, now);
        }
        world.pass(GONE_AFTER + Duration::from_secs(1));
        assert_eq!(world.parted.contains(&CLIENT), !is_stopped);
        world.pass(GRACE);
        let kill = (node, JobOrder::Kill { number: 0 });
        assert_eq!(world.orders.contains(&kill), !is_stopped);
    }
}

#[test]
fn writers_wait_for_the_client_that_has_their_job_and_for_nobody_else() {
    let (mut world, node) = running(false);
    let credit = |world: &World| {
        let orders = world.orders.iter();
        let bytes = orders.map(|(_, order)| match order {
            JobOrder::Credit { bytes } => *bytes,
            _ => 0,
        });
        bytes.skip(2).sum::<u64>() // The first is granted with `Open`.
    };
    world.report(node, output(100));
    assert_eq!(credit(&world), 0);
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Credit { bytes: 30 }, now);
    world.settle();
    assert_eq!(credit(&world), 30);
    world.cluster.handle_client_gone(CLIENT, now);
    world.settle();
    assert_eq!(credit(&world), 100);
    world.report(node, output(50));
    assert_eq!(credit(&world), 150);
}

#[test]
fn input_that_the_first_had_goes_to_the_one_in_its_place() {
    let (mut world, _) = World::new(&[1, 16]);
    world.run(None);
    let (small, _) = world.begun();
    world.report(small, JobReport::Begun { number: 0 });
    let bytes = b"typed".to_vec();
    let now = world.now;
    world.cluster.handle_ask(
        CLIENT,
        Ask::Input {
            bytes: bytes.clone(),
        },
        now,
    );
    world.report(small, JobReport::InputTaken { bytes: 5 });
    assert_eq!(world.last_answer(), &Answer::InputTaken { bytes: 5 });
    let resources = gib_and_cores(8, 1);
    world.ask(small, 0, Request::Need { id: 1, resources });
    let (large, _) = world.begun();
    assert!(world.orders.contains(&(large, JobOrder::Input { bytes })));
    world.end(small, 0, End::Signal(9));
    world.report(large, JobReport::Begun { number: 1 });
    world.report(large, JobReport::InputTaken { bytes: 6 });
    assert_eq!(world.dismissed, [large], "more than it was sent");
}

#[test]
fn who_killed_is_known() {
    let (mut world, node) = running(false);
    world.ask(node, 0, spawn(1, Resources::default(), None));
    world.ask(node, 0, spawn(2, Resources::default(), None));
    for number in [1, 2] {
        world.report(node, JobReport::Begun { number });
    }
    world.ask(node, 0, Request::Kill { id: 7, pid: pid(1) });
    world.end(node, 1, End::Signal(9));
    let (job, process) = (JOB.to_string(), Some(pid(2).to_string()));
    let now = world.now;
    world
        .cluster
        .handle_ask(CLIENT, Ask::Kill { job, process }, now);
    world.settle();
    world.end(node, 2, End::Signal(9));
    let causes: Vec<Option<String>> = world.told.iter().map(|(_, by)| by.clone()).collect();
    let process = Some(format!("process {}", pid(0)));
    assert!(causes.contains(&process) && causes.contains(&Some("ada".to_string())));
    let wanted =
        |event: &&Event| matches!(event, Event::Exited { status, .. } if !status.is_failure());
    assert_eq!(world.events().iter().copied().filter(wanted).count(), 2);
}
