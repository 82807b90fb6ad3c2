//! `cargo run --release -p deploy-tests --bin kills -- --kills 1000 --seed 1`: jobs with checked traffic, in each of which
//! one process is killed by SIGKILL at a random moment: the one that sends, the one that receives, one that has nothing
//! to do with it, the keeper, or the first one, which watches. It prints what it counted, and fails with the seed of the job where
//! something was lost, doubled, reordered or torn, where a cut looked like a clean end, or where anything is left; and
//! where an end is usually noticed later than after 50 ms, or a job usually there for more than 100 ms after its first
//! process. How late it is at worst is printed, and as much the machine's affair as ours.
//!
//! Deliberately absent: kills of two at once, and of the machine.

use deploy::*;
use deploy_tests::{
    leftovers::{Mark, describe},
    say,
    soak::{mixed, number},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd,
};
use std::{
    env, fs,
    os::unix::{fs::FileExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

fn main() {
    let args: Vec<String> = env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("job") => job(&args[2], args[3].parse().unwrap(), Path::new(&args[4])),
        _ => harness(number(&args, "--kills", 30), number(&args, "--seed", 1)),
    }
}

/// Runs the jobs, one after the other.
fn harness(kills: u64, seed: u64) {
    let mut seen = Seen::default();
    for index in 0..kills {
        let (kind, seed) = (KINDS[index as usize % KINDS.len()], mixed(seed, index));
        if let Err(why) = run(kind, seed, &mut seen) {
            eprintln!("{kind}, seed {seed}: {why}");
            process::exit(1);
        }
    }
    println!("{kills} kills, {} values checked", seen.values);
    println!("lost, doubled, reordered, torn: 0; a cut taken for a clean end: 0; left behind: 0");
    println!(
        "kill of a process to its end noticed: {}",
        spread(&mut seen.noticed)
    );
    println!(
        "kill of the first process to nothing left: {}",
        spread(&mut seen.gone)
    );
    let is_late =
        |times: &[Duration], max| times.get(times.len() / 2).is_some_and(|time| *time > max);
    if is_late(&seen.noticed, NOTICED_MAX) || is_late(&seen.gone, GONE_MAX) {
        eprintln!(
            "the median of the one is to be {NOTICED_MAX:?} at most, of the other {GONE_MAX:?}"
        );
        process::exit(1);
    }
}

#[derive(Default)]
struct Seen {
    values: u64,
    noticed: Vec<Duration>,
    gone: Vec<Duration>,
}

fn run(kind: &str, seed: u64, seen: &mut Seen) -> Result<(), String> {
    let mark = Mark::new().map_err(|error| error.to_string())?;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["job", kind, &seed.to_string()])
        .arg(&mark.temporary)
        .envs(mark.variables())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let first = child.id();
    if kind == "monitor" {
        thread::sleep(moment(seed) + Duration::from_millis(5));
        let is_kept = keeper(first).is_some();
        let start = Instant::now();
        signal(first);
        child.wait().map_err(|error| error.to_string())?;
        while !mark.processes().is_empty() && start.elapsed() < LEFT_MAX {
            thread::yield_now();
        }
        seen.gone.push(start.elapsed());
        if !is_kept {
            clear(&mark)?;
        }
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let bad = mark.temporary.join("bad");
    if bad.exists() {
        return Err(fs::read_to_string(bad).unwrap_or_default());
    }
    for file in ["flushed", "bad"] {
        let _ = fs::remove_file(mark.temporary.join(file)); // The job's own, not left behind.
    }
    mark.check(first)?;
    if kind == "monitor" {
        return Ok(());
    }
    // A keeper is no process of the program: nobody notices its end, and nothing has failed.
    let code = if kind == "keeper" { 0 } else { 137 };
    let words: Vec<&str> = out.split_whitespace().collect();
    match words[..] {
        ["ok", values, ref noticed @ ..] if output.status.code() == Some(code) => {
            seen.values += values.parse::<u64>().map_err(|error| error.to_string())?;
            for micros in noticed {
                let micros = micros.parse().map_err(|_| out.clone())?;
                seen.noticed.push(Duration::from_micros(micros));
            }
            Ok(())
        }
        ["skipped"] => {
            println!("skipped: without control groups there is no keeper to kill");
            Ok(())
        }
        _ => Err(format!("{}: {out}{err}", output.status)),
    }
}

/// Runs a job to its end, which removes the empty group of one whose monitor was killed before it had a keeper. Who lives in a
/// group must be gone before that.
fn clear(mark: &Mark) -> Result<(), String> {
    if let Some(process) = mark.processes().first() {
        return Err(format!("left behind: {}", describe(*process)));
    }
    let mut next = Command::new(env::current_exe().unwrap());
    next.args(["job", "nothing", "0", "."]);
    let output = next.envs(mark.variables()).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("the job after it: {}", text(&output.stderr))),
    }
}

