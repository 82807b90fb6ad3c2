//! `cargo run --release -p deploy-tests --bin shares -- --seconds 10 --permille 50`: processes that are busy on one and the same
//! processor, with shares 1 to 3: two of one job, and then those of two jobs, of which the second has two processes. Each
//! must get its part of what all got, to so many thousandths. It needs root, prints the parts, and says `skipped:` where
//! processors cannot be shared out.
//!
//! Deliberately absent: what else runs on the machine, which counts for nothing as long as all of these are busy.

use deploy::*;
use deploy_tests::{cluster::Cluster, run, soak::number, story::now_ms};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd,
};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        let numbers = args[3..].iter().map(|word| word.parse().unwrap());
        return job(Path::new(&args[2]), &numbers.collect::<Vec<u64>>());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !mounts.contains("cpuacct") && !mounts.contains(",cpu") && !controllers.contains("cpu") {
        return eprintln!("skipped: no control group here shares out processors");
    }
    let Some(cluster) = Cluster::with_room(&[], "4GiB 8") else {
        return;
    };
    cluster.login();
    let seconds = number(&args, "--seconds", 10);
    let most = number(&args, "--permille", 50) / 4; // So many thousandths of the smaller part.
    let mut is_wrong = false;
    for (what, jobs) in [
        ("of a job", &[&[250, 750][..]][..]),
        ("of two jobs", &[&[250], &[375, 375]]),
    ] {
        let parts = compete(&cluster, seconds, jobs);
        println!("shares 1 : 3 {what} on one processor for {seconds} s: {parts:?} thousandths");
        is_wrong |= parts[0].abs_diff(250) > most.max(1);
    }
    cluster.finish();
    if is_wrong {
        eprintln!("250 and 750 were granted, and they are to be {most} off at most");
        process::exit(1);
    }
}

/// Has jobs whose processes have so many thousandths of a processor each compete, and says which part each process got.
fn compete(cluster: &Cluster, seconds: u64, jobs: &[&[u64]]) -> Vec<u64> {
    let program = env::current_exe().unwrap();
    let directory = env::temp_dir().join(format!("deploy-shares-{}", process::id()));
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    let laptop = cluster.hosts.host("laptop");
    let command = |shares: &&[u64]| {
        let numbers = [seconds].into_iter().chain(shares.iter().copied());
        let words = ["job".to_string(), directory.display().to_string()].into_iter();
        let words: Vec<String> = words
            .chain(numbers.map(|number| number.to_string()))
            .collect();
        cluster.deploy(&program, &words, &[])
    };
    let commands: Vec<Command> = jobs.iter().map(command).collect();
    let run = |mut command: Command| {
        let done = laptop.within(|| run::finish(&mut command, b""));
        let done = done.unwrap_or_else(|why| panic!("{why}"));
        let said = done.out_text();
        assert_eq!(done.code, 0, "{said}{}", done.err_text());
        let used = said.split_whitespace().map(|word| word.parse().unwrap());
        used.collect::<Vec<u64>>()
    };
    let used: Vec<u64> = thread::scope(|scope| {
        let all = commands
            .into_iter()
            .map(|command| scope.spawn(|| run(command)));
        let all: Vec<_> = all.collect();
        let processes: usize = jobs.iter().map(|shares| shares.len()).sum();
        while fs::read_dir(&directory).unwrap().count() < processes {
            assert!(!all.iter().any(|one| one.is_finished()), "none ends before");
            thread::sleep(Duration::from_millis(5)); // A directory says nothing when it fills.
        }
        let at_ms = now_ms() + BEGUN_MS;
        fs::write(directory.join("at.part"), at_ms.to_string()).unwrap();
        fs::rename(directory.join("at.part"), directory.join(AT)).unwrap();
        all.into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    });
    fs::remove_dir_all(directory).unwrap();
    let sum: u64 = used.iter().sum();
    used.into_iter().map(|used| 1000 * used / sum).collect()
}

/// `job DIRECTORY SECONDS THOUSANDTHS...`: has processes busy from the moment on that is told there when all of them are there,
/// and prints how many microseconds each has got.
fn job(directory: &Path, numbers: &[u64]) {
    // It sleeps, and what it does not use of its share its children have.
    init(Resources {
        cpu: Cpu::CORE / 1000,
        ..Resources::default()
    });
    let [seconds, shares @ ..] = numbers else {
        panic!("{numbers:?}");
    };
    let pids = shares.iter().map(|thousandths| {
        let resources = Resources {
            cpu: Cpu::CORE * *thousandths / 1000,
            ..Resources::default()
        };
        spawn(busy, (directory.to_path_buf(), *seconds), resources).unwrap()
    });
    let receivers: Vec<_> = pids.map(Receiver::<u64>::new).collect();
    for receiver in receivers {
        println!("{}", receiver.recv().unwrap());
    }
}

/// Uses all it gets of the first processor, and says how many microseconds that was while the others were busy too.
fn busy(parent: Pid, (directory, seconds): (PathBuf, u64)) {
    let this = unistd::Pid::from_raw(0);
    let allowed = sched_getaffinity(this).unwrap();
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu) == Ok(true));
    let mut only = CpuSet::new();
    only.set(first.unwrap()).unwrap();
    sched_setaffinity(this, &only).unwrap();
    let sender = Sender::<u64>::new(parent);
    fs::write(directory.join(process::id().to_string()), "").unwrap();
    let at_ms: u64 = loop {
        match fs::read_to_string(directory.join(AT)) {
            Ok(text) => break text.parse().unwrap(),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    let early_ms = at_ms.checked_sub(now_ms()).expect("it hears of it in time");
    thread::sleep(Duration::from_millis(early_ms));
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    // All have begun by then, and none has ended.
    while now_ms() < at_ms + 500 {}
    let before = used();
    while now_ms() < at_ms + 500 + 1000 * seconds {}
    let used = used() - before;
    // The others go on being busy until all have looked, too.
    while now_ms() < at_ms + 1000 + 1000 * seconds {}
    sender.send(used.as_micros() as u64).unwrap();
}

/// Says when they begin.
const AT: &str = "at";
/// All have heard of that by then.
const BEGUN_MS: u64 = 1_000;
