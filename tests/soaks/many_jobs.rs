//! `cargo run --release -p deploy-tests --bin many_jobs -- --jobs 10000`: so many short jobs through one cluster of two
//! nodes, each begun and watched by a client of its own, some of which crash and leave a program behind in a session of its
//! own. Neither master nor node may hold more descriptors, control groups, files or processes afterwards than after the
//! first tenth, nor more memory than their records of jobs that are over may cost. It needs root, and prints the figures.
//!
//! Deliberately absent: more than four jobs at a time.

use deploy::*;
use deploy_tests::{cluster::Cluster, memory, run, soak::number};
use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job(args[2].parse().unwrap());
    }
    let Some(mut cluster) = Cluster::with_room(&["n1"], "8GiB 16") else {
        return;
    };
    cluster.login();
    let jobs = number(&args, "--jobs", 10_000);
    let begun = Instant::now();
    run_all(&cluster, 0..jobs / 10);
    let before = settled(&mut cluster, None);
    run_all(&cluster, jobs / 10..jobs);
    let after = settled(&mut cluster, Some(&before));
    println!("{jobs} jobs in {:.0?}", begun.elapsed());
    let mut is_wrong = false;
    for (what, (held, memory_kib)) in &after {
        let (held_before, memory_kib_before) = &before[what];
        let more_kib = memory_kib.saturating_sub(*memory_kib_before);
        println!("{what}: {held:?}, after a tenth {held_before:?}; {more_kib} KiB more memory");
        is_wrong |= held > held_before || more_kib > MEMORY_KIB_MAX;
    }
    if is_wrong {
        eprintln!("nothing is to grow, and memory by {MEMORY_KIB_MAX} KiB at most");
        process::exit(1);
    }
    cluster.finish();
}

/// Descriptors, control groups and files of state of a host, and processes there beside the daemon.
type Held = [usize; 4];

/// What each host holds, once that is no more than `before`, or some time has passed; and the memory of its daemon.
fn settled(
    cluster: &mut Cluster,
    before: Option<&BTreeMap<String, (Held, u64)>>,
) -> BTreeMap<String, (Held, u64)> {
    let deadline = Instant::now() + SETTLED_MAX;
    loop {
        let all: BTreeMap<_, _> = ["head", "n1"]
            .map(|host| (host.to_string(), look(cluster, host)))
            .into();
        let is_less = |before: &BTreeMap<String, (Held, u64)>| {
            all.iter().all(|(host, (held, _))| *held <= before[host].0)
        };
        let is_idle = all.values().all(|(held, _)| held[3] == 0);
        if Instant::now() > deadline || is_idle && before.is_none_or(is_less) {
            return all;
        }
        thread::sleep(Duration::from_millis(50)); // Nothing announces it.
    }
}

fn look(cluster: &mut Cluster, name: &str) -> (Held, u64) {
    let serving = cluster.serving(name);
    let host = cluster.hosts.host(name);
    let open = |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let descriptors = serving.iter().map(open).sum();
    let others = host
        .processes()
        .into_iter()
        .filter(|pid| !serving.contains(pid))
        .count();
    let held = [
        descriptors,
        host.control_groups(),
        files(host.disk()),
        others,
    ];
    (held, serving.into_iter().map(memory::resident_kib_of).sum())
}

/// Those of jobs that are over are kept for a while, so many at most, and do not count.
fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let count = entries.map(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true if path.ends_with("records") => 0,
            true => 1 + files(&path),
            false => 1,
        }
    });
    count.sum()
}

/// Has these jobs run, a few at a time.
fn run_all(cluster: &Cluster, jobs: std::ops::Range<u64>) {
    let program = env::current_exe().unwrap();
    let laptop = cluster.hosts.host("laptop");
    let numbers: Vec<u64> = jobs.collect();
    for some in numbers.chunks(AT_A_TIME) {
        let command = |number: &u64| {
            let words = ["job".to_string(), number.to_string()];
            (*number, cluster.deploy(&program, &words, &[]))
        };
        let commands: Vec<(u64, Command)> = some.iter().map(command).collect();
        thread::scope(|scope| {
            for (number, mut command) in commands {
                scope.spawn(move || {
                    let done = laptop.within(|| run::finish(&mut command, b""));
                    let done = done.unwrap_or_else(|why| panic!("{why}"));
                    let expected = if is_crash(number) { 134 } else { 0 };
                    let said = (done.out_text(), done.err_text());
                    assert_eq!(
                        (done.code, &*said.0),
                        (expected, &*format!("{number}\n")),
                        "{}",
                        said.1
                    );
                });
            }
        });
    }
}

fn is_crash(number: u64) -> bool {
    number % 10 == 3
}

fn job(number: u64) {
    init(Resources::default());
    let child = spawn(double, number, Resources::default()).unwrap();
    println!("{}", Receiver::<u64>::new(child).recv().unwrap() / 2);
    if is_crash(number) {
        let left = "trap '' TERM; setsid sleep 1000 </dev/null >/dev/null 2>&1 &";
        let status = Command::new("sh").args(["-c", left]).status();
        assert!(status.unwrap().success());
        process::abort();
    }
}

fn double(parent: Pid, number: u64) {
    Sender::<u64>::new(parent).send(2 * number).unwrap();
}

const AT_A_TIME: usize = 4;
/// What jobs that are over may cost a daemon, as long as they are remembered.
const MEMORY_KIB_MAX: u64 = 16 << 10;
/// How long what is dying may take.
const SETTLED_MAX: Duration = Duration::from_secs(10);
