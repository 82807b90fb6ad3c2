//! Every program in `programs/`, each a test of its own, once more with its processes connected as on two machines, and
//! all of them one after the other on a cluster of one node and of three.

use deploy_tests::{cluster::Cluster, harness, run, trials};
use std::{collections::BTreeSet, fs, path::Path};

fn main() {
    // The longest first.
    let mut tests = trials![
        on_a_cluster_of_three_nodes,
        on_a_cluster_of_one_node,
        at_the_laptop_and_on_a_cluster_of_three_nodes,
        on_a_node_of_the_size_that_a_program_asks_for,
        a_few_over_tcp_without_encryption,
        every_program_in_the_directory_is_tested,
    ];
    for program in PROGRAMS {
        let Program { name, .. } = program;
        let over = |channels: &'static str| {
            harness::trial(&format!("{channels}::{name}"), || program.over(channels))
        };
        tests.push(harness::trial(name, || program.alone()));
        tests.push(over("tcp"));
        tests.extend(IN_MEMORY.contains(name).then(|| over("memory")));
    }
    harness::run(tests, AT_ONCE_MIN)
}

/// A program in `programs/`.
struct Program {
    name: &'static str,
    path: &'static str,
    source: &'static str,
}

impl Program {
    fn alone(&self) {
        run::alone(Path::new(self.path), self.source);
    }

    fn over(&self, channels: &str) {
        run::alone_over(channels, Path::new(self.path), self.source);
    }
}

/// These programs, wherever cargo has put them.
macro_rules! programs {
    ($($name:ident)*) => {
        [$(Program {
            name: stringify!($name),
            path: env!(concat!("CARGO_BIN_EXE_", stringify!($name))),
            source: include_str!(concat!("../programs/", stringify!($name), ".rs")),
        }),*]
    };
}

fn a_few_over_tcp_without_encryption() {
    let few = PROGRAMS.iter().filter(|it| IN_PLAIN.contains(&it.name));
    few.for_each(|program| program.over("tcp-plain"));
}

fn every_program_in_the_directory_is_tested() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let files = fs::read_dir(directory).unwrap().map(|file| {
        let path = file.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_string()
    });
    let tested: BTreeSet<String> = PROGRAMS.iter().map(|it| it.name.to_string()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), tested);
    let mut picked = [IN_MEMORY, IN_PLAIN, AT_THE_LAPTOP].into_iter().flatten();
    assert!(picked.all(|name| tested.contains(*name)));
}

fn on_a_cluster_of_one_node() {
    on_nodes(&[], false);
}

fn on_a_cluster_of_three_nodes() {
    on_nodes(&["n1", "n2"], false);
}

fn at_the_laptop_and_on_a_cluster_of_three_nodes() {
    on_nodes(&["n1", "n2"], true);
}

fn on_a_node_of_the_size_that_a_program_asks_for() {
    for Program { name, path, source } in PROGRAMS {
        for capacity in run::capacities(source).unwrap() {
            let Some(mut cluster) = Cluster::with_room(&[], &capacity) else {
                return;
            };
            cluster.login();
            cluster.capacity = Some(capacity.clone());
            let outcome = run::on_cluster(&mut cluster, Path::new(path), source);
            cluster.finish();
            outcome.unwrap_or_else(|why| panic!("{name} with {capacity}: {why}"));
        }
    }
}

/// Every program on a head and these nodes, with its initial process there or at the laptop.
fn on_nodes(nodes: &[&str], is_here: bool) {
    let Some(mut cluster) = Cluster::with_room(nodes, "400GiB 100") else {
        return;
    };
    cluster.is_here = is_here;
    cluster.login();
    let only = std::env::var("DEPLOY_TEST_PROGRAM").ok();
    let mut failed = Vec::new();
    let is_wanted = |name: &str| match only.as_deref() {
        Some(only) => only == name,
        None => !is_here || AT_THE_LAPTOP.contains(&name),
    };
    for Program { name, path, source } in PROGRAMS {
        if !is_wanted(name) {
            continue;
        }
        let begun = std::time::Instant::now();
        let outcome = run::on_cluster(&mut cluster, Path::new(path), source);
        println!("{name}: {:?}", begun.elapsed());
        if let Err(why) = outcome {
            failed.push(format!("{name}: {why}"));
        }
    }
    cluster.finish();
    assert!(
        failed.is_empty(),
        "{} differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

const PROGRAMS: &[Program] = &programs![
    all_to_all
    asking
    backtrace
    big
    builder
    byte_streams
    bytes
    capacity
    chains
    channels
    classic
    closes
    crowd
    deadlock
    descriptors
    endings
    executors
    exits
    flush
    forks
    functions
    grandchild
    greetings
    huge
    inheritance
    kill
    last
    last_words
    late
    limits
    lost
    mismatch
    misuse
    pairings
    panics
    patience
    pids
    pool
    pool_deaths
    pool_map
    resources
    retype
    signals
    stalled
    stopped
    talk
    threads
    tokio_main
    unfinished
    unknown
    waiting
    windows
];

/// Which run through shared memory, too, from the first byte on: what moves much, and what ends in its own way.
const IN_MEMORY: &[&str] = &[
    "all_to_all",
    "big",
    "byte_streams",
    "channels",
    "closes",
    "descriptors",
    "endings",
    "executors",
    "exits",
    "flush",
    "forks",
    "last_words",
    "lost",
    "pool_deaths",
    "stopped",
    "unfinished",
    "windows",
];

/// Which run without encryption, too.
const IN_PLAIN: &[&str] = &[
    "all_to_all",
    "big",
    "exits",
    "flush",
    "last_words",
    "retype",
    "talk",
    "windows",
];

/// What is different where the initial process is not on a node; any other can be named in `DEPLOY_TEST_PROGRAM`.
const AT_THE_LAPTOP: &[&str] = &[
    "all_to_all",
    "byte_streams",
    "exits",
    "functions",
    "greetings",
    "kill",
    "lost",
    "signals",
];

/// Two clusters leave two processors a third of their time.
const AT_ONCE_MIN: usize = 3;
