//! `cargo run --release -p deploy-tests --bin gluttons -- --mib 1024 --seconds 10`: processes that take all they can get, on a
//! cluster, each beside a neighbour on the same node that must go on undisturbed: one that starts itself without end, `yes`,
//! a line of so many MiB without an end, and one that opens files until it may open no more. What carries their output may
//! not grow with it: neither daemon nor warden nor client. Then the same alone, where the first process carries it. It needs
//! root, and prints the figures. Nothing may be left.
//!
//! Deliberately absent: memory, for which a process is killed (`causes`); and who starts itself without end where nothing is
//! counted, which is this machine's to bear.

use deploy::*;
use deploy_tests::{cluster::Cluster, daemon::Daemon, memory, soak::number};
use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, Read, Write},
    process::{self, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

const WAYS: [&str; 4] = ["forks", "yes", "line", "files"];
const WAYS_ALONE: [&str; 3] = ["yes", "line", "files"];

fn main() {
    let args: Vec<String> = env::args().collect();
    if args.get(1).is_some_and(|word| word == "job") {
        return job(
            &args[2],
            number(&args, "--mib", 64),
            number(&args, "--seconds", 2),
            args.contains(&ALONE.to_string()),
        );
    }
    let Some(mut cluster) = Cluster::with_room(&["n1"], "4GiB 8") else {
        return;
    };
    cluster.login();
    let seconds = number(&args, "--seconds", 2);
    let mut is_wrong = false;
    for way in WAYS {
        let mut words = vec!["job".to_string(), way.to_string()];
        words.extend(args[1..].iter().cloned());
        let program = env::current_exe().unwrap();
        let mut command = cluster.deploy(&program, &words, &[]);
        // What is said is said on standard error.
        command.stdout(Stdio::null());
        let before = memory::resident_kib_of_all(&mut cluster, 0);
        let laptop = cluster.hosts.host("laptop");
        let mut job = laptop.within(|| Daemon::start(&mut command));
        let client = job.id();
        let mut most = before.clone();
        let deadline = Instant::now() + Duration::from_secs(seconds) + OVER_MAX;
        while !job.is_silent() {
            assert!(Instant::now() < deadline, "{way}: {}", job.said());
            for (who, kib) in memory::resident_kib_of_all(&mut cluster, client) {
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
        is_wrong |= !judge(way, status, &said, &more.collect());
    }
    cluster.finish();
    for way in WAYS_ALONE {
        is_wrong |= !try_alone(way, &args[1..]);
    }
    if is_wrong {
        process::exit(1);
    }
    println!("left behind on any host: 0");
}

/// The same in a program that runs alone, and whose output is read.
fn try_alone(way: &str, words: &[String]) -> bool {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["job", way, ALONE]).args(words);
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut first = started.stderr(Stdio::piped()).spawn().unwrap();
    let mut out = first.stdout.take().unwrap();
    let reader = thread::spawn(move || io::copy(&mut out, &mut io::sink()).unwrap());
    let mut err = first.stderr.take().unwrap();
    let listener = thread::spawn(move || {
        let mut said = String::new();
        err.read_to_string(&mut said).unwrap();
        said
    });
    let mut most = 0;
    let status = loop {
        most = most.max(memory::resident_kib_of(first.id()));
        if let Some(status) = first.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(20)); // Nothing announces what a process holds.
    };
    let (read, said) = (reader.join().unwrap(), listener.join().unwrap());
    let more = BTreeMap::from([("first process, in all".to_string(), most >> 10)]);
    judge(
        &format!("{way}, alone, {} MiB of output", read >> 20),
        status,
        &said,
        &more,
    )
}

/// Prints the figures, and says whether they are what is promised.
fn judge(way: &str, status: ExitStatus, said: &str, more: &BTreeMap<String, u64>) -> bool {
    let told = said.lines().find_map(|line| line.split("over: ").nth(1));
    let told = told.unwrap_or("?");
    println!("{way}: {told}; MiB more, at most: {more:?}");
    let is_bounded = more.values().all(|mib| *mib <= MEMORY_MIB_MAX);
    let is_right = status.success() && is_bounded;
    if !is_right {
        eprintln!("{way} ends with {status}, or more than {MEMORY_MIB_MAX} MiB:\n{said}");
    }
    is_right
}

/// Has one process take what it can get, and asks its neighbour all the time whether it is well.
fn job(way: &str, mib: u64, seconds: u64, is_alone: bool) {
    init(Resources::default());
    let on_n1 = || match is_alone {
        true => Builder::new(),
        false => Builder::new().node("n1"),
    };
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

const ALONE: &str = "--alone";
/// Of anybody who carries output: windows, and what they have lent.
const MEMORY_MIB_MAX: u64 = 64;
/// How much longer than it is to take a job may take.
const OVER_MAX: Duration = Duration::from_secs(40);
/// Of a neighbour, on two busy processors.
const ANSWER_MAX: Duration = Duration::from_secs(2);
