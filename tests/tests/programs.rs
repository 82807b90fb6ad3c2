//! Every program in `programs/`, each a test of its own, once more with its processes connected as on two machines, and
//! all of them one after the other on a cluster of one node and of three.

use deploy_tests::{cluster::Cluster, run};
use std::{collections::BTreeSet, fs, path::Path};

macro_rules! programs {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                deploy_tests::run::alone(
                    Path::new(env!(concat!("CARGO_BIN_EXE_", stringify!($name)))),
                    include_str!(concat!("../programs/", stringify!($name), ".rs")),
                );
            }
        )*
        /// Over TCP, encrypted.
        mod tcp {
            $(
                #[test]
                fn $name() {
                    deploy_tests::run::alone_over(
                        "tcp",
                        std::path::Path::new(env!(concat!("CARGO_BIN_EXE_", stringify!($name)))),
                        include_str!(concat!("../programs/", stringify!($name), ".rs")),
                    );
                }
            )*
        }
        const PROGRAMS: &[&str] = &[$(stringify!($name)),*];
        /// Where they are, and their sources.
        const BUILT: &[(&str, &str)] = &[$((
            env!(concat!("CARGO_BIN_EXE_", stringify!($name))),
            include_str!(concat!("../programs/", stringify!($name), ".rs")),
        )),*];
    };
}

programs! {
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
}

/// Through shared memory from the first byte on: what moves much, and what ends in its own way.
mod memory {
    macro_rules! through_memory {
        ($($name:ident)*) => {
            $(
                #[test]
                fn $name() {
                    deploy_tests::run::alone_over(
                        "memory",
                        std::path::Path::new(env!(concat!("CARGO_BIN_EXE_", stringify!($name)))),
                        include_str!(concat!("../programs/", stringify!($name), ".rs")),
                    );
                }
            )*
        };
    }
    through_memory! {
        all_to_all big byte_streams channels closes descriptors endings executors exits flush forks last_words lost
        pool_deaths stopped unfinished windows
    }
}

#[test]
fn a_few_over_tcp_without_encryption() {
    macro_rules! over_tcp {
        ($($name:ident)*) => {
            $(
                deploy_tests::run::alone_over(
                    "tcp-plain",
                    Path::new(env!(concat!("CARGO_BIN_EXE_", stringify!($name)))),
                    include_str!(concat!("../programs/", stringify!($name), ".rs")),
                );
            )*
        };
    }
    over_tcp!(all_to_all big exits flush last_words retype talk windows);
}

#[test]
fn every_program_in_the_directory_is_tested() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let files = fs::read_dir(directory).unwrap().map(|file| {
        let path = file.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_string()
    });
    let tested: BTreeSet<String> = PROGRAMS.iter().map(|name| name.to_string()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), tested);
}

#[test]
fn on_a_cluster_of_one_node() {
    on_nodes(&[], false);
}

#[test]
fn on_a_cluster_of_three_nodes() {
    on_nodes(&["n1", "n2"], false);
}

/// What is different where the initial process is not on a node; any other can be named in `DEPLOY_TEST_PROGRAM`.
const AT_THE_LAPTOP: [&str; 8] = [
    "all_to_all",
    "byte_streams",
    "exits",
    "functions",
    "greetings",
    "kill",
    "lost",
    "signals",
];

#[test]
fn at_the_laptop_and_on_a_cluster_of_three_nodes() {
    on_nodes(&["n1", "n2"], true);
}

#[test]
fn on_a_node_of_the_size_that_a_program_asks_for() {
    for (name, (program, source)) in PROGRAMS.iter().zip(BUILT) {
        for capacity in run::capacities(source).unwrap() {
            let Some(mut cluster) = Cluster::with_room(&[], &capacity) else {
                return;
            };
            cluster.login();
            cluster.capacity = Some(capacity.clone());
            let outcome = run::on_cluster(&mut cluster, Path::new(program), source);
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
    for (name, (program, source)) in PROGRAMS.iter().zip(BUILT) {
        if !is_wanted(name) {
            continue;
        }
        let begun = std::time::Instant::now();
        let outcome = run::on_cluster(&mut cluster, Path::new(program), source);
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
