//! What a master makes of all that nodes and clients say to it once they are let in: nodes that anybody may have taken over,
//! and clients of people who want each other's jobs.
//!
//! The input is a script: of each step one byte says who does what, one how long its message is, and then comes the message,
//! encoded as it would travel. A report of a job mostly has the number that is its turn, so that more is reached than the
//! first one.
//!
//! Held to be true, besides that nothing fails: what is sent can be read; and what was written down of a job, whoever had it
//! say so, is what a master that is started again can go on from.
//!
//! Deliberately absent: programs, certificates and the desk, which the loop looks after (`serve/hearing.rs`).

use crate::{Target, words};
use deploy_wire::{
    client::{Answer, Ask, RunRequest},
    control::{Argument, Function, Request, SpawnRequest},
    event::{Event, Stream},
    exit::End,
    job::JobReport,
    node::{NodeHello, Order, Report},
    pid::{Job, Pid},
    resources::Resources,
    samples,
};
use fabric::{
    master::{
        admission,
        cluster::{About, Action, ClientId, Cluster},
        desk::Retold,
        journal::{self, Earlier},
    },
    scheduler::NodeId,
};
use std::{
    collections::BTreeMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

pub(crate) const MASTER: Target = Target {
    name: "master",
    check: |input| {
        let (choice, script) = input.split_first().unwrap_or((&1, &[]));
        let mut world = World::new();
        let mut script = Script(script);
        while let Some((step, message)) = script.step() {
            world.step(step, message);
            world.settle();
            words::given(1);
        }
        // To go on takes as long as all before.
        if choice % 8 == 0 {
            world.go_on();
        }
        // Names, texts and lists, in messages, machines and journals.
        (1 << 20) + 400 * input.len()
    },
    seeds,
    short: 3_000,
};

struct World {
    cluster: Cluster,
    now: Instant,
    nodes: [Option<NodeId>; 2],
    /// How many reports each node has made of each job.
    said: BTreeMap<(NodeId, Job), u64>,
    /// What is written down of each job.
    journals: BTreeMap<Job, Vec<u8>>,
    jobs_made: u32,
}

impl World {
    /// Two nodes, two people, and a job of the first one's.
    fn new() -> World {
        let mut world = World {
            cluster: Cluster::new("head".to_string()),
            now: *BEGINNING,
            nodes: [None; 2],
            said: BTreeMap::new(),
            journals: BTreeMap::new(),
            jobs_made: 0,
        };
        for (index, client) in CLIENTS.into_iter().enumerate() {
            world.hello(index, HELLO.clone());
            let user = ["ada", "bob"][index].to_string();
            world.cluster.handle_client(client, user, world.now);
        }
        world.run(CLIENTS[0], REQUEST.clone());
        world.settle();
        world
    }

    fn step(&mut self, step: u8, message: &[u8]) {
        let which = usize::from(step >> 4) % 2;
        let (node, client, now) = (self.nodes[which], CLIENTS[which], self.now);
        match step % 16 {
            TIME => {
                let bytes = message.first_chunk().unwrap_or(&[0; 2]);
                self.now += Duration::from_millis(u16::from_le_bytes(*bytes).into());
                self.cluster.handle_timeout(self.now);
            }
            GONE => {
                if let Some(node) = node {
                    self.cluster.handle_node_gone(node);
                }
            }
            LEFT => {
                if let Some(node) = self.nodes[which].take() {
                    let is_removed = message.is_empty();
                    self.cluster.handle_node_left(node, is_removed, now);
                }
            }
            AWAY => {
                self.cluster.handle_client_gone(client, now);
                self.cluster.handle_client(client, "ada".to_string(), now);
            }
            ASK => {
                if let Ok(ask) = Ask::decode(message) {
                    self.ask(client, ask);
                }
            }
            REPORT => match (Report::decode(message), node) {
                (Ok(Report::Hello(hello)), _) => self.hello(which, *hello),
                (Ok(report), Some(node)) => self.cluster.handle_report(node, report, now),
                _ => {}
            },
            _ => {
                if let (Ok(report), Some(node)) = (JobReport::decode(message), node) {
                    self.report(node, report);
                }
            }
        }
    }

    fn hello(&mut self, which: usize, hello: NodeHello) {
        let name = ["n1", "n2"][which].to_string();
        if let Ok(node) = self.cluster.handle_hello(name, hello, &[], self.now) {
            self.nodes[which] = Some(node);
        }
    }

    /// The next report of the first job.
    fn report(&mut self, node: NodeId, report: JobReport) {
        let said = self.said.entry((node, job(0))).or_default();
        *said += u64::from(!matches!(report, JobReport::Relayed { .. }));
        let report = Report::Job {
            job: job(0),
            sequence: *said,
            report,
            file: None,
        };
        self.cluster.handle_report(node, report, self.now);
    }

    fn ask(&mut self, client: ClientId, ask: Ask) {
        self.cluster.handle_heard(client, self.now);
        match ask {
            Ask::Run(request) => self.run(client, *request),
            Ask::Attach { .. } => drop(self.cluster.attach(client, job(0))),
            Ask::Image { .. } | Ask::Chunk { .. } | Ask::Renew => {}
            Ask::Logs { .. } | Ask::Why { .. } | Ask::Past => {}
            ask => self.cluster.handle_ask(client, ask, self.now),
        }
    }

    fn run(&mut self, client: ClientId, request: RunRequest) {
        let id = job(self.jobs_made);
        let about = About {
            user: self.cluster.user(client),
            key: [3; 32],
            request,
        };
        if admission::check(&about.request).is_err() {
            return;
        }
        let first = journal::first(&about);
        if self.cluster.run(client, id, about, self.now) {
            self.jobs_made += 1;
            self.journals.insert(id, first);
            self.cluster.begin(id, self.now);
        }
    }

    /// Does what is to be done.
    fn settle(&mut self) {
        while let Some(action) = self.cluster.poll_action() {
            match action {
                Action::Order(_, order) => {
                    assert_eq!(Order::decode(&order.encode()), Ok(order));
                }
                Action::Answer(_, answer) => comes_back(answer),
                Action::Part(client, answer) => {
                    comes_back(answer);
                    self.cluster.handle_client_gone(client, self.now);
                }
                Action::Keep(job, entry) => {
                    if let Some(journal) = self.journals.get_mut(&job) {
                        journal::add(journal, &entry);
                    }
                }
                Action::Over(job, _) => drop(self.journals.remove(&job)),
                Action::Dismiss(node) => {
                    self.nodes
                        .iter_mut()
                        .filter(|one| **one == Some(node))
                        .for_each(|one| *one = None);
                }
                Action::Told { .. } | Action::Passed { .. } | Action::Note(_) => {}
            }
        }
    }

    /// As a master that is started again.
    fn go_on(mut self) {
        let mut later = Cluster::new("head".to_string());
        if let Some(nodes) = self.cluster.poll_nodes() {
            let known = later.restore_nodes(&nodes, self.now);
            known.expect("it was written by a master");
        }
        for (id, journal) in self.journals {
            let earlier = Earlier::read(journal).expect("it was written by a master");
            let mut retold = Retold::default();
            let restored = later.restore_job(
                id,
                earlier.about.clone(),
                (None, earlier.happenings()),
                |event: Event, by| retold.handle(&event, by),
                self.now,
            );
            restored.expect("nothing was condensed");
            if let Some(condensed) = self.cluster.condense(id) {
                let restored = Cluster::new("head".to_string()).restore_job(
                    id,
                    earlier.about,
                    (Some(&condensed), std::iter::empty()),
                    |_, _| (),
                    self.now,
                );
                restored.expect("what was written is read");
            }
        }
        later.begin_again(self.now);
    }
}

fn comes_back(answer: Answer) {
    assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
}

/// What is left of it.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn step(&mut self) -> Option<(u8, &'a [u8])> {
        let ([step, len], rest) = self.0.split_first_chunk()?;
        let (message, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        self.0 = rest;
        Some((*step, message))
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let step = |step: u8, message: &[u8]| {
        let len = u8::try_from(message.len()).expect("samples are short");
        [&[step, len], message].concat()
    };
    let says = |node: u8, report: JobReport| step(SAYS | node << 4, &report.encode());
    let asks = |client: u8, ask: Ask| step(ASK | client << 4, &ask.encode());
    let spawn = |id: u64| {
        Request::Spawn(Box::new(SpawnRequest {
            id,
            function: Function {
                offset: -4096,
                name: "hello::worker".into(),
            },
            argument: Argument::Inline(vec![7; 9]),
            ..sample_spawn()
        }))
    };
    let asked = |from: u32, request: Request| says(0, JobReport::Asked { from, request });
    let number = 0;
    let begins = [
        says(0, JobReport::Opened),
        says(0, JobReport::Begun { number }),
        asked(0, spawn(1)),
        says(0, JobReport::Begun { number: 1 }),
    ]
    .concat();
    let output = JobReport::Output {
        number: 1,
        stream: Stream::Stdout,
        bytes: b"a line\n".to_vec(),
    };
    let end = |number: u32| {
        let died = JobReport::Died {
            number,
            end: End::Code(0),
            shortage: None,
        };
        [says(0, died), says(0, JobReport::Left { number })].concat()
    };
    let ends = [end(1), end(0), says(0, JobReport::Closed)].concat();
    let pid = Pid::new(job(0), 1);
    let talks = [
        says(0, output.clone()),
        asked(0, Request::Wait { id: 2, pid }),
        asks(0, Ask::Credit { bytes: 1 << 20 }),
        asks(
            0,
            Ask::Input {
                bytes: b"typed".to_vec(),
            },
        ),
        says(0, JobReport::InputTaken { bytes: 5 }),
        asked(0, spawn(3)),
        says(0, output),
    ]
    .concat();
    let with = |choice: u8, steps: &[&[u8]]| [&[choice], &steps.concat()[..]].concat();
    let mut seeds = vec![
        with(0, &[&begins, &talks, &ends]),
        with(1, &[&begins, &talks, &talks, &talks]),
        with(
            2,
            &[
                &begins,
                &step(GONE, &[]),
                &step(REPORT, &Report::Hello(Box::new(HELLO.clone())).encode()[..]),
                &talks,
            ],
        ),
        with(
            3,
            &[
                &begins,
                &talks,
                &step(LEFT, &[]),
                &step(TIME, &[0xff, 0xff]),
            ],
        ),
        with(
            4,
            &[
                &begins,
                &step(AWAY, &[]),
                &step(TIME, &[0xff, 0xff]),
                &talks,
            ],
        ),
    ];
    let reports = samples::job::reports();
    let said: Vec<u8> = reports
        .into_iter()
        .flat_map(|report| says(0, report))
        .collect();
    seeds.push(with(5, &[&begins, &said]));
    let asks: Vec<u8> = samples::client::asks()
        .into_iter()
        .filter(|ask| ask.encode().len() < 256)
        .flat_map(|ask| asks(0, ask))
        .collect();
    seeds.push(with(6, &[&begins, &asks]));
    let words: Vec<u8> = samples::node::reports()
        .iter()
        .map(Report::encode)
        .filter(|message| message.len() < 256)
        .flat_map(|message| step(REPORT | 16, &message))
        .collect();
    seeds.push(with(7, &[&begins, &words]));
    seeds
}

fn sample_spawn() -> SpawnRequest {
    let requests = samples::process::requests().into_iter();
    let mut spawns = requests.filter_map(|request| match request {
        Request::Spawn(spawn) => Some(*spawn),
        _ => None,
    });
    spawns.next().expect("it is a message")
}

fn job(number: u32) -> Job {
    Job::from_bits(7 + u128::from(number))
}

/// Nobody's clock: what is asked of it is the same each time.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

static HELLO: LazyLock<NodeHello> = LazyLock::new(|| {
    let reports = samples::node::reports().into_iter();
    let mut hellos = reports.filter_map(|report| match report {
        Report::Hello(hello) => Some(*hello),
        _ => None,
    });
    NodeHello {
        held: Vec::new(),
        ..hellos.next().expect("it is a message")
    }
});

static REQUEST: LazyLock<RunRequest> = LazyLock::new(|| {
    let asks = samples::client::asks().into_iter();
    let mut requests = asks.filter_map(|ask| match ask {
        Ask::Run(request) => Some(*request),
        _ => None,
    });
    RunRequest {
        resources: Some(Resources::default()),
        is_here: false,
        ..requests.next().expect("it is a message")
    }
});

const CLIENTS: [ClientId; 2] = [ClientId(1), ClientId(2)];

/// Time passes.
const TIME: u8 = 0;
/// A node's session ends.
const GONE: u8 = 1;
/// With a goodbye.
const LEFT: u8 = 2;
/// A client's session ends, and another begins.
const AWAY: u8 = 3;
/// A client asks.
const ASK: u8 = 4;
/// A node says something.
const REPORT: u8 = 5;
/// It reports of the job; so do all steps that are none of these.
const SAYS: u8 = 6;
