//! One scenario's monitor, and what became known.

use crate::scenarios::Scenario;
use deploy_monitor::{Audience, Channels, Config, Monitor, Program};
use deploy_sys::process::{self, DescriptorLimit};
use deploy_wire::{
    event::{Event, Stream},
    exit::ExitStatus,
    pid::{Job, Pid},
    resources::Resources,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    time::{Duration, Instant},
};

/// Everything that became known of a job, in order.
#[derive(Default)]
pub struct Record {
    pub events: Vec<Event>,
    /// When each of them came.
    pub times: Vec<Instant>,
    /// The stream that is wanted no more once something has been heard.
    pub unwanted: Option<Stream>,
    /// There is no room for output until the process of this number is born, and for a moment longer.
    pub full_until_born: Option<u32>,
    full_until: Option<Instant>,
}

/// The limit on descriptors under which monitors are started here.
pub const SOFT_LIMIT: u64 = 700;

/// Runs a scenario's job and checks what came of it.
pub fn run(scenario: &Scenario) {
    let limit = process::descriptor_limit().expect("the kernel knows it");
    let soft = DescriptorLimit {
        soft: SOFT_LIMIT,
        ..limit
    };
    process::limit_descriptors_of(std::process::id(), soft).expect("a soft limit may be lowered");
    let open_before = open_descriptors();
    let mut config = Config {
        program: Program {
            exe: "/proc/self/exe".into(),
            args: vec!["family".into()],
            env: env::vars_os().collect(),
            wrap: None,
            initial_worker: scenario.name.into(),
        },
        job: Job::from_bits(u128::from(std::process::id()) << 64 | 0x5eed),
        image: 0,
        node: "local".into(),
        capacity: None,
        resources: Resources::default(),
        channels: Channels::default(),
        stdout_is_terminal: false,
        stderr_is_terminal: false,
    };
    config
        .program
        .env
        .push(("SCENARIO".into(), scenario.name.into()));
    (scenario.configure)(&mut config);
    let job = config.job;
    let mut record = Record::default();
    (scenario.listen)(&mut record);
    let monitor = Monitor::new(config).expect("a monitor can be made");
    let outcome = monitor.run(&mut record);
    record.check_order();
    (scenario.check)(&record, outcome);
    assert_eq!(process::children(), [], "no child is left");
    assert!(
        !groups().any(|name| name.contains(&job.to_string())),
        "no group is left"
    );
    // Handlers may run until the end, so their pipe's writing end stays.
    let new: Vec<_> = open_descriptors()
        .difference(&open_before)
        .cloned()
        .collect();
    assert_eq!(new.len(), 1, "descriptors are left: {new:?}");
}

impl Record {
    /// The processes in the order of their birth.
    pub fn pids(&self) -> Vec<Pid> {
        let born = self.events.iter().filter_map(|event| match event {
            Event::Spawned { pid, .. } => Some(*pid),
            _ => None,
        });
        born.collect()
    }

    /// What the process of that number wrote.
    pub fn text(&self, number: u32, stream: Stream) -> String {
        let mut text = Vec::new();
        for event in &self.events {
            match event {
                Event::Output {
                    pid,
                    stream: at,
                    bytes,
                } if pid.number() == number && *at == stream => {
                    text.extend_from_slice(bytes);
                }
                _ => {}
            }
        }
        String::from_utf8(text).expect("scenarios write text")
    }

    /// What it wrote to standard output.
    pub fn stdout(&self, number: u32) -> String {
        self.text(number, Stream::Stdout)
    }

    /// How it ended.
    pub fn status(&self, number: u32) -> ExitStatus {
        let status = self.events.iter().find_map(|event| match event {
            Event::Exited { pid, status } if pid.number() == number => Some(*status),
            _ => None,
        });
        status.expect("every process ends")
    }

    /// Each process has one birth and one end, and all its output between them.
    fn check_order(&self) {
        let mut alive = BTreeMap::new();
        for event in &self.events {
            match event {
                Event::Spawned { pid, .. } => {
                    assert_eq!(alive.insert(*pid, true), None, "{event:?}")
                }
                Event::Output { pid, bytes, .. } => {
                    assert!(
                        alive.get(pid) == Some(&true) && !bytes.is_empty(),
                        "{event:?}"
                    );
                }
                Event::Noted { pid, .. } => {
                    assert_eq!(alive.get(pid), Some(&true), "{event:?}");
                }
                Event::Exited { pid, .. } => {
                    assert_eq!(alive.insert(*pid, false), Some(true), "{event:?}")
                }
            }
        }
        assert!(
            alive.values().all(|is_alive| !is_alive),
            "{:?}",
            self.events
        );
    }
}

impl Audience for Record {
    fn handle_event(&mut self, event: Event, now: Instant) {
        if let Event::Spawned { pid, .. } = &event
            && self.full_until_born == Some(pid.number())
        {
            self.full_until_born = None;
            self.full_until = Some(now + Duration::from_millis(50));
        }
        self.events.push(event);
        self.times.push(now);
    }

    fn is_full(&self) -> bool {
        self.full_until_born.is_some() || self.full_until.is_some()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.full_until
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.full_until = None;
    }

    fn wants(&self, stream: Stream) -> bool {
        let heard = self
            .events
            .iter()
            .any(|event| matches!(event, Event::Output { .. }));
        !(heard && self.unwanted == Some(stream))
    }

    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// The numbers and files of this process's descriptors.
fn open_descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("the kernel lists them");
    let mut entries: BTreeSet<String> = entries
        .flatten()
        .map(|entry| {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            format!("{} {}", entry.file_name().display(), target.display())
        })
        .collect();
    // The one that the listing itself has open.
    entries.retain(|entry| !entry.contains("/proc/"));
    entries
}

/// The names of the groups beside our own.
fn groups() -> impl Iterator<Item = String> {
    let roots = [
        "/sys/fs/cgroup/unified",
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/freezer",
    ];
    let entries = roots
        .into_iter()
        .flat_map(|root| fs::read_dir(root).into_iter().flatten());
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
}
