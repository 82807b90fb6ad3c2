//! `cargo run --release -p deploy-tests --bin gluttons -- --mib 1024 --seconds 10`: processes that take all they can get, on a
//! cluster, each beside a neighbour on the same node that must go on undisturbed: one that starts itself without end, `yes`,
//! a line of so many MiB without an end, and one that opens files until it may open no more. What carries their output may
//! not grow with it: neither daemon nor warden nor client. It needs root, and prints the figures. Nothing may be left.
//!
//! Deliberately absent: memory, for which a process is killed (`causes`).

use deploy::*;
use deploy_tests::{cluster::Cluster, daemon::Daemon, leftovers, soak::number};
use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::Write,
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const WAYS: [&str; 4] = ["forks", "yes", "line", "files"];

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job(
            &args[2],
            number(&args, "--mib", 64),
            number(&args, "--seconds", 2),
        );
    }
    let Some(mut cluster) = Cluster::with_room(&["n1"], "4GiB 8") else {
        return;
    };
    cluster.login();
    let mut is_wrong = false;
    for way in WAYS {
        let mut words = vec!["job".to_string(), way.to_string()];
        words.extend(args[1..].iter().cloned());
        let program = env::current_exe().unwrap();
        let mut command = cluster.deploy(&program, &words, &[]);
        // What is said is said on standard error.
        command.stdout(Stdio::null());
        let before = memory_kib(&mut cluster, 0);
        let laptop = cluster.hosts.host("laptop");
        let mut job = laptop.within(|| Daemon::start(&mut command));
        let client = job.id();
        let (mut most, mut said) = (before.clone(), String::new());
        while !said.contains("is over") {
            said = job.said();
            for (who, kib) in memory_kib(&mut cluster, client) {
                let most = most.entry(who).or_default();
                *most = kib.max(*most);
            }
            thread::sleep(Duration::from_millis(20)); // Nothing announces what a process holds.
        }
        let (status, said) = job.end();
        let more = most.iter().map(|(who, kib)| {
            let before = before.get(who).copied().unwrap_or(0);
            (who.clone(), kib.saturating_sub(before) >> 10)
        });
        let more: BTreeMap<String, u64> = more.collect();
        let told = said.lines().find_map(|line| line.split("over: ").nth(1));
        println!(
            "{way}: {}; MiB more, at most: {more:?}",
            told.unwrap_or("?")
        );
        let is_bounded = more.values().all(|mib| *mib <= MEMORY_MIB_MAX);
        if !status.success() || !is_bounded {
            eprintln!("{way} ends with {status}, or more than {MEMORY_MIB_MAX} MiB:\n{said}");
            is_wrong = true;
        }
    }
    cluster.finish();
    if is_wrong {
        process::exit(1);
    }
    println!("left behind on any host: 0");
}

/// What daemons, wardens and the client hold of memory.
fn memory_kib(cluster: &mut Cluster, client: u32) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for host in ["head", "n1"] {
        let daemon = cluster.daemon(host).id();
        all.insert(format!("daemon of {host}"), resident_kib(daemon));
        for process in cluster.hosts.host(host).processes() {
            if leftovers::describe(process).contains(" warden") {
                all.insert(format!("warden on {host}"), resident_kib(process));
            }
        }
    }
    all.insert("client".to_string(), resident_kib(client));
    all
}

/// Nothing, of a process that is gone.
fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|text| text.split_whitespace().next());
    memory.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Has one process take what it can get, and asks its neighbour all the time whether it is well.
fn job(way: &str, mib: u64, seconds: u64) {
    init(Resources::default());
    let on_n1 = || Builder::new().node("n1");
    let neighbour = on_n1().spawn(answer, ()).unwrap();
    let (asks, answers) = (
        Sender::<u64>::new(neighbour),
        Receiver::<u64>::new(neighbour),
    );
    let glutton = on_n1().spawn(take, (way.to_string(), mib)).unwrap();
    let told = Receiver::<u64>::new(glutton);
    told.recv().unwrap();
    let (begun, mut most, mut asked) = (Instant::now(), Duration::ZERO, 0_u64);
    // A line ends by itself, and so does who opens files.
    let ends_itself = ["line", "files"].contains(&way);
    let is_over = || match ends_itself {
        true => told.try_recv().is_ok(),
        false => begun.elapsed() > Duration::from_secs(seconds),
    };
    while !is_over() {
        let at = Instant::now();
        asks.send(asked).unwrap();
        assert_eq!(answers.recv().unwrap(), asked);
        most = most.max(at.elapsed());
        asked += 1;
        thread::sleep(Duration::from_millis(5));
    }
    if !ends_itself {
        glutton.kill().unwrap();
    }
    let status = glutton.wait().unwrap();
    assert_eq!(status.success(), ends_itself, "{status}");
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    assert!(most < ANSWER_MAX, "a neighbour answered after {most:?}");
    eprintln!("it is over: {asked} answers of a neighbour, after {most:.1?} at most");
}

fn answer(parent: Pid, (): ()) {
    let (asks, answers) = (Receiver::<u64>::new(parent), Sender::<u64>::new(parent));
    for number in asks.iter() {
        answers.send(number.unwrap()).unwrap();
    }
}

fn take(parent: Pid, (way, mib): (String, u64)) {
    let sender = Sender::<u64>::new(parent);
    sender.send(0).unwrap();
    match way.as_str() {
        "forks" => drop(
            Command::new("sh")
                .args(["-c", "f() { f | f & }; f; sleep 1000"])
                .status(),
        ),
        "yes" => drop(Command::new("yes").status()),
        "line" => {
            let piece = vec![b'x'; 1 << 20];
            let mut out = std::io::stdout().lock();
            (0..mib).for_each(|_| out.write_all(&piece).unwrap());
            out.flush().unwrap();
        }
        _ => {
            let mut files = Vec::new();
            let why = loop {
                match File::open("/dev/null") {
                    Ok(file) => files.push(file),
                    Err(error) => break error,
                }
            };
            // EMFILE: it is this one's own limit, and not the machine's.
            assert_eq!(why.raw_os_error(), Some(24), "{why}");
        }
    }
    sender.send(1).unwrap();
}

/// Of anybody who carries output: windows, and what they have lent.
const MEMORY_MIB_MAX: u64 = 64;
/// Of a neighbour, on two busy processors.
const ANSWER_MAX: Duration = Duration::from_secs(2);