/// What the initial process does; it survives, unless the first process is killed.
fn job(kind: &str, seed: u64, directory: &Path) {
    init(Resources::default());
    let flushed = directory.join("flushed");
    let (values, noticed) = match kind {
        "nothing" => return,
        "receiver" => {
            let pid = spawn(receives, directory.to_path_buf(), Resources::default()).unwrap();
            let killed = kill_later(Receiver::<u32>::new(pid).recv().unwrap(), seed);
            let sender = Sender::<Value>::new(pid);
            let mut sent = 0;
            let end = loop {
                match sender.send(value(sent)) {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            expect_killed(&end);
            (sent, killed.join().unwrap().elapsed())
        }
        "keeper" => return job_without_keeper(seed, flushed),
        "bystander" => {
            let partner = spawn(sends, (flushed, Some(COUNT)), Resources::default()).unwrap();
            let bystander = spawn(
                sends,
                (directory.join("flushed"), None),
                Resources::default(),
            );
            let bystander = Receiver::<Value>::new(bystander.unwrap());
            let victim = bystander.recv().unwrap().0 as u32;
            let killed = kill_later(victim, seed);
            let partner = Receiver::<Value>::new(partner);
            partner.recv().unwrap();
            let checked = thread::spawn(move || check(&partner));
            let (others, end) = check(&bystander);
            expect_killed(&end);
            let noticed = killed.join().unwrap().elapsed();
            let (values, end) = checked.join().unwrap();
            assert_eq!((values, end), (COUNT, ChannelError::Closed));
            (values + others, noticed)
        }
        _ => {
            let pid = spawn(sends, (flushed.clone(), None), Resources::default()).unwrap();
            let receiver = Receiver::<Value>::new(pid);
            let victim = receiver.recv().unwrap().0 as u32;
            let killed = (kind == "sender").then(|| kill_later(victim, seed));
            let (values, end) = check(&receiver);
            expect_killed(&end);
            let noticed = killed
                .expect("only a kill ends it")
                .join()
                .unwrap()
                .elapsed();
            let bytes = fs::read(&flushed).unwrap_or_default();
            let flushed = bytes.try_into().map_or(0, u64::from_le_bytes);
            assert!(
                values >= flushed,
                "{flushed} were acknowledged, {values} came"
            );
            (values, noticed)
        }
    };
    println!("ok {values} {}", noticed.as_micros());
}

/// The keeper is killed while values flow; they all come, and those of a process that begins after it too.
fn job_without_keeper(seed: u64, flushed: PathBuf) {
    let partner = || {
        let pid = spawn(sends, (flushed.clone(), Some(COUNT)), Resources::default()).unwrap();
        let receiver = Receiver::<Value>::new(pid);
        receiver.recv().unwrap(); // Who it is.
        receiver
    };
    let during = partner();
    let Some(keeper) = own_keeper() else {
        return println!("skipped");
    };
    let killed = kill_later(keeper, seed);
    assert_eq!(check(&during), (COUNT, ChannelError::Closed));
    killed.join().unwrap();
    assert_eq!(check(&partner()), (COUNT, ChannelError::Closed));
    println!("ok {}", 2 * COUNT);
}

/// The keeper of this job, once it keeps.
fn own_keeper() -> Option<u32> {
    let monitor = unistd::getppid().as_raw() as u32;
    let deadline = Instant::now() + LEFT_MAX;
    while Instant::now() < deadline {
        if let Some(keeper) = keeper(monitor) {
            return Some(keeper);
        }
        thread::yield_now();
    }
    None
}

/// The keeper of that monitor, whose child it is, if it keeps already.
fn keeper(monitor: u32) -> Option<u32> {
    let children = format!("/proc/{monitor}/task/{monitor}/children");
    let children = fs::read_to_string(children).expect("the kernel says who the children are");
    let mut children = children.split(' ').filter_map(|child| child.parse().ok());
    children.find(|child: &u32| {
        fs::read_to_string(format!("/proc/{child}/comm"))
            .is_ok_and(|name| name == "deploy-keeper\n")
    })
}

/// A number, and bytes that follow from it.
type Value = (u64, Vec<u8>);

fn value(number: u64) -> Value {
    // Now and then one that goes in pieces.
    let length = match mixed(7, number) % 1000 {
        0 => 200_000,
        more => more % 64,
    };
    (number, vec![number as u8; length as usize])
}

/// Receives to the end; every value must be the next.
fn check(receiver: &Receiver<Value>) -> (u64, ChannelError) {
    let mut next = 0;
    loop {
        match receiver.recv() {
            Ok(came) => assert!(came == value(next), "{} came instead of {next}", came.0),
            Err(error) => return (next, error),
        }
        next += 1;
    }
}

fn expect_killed(end: &ChannelError) {
    assert_eq!(say::end(end), "exited SIGKILL");
}

/// Sends who it is, and then values, so many or without end.
fn sends(parent: Pid, (flushed, count): (PathBuf, Option<u64>)) {
    litter();
    let sender = Sender::<Value>::new(parent);
    sender.send((process::id().into(), Vec::new())).unwrap();
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(flushed);
    let file = file.unwrap();
    for number in (0..).take_while(|number| count.is_none_or(|count| *number < count)) {
        sender.send(value(number)).unwrap();
        if count.is_none() && number % 1024 == 1023 {
            sender.flush().unwrap();
            file.write_all_at(&(number + 1).to_le_bytes(), 0).unwrap();
        }
    }
}

fn receives(parent: Pid, directory: PathBuf) {
    litter();
    Sender::<u32>::new(parent).send(process::id()).unwrap();
    let receiver = Receiver::<Value>::new(parent);
    for number in 0.. {
        match receiver.recv() {
            Ok(came) if came == value(number) => {}
            other => {
                let why = format!("{number} should come, not {:?}", other.map(|came| came.0));
                return fs::write(directory.join("bad"), why).unwrap();
            }
        }
    }
}

/// A program in a session of its own, which nobody waits for.
fn litter() {
    let status = Command::new("sh")
        .args(["-c", "setsid sleep 1000 &"])
        .status();
    assert!(status.unwrap().success());
}

/// Kills that process at a moment that follows from the seed; says when it did.
fn kill_later(victim: u32, seed: u64) -> thread::JoinHandle<Instant> {
    thread::spawn(move || {
        thread::sleep(moment(seed));
        let start = Instant::now();
        signal(victim);
        start
    })
}

fn signal(process: u32) {
    kill(unistd::Pid::from_raw(process as i32), Signal::SIGKILL).unwrap();
}

fn moment(seed: u64) -> Duration {
    Duration::from_micros(seed % 30_000)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    let shown = |part| at(part).copied().unwrap_or_default();
    format!(
        "median {:.1?}, 99 of 100 within {:.1?}, at most {:.1?}",
        shown(50),
        shown(99),
        shown(100)
    )
}

const KINDS: [&str; 5] = ["sender", "receiver", "bystander", "keeper", "monitor"];

/// How soon most ends are to be noticed, and most jobs to be gone.
const NOTICED_MAX: Duration = Duration::from_millis(50);
const GONE_MAX: Duration = Duration::from_millis(100);

/// What is there then is left behind.
const LEFT_MAX: Duration = Duration::from_secs(5);

/// How many values pass by a bystander.
const COUNT: u64 = 10_000;
